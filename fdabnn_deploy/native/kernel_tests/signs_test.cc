#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "kernel_tests/cases.h"
#include "kernels/quantize.h"

namespace fdabnn {
namespace {

// Zeros of both signs, denormal numbers, infinities and NaN of both signs among the others.
float AnyFloat(Random& random) {
  using Limits = std::numeric_limits<float>;
  constexpr float kSpecial[] = {0.0f, Limits::denorm_min(), Limits::infinity(), Limits::quiet_NaN(), Limits::max()};
  const float value = random.Between(0, 3) == 0 ? kSpecial[random.Between(0, 4)] : random.Float();
  return random.Between(0, 1) == 1 ? -value : value;
}

TEST_CASE("signs of rows") {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    const std::size_t rows = static_cast<std::size_t>(random.Between(0, round == 0 ? 3000 : 20));
    const int channels = random.Between(1, random.OneOf({70, 520})), zero_point = random.Between(-130, 130);
    const std::size_t count = rows * static_cast<std::size_t>(channels);
    const Exact<float> floats(count, [&] { return AnyFloat(random); });
    const Exact<std::int8_t> int8s(count, [&] { return static_cast<std::int8_t>(random.Between(-128, 127)); });
    const Exact<std::uint8_t> bools(count, [&] { return static_cast<std::uint8_t>(random.Between(0, 1)); });
    const Exact<Word> packed = DrawSigns(random, rows, channels);
    const std::vector<int> signs = reference::Unpack(packed.data(), rows, channels);
    std::vector<int> negative, below, zero;
    std::vector<float> unpacked;
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < count; ++i) {
      negative.push_back(floats.data()[i] < 0 ? -1 : 1);
      below.push_back(int8s.data()[i] < zero_point ? -1 : 1);
      zero.push_back(bools.data()[i] == 0 ? -1 : 1);
      unpacked.push_back(static_cast<float>(signs[i]));
      bytes.push_back(signs[i] > 0 ? 17 : 3);
    }
    CAPTURE(rows);
    CAPTURE(channels);
    ThreadPool pool(random.Between(1, 3));
    for (const Level level : SupportedLevels()) {
      CAPTURE(Name(level));
      Exact<Word> words(packed.size());
      QuantizeFloat(floats.data(), rows, channels, words.data(), level, pool);
      CHECK(ToVector(words) == reference::Pack(negative, channels));
      QuantizeInt8(int8s.data(), rows, channels, zero_point, words.data(), level, pool);
      CHECK(ToVector(words) == reference::Pack(below, channels));
      QuantizeBool(bools.data(), rows, channels, words.data(), level, pool);
      CHECK(ToVector(words) == reference::Pack(zero, channels));
      Exact<float> values(count);
      DequantizeFloat(packed.data(), rows, channels, values.data(), level, pool);
      CHECK(ToVector(values) == unpacked);
      Exact<std::uint8_t> found(count);
      DequantizeBytes(packed.data(), rows, channels, 17, 3, found.data(), level, pool);
      CHECK(ToVector(found) == bytes);
    }
  }
}

TEST_CASE("signs of planes") {
  Random random(2);
  for (int round = 0; round < 100; ++round) {
    const int channels = random.Between(1, 140), height = random.Between(1, 9), width = random.Between(1, 9);
    const int batch = random.Between(0, 2);
    reference::Images<float> images(batch, height, width, channels);
    for (float& value : images.values) value = AnyFloat(random);
    const std::vector<int> signs = reference::SignsOf(images.values);
    const std::vector<float> planes = reference::ToPlanes(images);
    ThreadPool pool(random.Between(1, 3));
    for (const Level level : SupportedLevels()) {
      CAPTURE(Name(level));
      Exact<Word> words(reference::CountOf({batch, height, width, WordsFor(channels)}));
      PackPlanes(planes.data(), batch, channels, reference::CountOf({height, width}), words.data(), level, pool);
      CHECK(ToVector(words) == reference::Pack(signs, channels));
    }
  }
}

TEST_CASE("maxima of signs over windows") {
  Random random(3);
  for (int done = 0; done < 300;) {
    const BmaxpoolParams p = DrawBmaxpool(random);
    const Batch batch = DrawBatch(random);
    std::string error;
    const auto kernel = Bmaxpool::Create(p, &error);
    REQUIRE_MESSAGE(kernel != nullptr, error);
    const bool fits = IsWorthwhile(p, batch, 0);
    CHECK(kernel->Resize(batch.height, batch.width, &error) == fits);
    if (!fits) continue;
    ++done;
    CAPTURE(Describe(p, batch));
    reference::Images<Word> input(batch.images, batch.height, batch.width, p.words);
    for (Word& word : input.values) word = random.Bits() | random.Bits();
    Exact<Word> output(static_cast<std::size_t>(batch.images * kernel->out_height() * kernel->out_width() * p.words));
    ThreadPool pool(random.Between(1, 3));
    REQUIRE(RunInWorkspace(*kernel, {input.values.data(), output.data()}, batch.images, pool) == nullptr);
    CHECK(ToVector(output) == reference::Bmaxpool(p, input).values);
  }
}

}  // namespace
}  // namespace fdabnn
