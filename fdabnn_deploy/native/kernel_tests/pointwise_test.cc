#include "kernels/pointwise.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernel_tests/cases.h"

namespace fdabnn {
namespace {

std::vector<float> DrawValues(Random& random, std::size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = random.Float();
  return values;
}

// One step, one value at a time. Signs are those of the result.
std::vector<float> Reference(const PointwiseStep& s, const std::vector<float>& a, const std::vector<float>& b, std::size_t channels) {
  std::vector<float> result(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::size_t c = i % channels;
    float y = a[i];
    const float other = s.constant.empty() ? b[i] : s.constant[c];
    switch (s.kind) {
      case PointwiseKind::kLayer:
        if (!s.slope.empty() && y < 0) y *= s.slope[c];
        if (!s.scale.empty()) y *= s.scale[c];
        if (!s.offset.empty()) y += s.offset[c];
        if (s.residual == Residual::kAdd) y += other;
        if (s.residual == Residual::kSubtract) y -= other;
        if (s.residual == Residual::kSubtractFrom) y = other - y;
        break;
      case PointwiseKind::kAdd:
        y += other;
        break;
      case PointwiseKind::kSubtract:
        y -= other;
        break;
      case PointwiseKind::kMultiply:
        y *= other;
        break;
      case PointwiseKind::kMinimum:
        y = y < other ? y : other;
        break;
      case PointwiseKind::kMaximum:
        y = y > other ? y : other;
        break;
      case PointwiseKind::kRound:
        y = std::nearbyintf(y);
    }
    result[i] = y;
  }
  return result;
}

PointwiseStep DrawStep(Random& random, std::size_t channels) {
  PointwiseStep step;
  step.kind = static_cast<PointwiseKind>(random.Between(0, 6));
  step.a = 0;
  step.b = 1;
  step.result = 2;
  const auto maybe = [&] { return random.Between(0, 1) == 1 ? DrawValues(random, channels) : std::vector<float>(); };
  if (step.kind == PointwiseKind::kLayer) {
    step.slope = maybe();
    step.scale = maybe();
    step.offset = maybe();
    step.residual = static_cast<Residual>(random.Between(0, 3));
    step.signs = 3;
    if (random.Between(0, 3) == 0) step.result = -1;
  } else if (step.kind != PointwiseKind::kRound) {
    step.constant = maybe();
    if (!step.constant.empty()) step.b = -1;
  }
  return step;
}

TEST_CASE("operators of single values equal their formulas") {
  Random random(1);
  for (int done = 0; done < 400; ++done) {
    const int channels = random.Between(1, 80);
    const std::size_t pixels = static_cast<std::size_t>(random.Between(0, 12)), count = pixels * static_cast<std::size_t>(channels);
    const PointwiseStep step = DrawStep(random, static_cast<std::size_t>(channels));
    const std::vector<float> a = DrawValues(random, count), b = DrawValues(random, count);
    const std::vector<float> expected = Reference(step, a, b, static_cast<std::size_t>(channels));
    for (const Level level : SupportedLevels()) {
      CAPTURE(Name(level));
      CAPTURE(static_cast<int>(step.kind));
      const PointwiseProgram program({step}, channels, level);
      Exact<float> first(count), second(count), result(count);
      std::copy(a.begin(), a.end(), first.data());
      std::copy(b.begin(), b.end(), second.data());
      Exact<Word> signs(pixels * static_cast<std::size_t>(WordsFor(channels)));
      float* const places[] = {first.data(), second.data(), result.data(), nullptr};
      Word* const words[] = {nullptr, nullptr, nullptr, signs.data()};
      program.Run(places, words, pixels);
      if (step.result >= 0) CHECK(BitsOf(ToVector(result)) == BitsOf(expected));
      if (step.signs >= 0) CHECK(ToVector(signs) == reference::Pack(reference::SignsOf(expected), channels));
    }
  }
}

TEST_CASE("halves are rounded to even, and what has no fraction stays") {
  const std::vector<float> values = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 8388607.5f, 16777216.0f, -3e38f, 0.49999997f};
  PointwiseStep step;
  step.kind = PointwiseKind::kRound;
  step.a = 0;
  step.result = 1;
  for (const Level level : SupportedLevels()) {
    std::vector<float> from = values, to(values.size());
    float* const places[] = {from.data(), to.data()};
    Word* const words[] = {nullptr, nullptr};
    PointwiseProgram({step}, static_cast<int>(values.size()), level).Run(places, words, 1);
    for (std::size_t i = 0; i < values.size(); ++i) CHECK(to[i] == std::nearbyintf(values[i]));
  }
}

}  // namespace
}  // namespace fdabnn
