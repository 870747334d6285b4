#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernel_tests/cases.h"
#include "kernels/conv_sum_plan.h"

namespace fdabnn {
namespace {

// A tree of differences of `leaves` terms in postfix notation.
std::vector<int> DrawTree(Random& random, int leaves, int terms) {
  if (leaves == 1) return {random.Between(0, terms - 1)};
  const int left = random.Between(1, leaves - 1);
  std::vector<int> tree = DrawTree(random, left, terms);
  const std::vector<int> right = DrawTree(random, leaves - left, terms);
  tree.insert(tree.end(), right.begin(), right.end());
  tree.push_back(kSubtract);
  return tree;
}

std::vector<float> Evaluate(const std::vector<int>& tree, const std::vector<std::vector<float>>& terms) {
  std::vector<std::vector<float>> stack;
  for (const int item : tree) {
    if (item != kSubtract) {
      stack.push_back(terms[static_cast<std::size_t>(item)]);
      continue;
    }
    const std::vector<float> right = stack.back();
    stack.pop_back();
    for (std::size_t i = 0; i < right.size(); ++i) stack.back()[i] -= right[i];
  }
  return stack.back();
}

TEST_CASE("differences of convolutions of drawn shapes") {
  Random random(1);
  for (int done = 0; done < 150;) {
    const ConvSumParams p = DrawConvSum(random);
    const Batch batch = DrawBatch(random);
    if (!IsWorthwhile(p, batch, 1.0 * p.channels_out * p.kernel_h * p.kernel_w * p.channels_in)) continue;
    ++done;
    CAPTURE(Describe(p, batch));
    const auto number = [&] { return static_cast<float>(random.Between(-9, 9)); };
    std::vector<reference::Images<float>> images(2, {batch.images, batch.height, batch.width, p.channels_in});
    for (auto& image : images) {
      for (float& value : image.values) value = number();
    }
    // A number of more bits than 16, for the other way of computing.
    if (batch.images > 0 && random.Between(0, 2) == 0) images[1].values[0] = 0x20001;
    const std::size_t weights = reference::CountOf({p.channels_out, p.kernel_h, p.kernel_w, p.channels_in});
    std::vector<Exact<float>> constants;
    std::vector<ConvSumTerm> terms;
    std::vector<std::vector<float>> results;
    const int count = random.Between(1, 4);
    for (int i = 0; i < count; ++i) {
      // Sometimes a term of zeros, which whole numbers leave out.
      const int most = random.Between(0, 3) == 0 ? 0 : 9;
      const auto constant = [&] { return static_cast<float>(random.Between(-most, most)); };
      constants.emplace_back(weights, constant);
      constants.emplace_back(static_cast<std::size_t>(p.channels_out), constant);
      const std::size_t made = constants.size();
      terms.push_back({i % 2, constants[made - 2].data(), constants[made - 1].data()});
      const reference::Images<float> result = reference::Conv(p, terms.back(), images[static_cast<std::size_t>(i % 2)]);
      results.push_back(p.planes ? reference::ToPlanes(result) : result.values);
    }
    const std::vector<int> tree = DrawTree(random, random.Between(1, 9), count);
    const std::vector<float> expected = Evaluate(tree, results);
    const std::vector<float> first = p.planes ? reference::ToPlanes(images[0]) : images[0].values;
    const std::vector<float> second = p.planes ? reference::ToPlanes(images[1]) : images[1].values;
    const float* const inputs[] = {first.data(), second.data()};
    ThreadPool pool(random.Between(1, 3));
    for (const Level level : SupportedLevels()) {
      CAPTURE(Name(level));
      std::string error;
      const auto sum = ConvSum::Create(p, terms, tree, {}, level, &error);
      REQUIRE_MESSAGE(sum != nullptr, error);
      REQUIRE_MESSAGE(sum->Resize(batch.height, batch.width, &error), error);
      Exact<float> output(expected.size());
      REQUIRE(RunInWorkspace(*sum, {inputs, nullptr, output.data()}, batch.images, pool) == nullptr);
      // A sum of nothing but zeros may have either sign.
      CHECK(ToVector(output) == expected);
    }
  }
}

TEST_CASE("a difference of an image of bytes, with offsets at its borders") {
  Random random(3);
  for (int done = 0; done < 120;) {
    ConvSumParams p = DrawConvSum(random);
    const Batch batch = DrawBatch(random);
    const int taps = p.kernel_h * p.kernel_w * p.channels_in;
    if (!IsWorthwhile(p, batch, 2.0 * p.channels_out * taps)) continue;
    ++done;
    CAPTURE(Describe(p, batch));
    // Weights of any size up to those whose sums have 24 bits; the second filter's are smaller by a power of two.
    const int most = 1 << random.Between(0, std::max(17 - static_cast<int>(std::ceil(std::log2(taps))), 0));
    const float unit = std::ldexp(1.0f, random.Between(-9, 9)), finer = std::ldexp(unit, -random.Between(0, 11));
    const std::size_t weights = reference::CountOf({p.channels_out, p.kernel_h, p.kernel_w, p.channels_in});
    const auto channels = static_cast<std::size_t>(p.channels_out);
    const Exact<float> filters[] = {{weights, [&] { return static_cast<float>(random.Between(-most, most)) * unit; }},
                                    {weights, [&] { return static_cast<float>(random.Between(-most, most)) * finer; }}};
    const Exact<float> none(channels, [] { return 0.0f; });
    const std::vector<ConvSumTerm> terms = {{0, filters[0].data(), none.data()}, {0, filters[1].data(), none.data()}};
    reference::Images<float> image(batch.images, batch.height, batch.width, p.channels_in);
    for (float& value : image.values) value = static_cast<float>(random.Between(-128, 127));
    const auto laid = [&](const reference::Images<float>& images) { return p.planes ? reference::ToPlanes(images) : images.values; };
    const reference::Images<float> first = reference::Conv(p, terms[0], image), second = reference::Conv(p, terms[1], image);
    ConvSumBorder border;
    reference::Images<float> result = first;
    const bool bordered = first.values.size() > 0 && random.Between(0, 1) == 1;
    for (int y = 0; bordered && y < first.height; ++y) border.rows.push_back(y == 0 ? 0 : random.Between(0, 2));
    for (int x = 0; bordered && x < first.width; ++x) border.columns.push_back(x == 0 ? 1 : random.Between(0, 1));
    const auto classes = [](const std::vector<int>& places) { return 1 + *std::max_element(places.begin(), places.end()); };
    if (bordered) border.offset.resize(static_cast<std::size_t>(classes(border.rows) * classes(border.columns)) * channels);
    for (float& offset : border.offset) offset = static_cast<float>(random.Between(-999, 999)) / 7;
    for (std::size_t i = 0; i < result.values.size(); ++i) {
      result.values[i] = first.values[i] - second.values[i];
      if (!bordered) continue;
      const std::size_t pixel = i / channels % static_cast<std::size_t>(first.height * first.width);
      const auto row = static_cast<std::size_t>(border.rows[pixel / static_cast<std::size_t>(first.width)]);
      const auto column = static_cast<std::size_t>(border.columns[pixel % static_cast<std::size_t>(first.width)]);
      result.values[i] += border.offset[(row * static_cast<std::size_t>(classes(border.columns)) + column) * channels + i % channels];
    }
    const std::vector<float> expected = laid(result), floats = laid(image);
    std::vector<std::uint8_t> octets;
    octets.reserve(floats.size());
    for (const float value : floats) octets.push_back(static_cast<std::uint8_t>(value + 128));
    const float* const inputs[] = {floats.data()};
    ThreadPool pool(random.Between(1, 3));
    for (const bool bytes : {false, true}) {
      p.octets = bytes;
      for (const Level level : SupportedLevels()) {
        CAPTURE(Name(level));
        CAPTURE(bytes);
        std::string error;
        const auto sum = ConvSum::Create(p, terms, {0, 1, kSubtract}, border, level, &error);
        REQUIRE_MESSAGE(sum != nullptr, error);
        REQUIRE_MESSAGE(sum->Resize(batch.height, batch.width, &error), error);
        Exact<float> output(expected.size());
        REQUIRE(RunInWorkspace(*sum, {inputs, octets.data(), output.data()}, batch.images, pool) == nullptr);
        CHECK(ToVector(output) == expected);
      }
    }
  }
}

TEST_CASE("a plan needs few slots, and computes its tree") {
  Random random(2);
  for (int round = 0; round < 300; ++round) {
    const int leaves = random.Between(1, 40);
    const std::vector<int> tree = DrawTree(random, leaves, 3);
    ConvSumPlan plan;
    REQUIRE(PlanConvSum(tree, 3, &plan) == nullptr);
    int most = 1;
    while (1 << (most - 1) < leaves) ++most;
    CHECK(plan.slots <= most);

    const std::vector<std::vector<float>> terms = {{1}, {10}, {100}};
    std::vector<float> slots(static_cast<std::size_t>(plan.slots) + 1);
    for (const ConvSumStep& step : plan.steps) {
      float& slot = slots[static_cast<std::size_t>(step.slot)];
      const float value =
          step.term == kSubtract ? slots[static_cast<std::size_t>(step.slot) + 1] : terms[static_cast<std::size_t>(step.term)][0];
      slot = step.finish == ConvSumFinish::kStore ? value : step.finish == ConvSumFinish::kSubtract ? slot - value : value - slot;
    }
    CHECK(slots[0] == Evaluate(tree, terms)[0]);
  }
}

TEST_CASE("a tree without its terms of zeros has the same result") {
  Random random(4);
  int shorter = 0;
  for (int round = 0; round < 300; ++round) {
    const std::vector<int> tree = DrawTree(random, random.Between(1, 12), 4);
    std::vector<std::vector<float>> terms;
    std::vector<bool> is_zero;
    for (int i = 0; i < 4; ++i) {
      is_zero.push_back(random.Between(0, 1) == 0);
      terms.push_back({is_zero.back() ? 0.0f : std::ldexp(1.0f, 4 * i)});
    }
    const std::vector<int> left = WithoutZeros(tree, is_zero);
    CHECK(Evaluate(left, terms) == Evaluate(tree, terms));
    shorter += left.size() < tree.size();
    ConvSumPlan plan, whole;
    REQUIRE(PlanConvSum(left, 4, &plan) == nullptr);
    REQUIRE(PlanConvSum(tree, 4, &whole) == nullptr);
    CHECK(plan.slots <= whole.slots);
  }
  CHECK(shorter > 100);
  CHECK(WithoutZeros({0, 1, kSubtract}, {false, true}) == std::vector<int>{0});
  CHECK(WithoutZeros({0, 1, kSubtract}, {true, false}) == std::vector<int>{0, 1, kSubtract});
}

TEST_CASE("damaged trees are refused") {
  ConvSumPlan plan;
  for (const std::vector<int>& tree : {std::vector<int>{}, {0, 1}, {kSubtract}, {0, kSubtract}, {2}, {0, 1, kSubtract, kSubtract}}) {
    CHECK(PlanConvSum(tree, 2, &plan) != nullptr);
  }
}

}  // namespace
}  // namespace fdabnn
