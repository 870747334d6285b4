#include <doctest/doctest.h>

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
      constants.emplace_back(weights, number);
      constants.emplace_back(static_cast<std::size_t>(p.channels_out), number);
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
      REQUIRE(RunInWorkspace(*sum, {inputs, output.data()}, batch.images, pool) == nullptr);
      // A sum of nothing but zeros may have either sign.
      CHECK(ToVector(output) == expected);
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

TEST_CASE("damaged trees are refused") {
  ConvSumPlan plan;
  for (const std::vector<int>& tree : {std::vector<int>{}, {0, 1}, {kSubtract}, {0, kSubtract}, {2}, {0, 1, kSubtract, kSubtract}}) {
    CHECK(PlanConvSum(tree, 2, &plan) != nullptr);
  }
}

}  // namespace
}  // namespace fdabnn
