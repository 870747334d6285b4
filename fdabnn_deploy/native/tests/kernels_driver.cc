// Every kernel against the scalar ones, on arrays without a spare byte behind them, for builds with sanitizers:
//
//   kernels_driver ROUNDS THREADS
//
// Each of the threads has a pool and shapes of its own, and all of them share one convolution. Exits with 1 at the first difference.
#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernel_tests/drawn.h"
#include "kernels/quantize.h"

namespace fdabnn {
namespace {

std::atomic<bool> failed{false};

void Expect(bool right, const std::string& what) {
  if (right) return;
  std::fprintf(stderr, "kernels_driver: %s\n", what.c_str());
  failed = true;
}

// Calls compute(level) for all levels and compares with what the first, scalar, gives.
template <class Compute>
void Compare(const std::string& what, Compute compute) {
  const auto expected = compute(Level::kScalar);
  for (const Level level : SupportedLevels()) Expect(compute(level) == expected, what + " at level " + Name(level));
}

void TestSigns(Random& random, ThreadPool& pool) {
  const std::size_t rows = static_cast<std::size_t>(random.Between(0, random.Between(0, 9) == 0 ? 2000 : 20));
  const int channels = random.Between(1, random.Between(0, 1) == 0 ? 70 : 520);
  const std::size_t values = rows * static_cast<std::size_t>(channels);
  const std::size_t words = rows * static_cast<std::size_t>(WordsFor(channels));
  const std::string what = std::to_string(rows) + " rows of " + std::to_string(channels) + " channels";
  const int zero_point = random.Between(-130, 130);

  const Exact<float> floats(values, [&] { return random.Float(); });
  const Exact<std::int8_t> int8s(values, [&] { return static_cast<std::int8_t>(random.Between(-128, 127)); });
  const Exact<std::uint8_t> bools(values, [&] { return static_cast<std::uint8_t>(random.Between(0, 1)); });
  const Exact<Word> packed(words, [&] { return random.Bits(); });
  Compare("QuantizeFloat: " + what, [&](Level level) {
    Exact<Word> result(words);
    QuantizeFloat(floats.data(), rows, channels, result.data(), level, pool);
    return result;
  });
  Compare("QuantizeInt8: " + what, [&](Level level) {
    Exact<Word> result(words);
    QuantizeInt8(int8s.data(), rows, channels, zero_point, result.data(), level, pool);
    return result;
  });
  Compare("QuantizeBool: " + what, [&](Level level) {
    Exact<Word> result(words);
    QuantizeBool(bools.data(), rows, channels, result.data(), level, pool);
    return result;
  });
  Compare("DequantizeFloat: " + what, [&](Level level) {
    Exact<float> result(values);
    DequantizeFloat(packed.data(), rows, channels, result.data(), level, pool);
    return result;
  });
  Compare("DequantizeBytes: " + what, [&](Level level) {
    Exact<std::uint8_t> result(values);
    DequantizeBytes(packed.data(), rows, channels, 17, 3, result.data(), level, pool);
    return result;
  });
}

void TestBmaxpool(Random& random, ThreadPool& pool) {
  const BmaxpoolParams params = DrawBmaxpool(random);
  const int height = random.Between(1, 12), width = random.Between(1, 12), batch = random.Between(0, 3);
  std::string error;
  const auto kernel = Bmaxpool::Create(params, &error);
  Expect(kernel != nullptr, "Bmaxpool: " + error);
  if (kernel == nullptr || !kernel->Resize(height, width, &error)) return;
  const Exact<Word> input(static_cast<std::size_t>(batch * height * width * params.words), [&] { return random.Bits(); });
  Exact<Word> result(static_cast<std::size_t>(batch * kernel->out_height() * kernel->out_width() * params.words));
  Expect(RunInWorkspace(*kernel, {input.data(), result.data()}, batch, pool) == nullptr, "a sound input is refused");
}

std::string Describe(const BconvParams& p) {
  return std::to_string(p.channels_in) + " -> " + std::to_string(p.channels_out) + " channels in " + std::to_string(p.groups) +
         " groups, " + std::to_string(p.kernel_h) + " x " + std::to_string(p.kernel_w) + ", output type " +
         std::to_string(static_cast<int>(p.output));
}

std::size_t OutputBytes(const BconvParams& p, const Bconv& conv, int batch) {
  const int pixels = batch * conv.out_height() * conv.out_width();
  switch (p.output) {
    case OutputType::kFloat:
      return sizeof(float) * static_cast<std::size_t>(pixels * p.channels_out);
    case OutputType::kPacked:
      return sizeof(Word) * static_cast<std::size_t>(pixels * WordsFor(p.channels_out));
    case OutputType::kInt8:
      break;
  }
  return static_cast<std::size_t>(pixels * p.channels_out);
}

// With one of the bits behind the last channel.
Exact<Word> WithBitBehind(Random& random, const Exact<Word>& signs, int channels) {
  Exact<Word> more(signs.size());
  std::copy_n(signs.data(), signs.size(), more.data());
  const std::size_t words = static_cast<std::size_t>(WordsFor(channels));
  const int row = random.Between(0, static_cast<int>(signs.size() / words) - 1);
  more.data()[(static_cast<std::size_t>(row) + 1) * words - 1] |= Word{1} << random.Between(channels % kWordBits, kWordBits - 1);
  return more;
}

// Constants of one convolution, each in memory of exactly its size, gone once the convolution is prepared.
std::unique_ptr<Bconv> Prepare(const BconvParams& p, unsigned seed, Level level) {
  Random random(seed);
  const std::size_t outputs = static_cast<std::size_t>(p.channels_out);
  const int channels = p.channels_in / p.groups;
  const Exact<Word> filter = DrawSigns(random, outputs * static_cast<std::size_t>(p.kernel_h * p.kernel_w), channels);
  const Exact<float> multiplier(outputs, [&] { return random.Float(); });
  const Exact<float> bias(outputs, [&] { return random.Float(); });
  const int taps = p.kernel_h * p.kernel_w * channels;
  const Exact<std::int32_t> thresholds(outputs, [&] { return random.OneOf({INT_MIN, taps / 3, taps / 2, taps * 2 / 3, INT_MAX}); });
  std::string error;
  auto conv = Bconv::Create(p, {filter.data(), multiplier.data(), bias.data(), thresholds.data()}, level, &error);
  Expect(conv != nullptr, Describe(p) + ": " + error);
  if (channels % kWordBits != 0) {
    const Exact<Word> more = WithBitBehind(random, filter, channels);
    const auto none = Bconv::Create(p, {more.data(), multiplier.data(), bias.data(), thresholds.data()}, level, &error);
    Expect(none == nullptr && error.find("filter has bits behind") != std::string::npos,
           Describe(p) + ": bits behind a filter's last channel");
  }
  return conv;
}

Exact<char> RunConvolution(const BconvParams& p, const Bconv& conv, const Exact<Word>& input, int batch, ThreadPool& pool) {
  // Outputs are floats or words: the element in front of the data is one of those.
  Exact<float> output((OutputBytes(p, conv, batch) + sizeof(float) - 1) / sizeof(float));
  Expect(RunInWorkspace(conv, {input.data(), output.data()}, batch, pool) == nullptr, "a sound input is refused");
  if (input.size() > 0 && p.channels_in % kWordBits != 0) {
    Random random(static_cast<unsigned>(input.size()));
    const Exact<Word> more = WithBitBehind(random, input, p.channels_in);
    Exact<char> nothing(OutputBytes(p, conv, batch));
    Expect(RunInWorkspace(conv, {more.data(), nothing.data()}, batch, pool) != nullptr,
           Describe(p) + ": bits behind the input's last channel");
  }
  Exact<char> result(OutputBytes(p, conv, batch));
  std::memcpy(result.data(), output.data(), result.size());
  return result;
}

void TestBconv(Random& random, ThreadPool& pool) {
  const BconvParams p = DrawBconv(random);
  const unsigned seed = random.Bits();
  const int batch = random.Between(0, 3), height = random.Between(1, 12), width = random.Between(1, 30);
  const Exact<Word> input = DrawSigns(random, static_cast<std::size_t>(batch * height * width), p.channels_in);
  std::string error;
  {
    const auto conv = Prepare(p, seed, Level::kScalar);
    if (conv == nullptr || !conv->Resize(height, width, &error)) return;
  }
  Compare("Bconv: " + Describe(p), [&](Level level) {
    const auto conv = Prepare(p, seed, level);
    if (conv == nullptr || !conv->Resize(height, width, &error)) return Exact<char>(0);
    return RunConvolution(p, *conv, input, batch, pool);
  });
}

// Whole numbers, whose sums are exact: all levels give the same bits.
void TestConvSum(Random& random, ThreadPool& pool) {
  const ConvSumParams p = DrawConvSum(random);
  const int batch = random.Between(0, 2), height = random.Between(1, 20), width = random.Between(1, 12);
  const auto number = [&] { return static_cast<float>(random.Between(-9, 9)); };
  const std::size_t pixels = static_cast<std::size_t>(batch * height * width), outputs = static_cast<std::size_t>(p.channels_out);
  Exact<float> first(pixels * static_cast<std::size_t>(p.channels_in), number);
  // A number of more bits than 16, for the other way of computing.
  if (pixels > 0 && random.Between(0, 2) == 0) first.data()[0] = 0x20001;
  const Exact<float> second(first.size(), number);
  const float* const inputs[] = {first.data(), second.data()};
  const Exact<float> filter(outputs * static_cast<std::size_t>(p.kernel_h * p.kernel_w * p.channels_in), number);
  const Exact<float> bias(outputs, number);
  const std::vector<ConvSumTerm> terms = {{0, filter.data(), bias.data()}, {1, filter.data(), bias.data()}};
  // Chains, and a tree that needs three results at a time.
  const std::vector<int> chain = {0, 1, kSubtract, 0, kSubtract};
  const std::vector<int> tree = {0, 1, kSubtract, 1, 0, kSubtract, kSubtract, 0, 0, kSubtract, 1, 1, kSubtract, kSubtract, kSubtract};
  const std::vector<int>& expression = random.Between(0, 1) == 1 ? chain : tree;
  Compare("ConvSum: " + std::to_string(p.channels_in) + " -> " + std::to_string(p.channels_out), [&](Level level) {
    std::string error;
    const auto conv = ConvSum::Create(p, terms, expression, {}, level, &error);
    Expect(conv != nullptr, error);
    if (conv == nullptr || !conv->Resize(height, width, &error)) return Exact<float>(0);
    Exact<float> result(static_cast<std::size_t>(batch * conv->out_height() * conv->out_width()) * outputs);
    Expect(RunInWorkspace(*conv, {inputs, nullptr, result.data()}, batch, pool) == nullptr, "a sound input is refused");
    return result;
  });
}

// Sizes out of all bounds have to be refused, or to be what they claim.
void TestExtremes(Random& random) {
  const auto draw = [&] { return random.OneOf({INT_MIN, -1, 0, 1, 1, 1, 2, 3, 32, 64, 65, 1 << 16, 1 << 24, 1 << 30, INT_MAX}); };
  BconvParams p;
  for (int* field : {&p.channels_in, &p.channels_out, &p.groups, &p.kernel_h, &p.kernel_w, &p.stride_h, &p.stride_w, &p.dilation_h,
                     &p.dilation_w, &p.pad_value}) {
    *field = draw();
  }
  p.same_padding = random.Between(0, 1) == 1;
  const bool positive = std::min({p.channels_in, p.channels_out, p.groups, p.kernel_h, p.kernel_w}) > 0;
  const double words = positive ? 1.0 * p.channels_out * p.kernel_h * p.kernel_w * WordsFor(p.channels_in / p.groups) : 0;
  const bool small = words >= 1 && words <= (1 << 10);
  const std::size_t outputs = small ? static_cast<std::size_t>(p.channels_out) : 0;
  const Exact<Word> filter(small ? static_cast<std::size_t>(words) : 0);
  const Exact<float> ones(outputs, [] { return 1.0f; });
  std::string error;
  // Without constants what is right otherwise is refused for their absence.
  const BconvConstants constants = small ? BconvConstants{filter.data(), ones.data(), ones.data(), nullptr} : BconvConstants{};
  const auto conv = Bconv::Create(p, constants, SupportedLevels().back(), &error);
  Expect((conv == nullptr) == !error.empty(), "a refusal without a reason, or a reason without a refusal");
  const auto size = [&] { return random.OneOf({INT_MIN, -1, 0, 1, 2, 65, 1 << 10, (1 << 24) + 1, INT_MAX}); };
  if (conv != nullptr && !conv->Resize(size(), size(), &error)) Expect(!error.empty(), "a size refused without a reason");
}

void Test(unsigned seed, int rounds, const BconvParams& p, const Bconv& shared, const Exact<Word>& input, const Exact<char>& expected) {
  Random random(seed);
  for (int round = 0; round < rounds && !failed; ++round) {
    ThreadPool pool(random.Between(1, 3));
    TestSigns(random, pool);
    TestBmaxpool(random, pool);
    TestBconv(random, pool);
    TestConvSum(random, pool);
    TestExtremes(random);
    Expect(RunConvolution(p, shared, input, 2, pool) == expected, "a convolution shared by threads");
  }
}

int Main(int rounds, int threads) {
  BconvParams p;
  p.channels_in = p.channels_out = 64;
  p.kernel_h = p.kernel_w = 3;
  p.same_padding = true;
  Random random(0);
  const Exact<Word> input = DrawSigns(random, 2 * 7 * 9, p.channels_in);
  ThreadPool one(1);
  std::string error;
  const auto scalar = Prepare(p, 1, Level::kScalar);
  const auto shared = Prepare(p, 1, SupportedLevels().back());
  if (scalar == nullptr || shared == nullptr || !scalar->Resize(7, 9, &error) || !shared->Resize(7, 9, &error)) return 1;
  const Exact<char> expected = RunConvolution(p, *scalar, input, 2, one);

  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&, i] { Test(static_cast<unsigned>(i) + 2, rounds, p, *shared, input, expected); });
  }
  for (std::thread& worker : workers) worker.join();
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace fdabnn

int main(int argc, char** argv) { return argc == 3 ? fdabnn::Main(std::atoi(argv[1]), std::atoi(argv[2])) : 2; }
