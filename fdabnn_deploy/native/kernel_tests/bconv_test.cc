#include <doctest/doctest.h>

#include <climits>

#include "kernel_tests/cases.h"

namespace fdabnn {
namespace {

// Constants of one convolution, and an input.
struct Case {
  Case(Random& random, const BconvParams& p, const Batch& batch)
      : input(random, batch, p.channels_in),
        filter(DrawSigns(random, reference::CountOf({p.channels_out, p.kernel_h, p.kernel_w}), p.channels_in / p.groups)),
        multiplier(static_cast<std::size_t>(p.channels_out), [&] { return random.Float(); }),
        bias(multiplier.size(), [&] { return random.Float(); }),
        thresholds(multiplier.size(), [&] { return random.OneOf({INT_MIN, 0, 5, 30, 150, INT_MAX}); }),
        constants{filter.data(), multiplier.data(), bias.data(), thresholds.data()} {}

  SignImages input;
  Exact<Word> filter;
  Exact<float> multiplier, bias;
  Exact<std::int32_t> thresholds;
  BconvConstants constants;
};

template <class T>
std::vector<T> Compute(const BconvParams& p, const Case& drawn, const Batch& batch, Level level, ThreadPool& pool) {
  std::string error;
  const auto conv = Bconv::Create(p, drawn.constants, level, &error);
  REQUIRE_MESSAGE(conv != nullptr, error);
  REQUIRE_MESSAGE(conv->Resize(batch.height, batch.width, &error), error);
  const int depth = p.output == OutputType::kPacked ? WordsFor(p.channels_out) : p.channels_out;
  Exact<T> output(static_cast<std::size_t>(batch.images * conv->out_height() * conv->out_width() * depth));
  REQUIRE(RunInWorkspace(*conv, {drawn.input.words.data(), output.data()}, batch.images, pool) == nullptr);
  return ToVector(output);
}

void Check(const BconvParams& p, const Case& drawn, const Batch& batch, ThreadPool& pool) {
  const reference::Images<int>& input = drawn.input.signs;
  for (const Level level : SupportedLevels()) {
    CAPTURE(Name(level));
    switch (p.output) {
      case OutputType::kFloat:
        CHECK(BitsOf(Compute<float>(p, drawn, batch, level, pool)) == BitsOf(reference::BconvFloat(p, drawn.constants, input).values));
        break;
      case OutputType::kPacked:
        CHECK(Compute<Word>(p, drawn, batch, level, pool) == reference::BconvPacked(p, drawn.constants, input));
        break;
      case OutputType::kInt8:
        CHECK(Compute<std::int8_t>(p, drawn, batch, level, pool) == reference::BconvInt8(p, drawn.constants, input));
    }
  }
}

TEST_CASE("binary convolutions of drawn shapes") {
  Random random(1);
  for (int done = 0; done < 300;) {
    const BconvParams p = DrawBconv(random);
    const Batch batch = DrawBatch(random);
    if (!IsWorthwhile(p, batch, ProductsOfPixel(p))) continue;
    ++done;
    ThreadPool pool(random.Between(1, 3));
    CAPTURE(Describe(p, batch));
    Check(p, Case(random, p, batch), batch, pool);
  }
}

TEST_CASE("dense layers, whose images or channels threads share") {
  Random random(2);
  for (int round = 0; round < 60; ++round) {
    BconvParams p;
    p.channels_in = random.Between(1, 700);
    p.channels_out = random.OneOf({1, 7, 64, 65, 130, 260});
    p.output = static_cast<OutputType>(random.Between(0, 2));
    p.stride_h = p.stride_w = random.Between(1, 3);
    const Batch batch = {random.Between(0, 20), 1, 1};
    ThreadPool pool(random.Between(1, 3));
    CAPTURE(Describe(p, batch));
    Check(p, Case(random, p, batch), batch, pool);
  }
}

TEST_CASE("one convolution for images of any size, in any order") {
  Random random(3);
  BconvParams p;
  p.channels_in = 40;
  p.channels_out = 33;
  p.kernel_h = p.kernel_w = 3;
  p.same_padding = true;
  const Case constants(random, p, {0, 1, 1});
  ThreadPool pool(2);
  for (const Level level : SupportedLevels()) {
    std::string error;
    const auto conv = Bconv::Create(p, constants.constants, level, &error);
    REQUIRE(conv != nullptr);
    for (const Batch& batch : {Batch{1, 5, 5}, Batch{2, 1, 9}, Batch{1, 1, 1}, Batch{1, 5, 5}}) {
      CAPTURE(Describe(p, batch));
      const SignImages input(random, batch, p.channels_in);
      REQUIRE(conv->Resize(batch.height, batch.width, &error));
      Exact<float> output(reference::CountOf({batch.images, batch.height, batch.width, p.channels_out}));
      REQUIRE(RunInWorkspace(*conv, {input.words.data(), output.data()}, batch.images, pool) == nullptr);
      CHECK(BitsOf(ToVector(output)) == BitsOf(reference::BconvFloat(p, constants.constants, input.signs).values));
    }
  }
}

TEST_CASE("what a convolution refuses") {
  Random random(4);
  BconvParams p;
  p.channels_in = 33;
  p.channels_out = 2;
  p.kernel_h = p.kernel_w = 3;
  const Case drawn(random, p, {1, 3, 3});
  std::string error;
  const auto refuses = [&](const BconvParams& params, const BconvConstants& constants, const char* reason) {
    CHECK(Bconv::Create(params, constants, Level::kScalar, &error) == nullptr);
    CHECK(error.find(reason) != std::string::npos);
  };
  BconvParams changed = p;
  changed.pad_left = 3;
  refuses(changed, drawn.constants, "padding is negative, or not smaller");
  changed = p;
  changed.pad_value = 2;
  refuses(changed, drawn.constants, "pad value");
  changed = p;
  changed.pad_bottom = 1;
  changed.output = OutputType::kPacked;
  refuses(changed, drawn.constants, "zero padding needs float output");
  refuses(p, {nullptr, drawn.multiplier.data(), drawn.bias.data(), nullptr}, "filter is missing");
  refuses(p, {drawn.filter.data(), nullptr, drawn.bias.data(), nullptr}, "multiplier or bias is missing");

  Exact<Word> filter(drawn.filter.size());
  std::copy_n(drawn.filter.data(), filter.size(), filter.data());
  filter.data()[1] |= 1u << 31;
  refuses(p, {filter.data(), drawn.multiplier.data(), drawn.bias.data(), nullptr}, "bits behind its last channel");

  const auto conv = Bconv::Create(p, drawn.constants, Level::kScalar, &error);
  REQUIRE(conv != nullptr);
  CHECK_FALSE(conv->Resize(2, 3, &error));
  CHECK(error == "its input is smaller than its filter: a window of 3 x 3 on an input of 2 x 3");
  CHECK_FALSE(conv->Resize(3, 0, &error));
  CHECK_FALSE(conv->Resize(1 << 24, 1 << 24, &error));
  CHECK(error == "its input or output is too large");
}

}  // namespace
}  // namespace fdabnn
