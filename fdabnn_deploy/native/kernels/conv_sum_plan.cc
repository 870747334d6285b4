#include "kernels/conv_sum_plan.h"

#include <utility>

#include "kernels/conv_sum.h"

namespace fdabnn {
namespace {

bool IsConvolution(const ConvSumPlan& plan) { return plan.steps.size() == 1; }

// `second` is computed behind `first`, and they are subtracted as `finish` says of the slot that `first` is in.
ConvSumPlan Join(ConvSumPlan first, const ConvSumPlan& second, ConvSumFinish finish) {
  if (IsConvolution(second)) {
    first.steps.push_back({second.steps[0].term, 0, finish});
    return first;
  }
  for (ConvSumStep step : second.steps) {
    ++step.slot;
    first.steps.push_back(step);
  }
  first.steps.push_back({kSubtract, 0, finish});
  if (first.slots < second.slots + 1) first.slots = second.slots + 1;
  return first;
}

}  // namespace

const char* PlanConvSum(const std::vector<int>& expression, int terms, ConvSumPlan* plan) {
  std::vector<ConvSumPlan> stack;
  for (const int item : expression) {
    if (item >= 0 && item < terms) {
      ConvSumPlan leaf;
      leaf.steps.push_back({item, 0, ConvSumFinish::kStore});
      leaf.slots = 1;
      stack.push_back(std::move(leaf));
      continue;
    }
    if (item != kSubtract || stack.size() < 2) return "its expression is damaged";
    ConvSumPlan right = std::move(stack.back());
    stack.pop_back();
    ConvSumPlan left = std::move(stack.back());
    // A lone convolution comes second: it is subtracted in the registers.
    const bool left_first = left.slots > right.slots || (left.slots == right.slots && !IsConvolution(left));
    stack.back() = left_first ? Join(std::move(left), right, ConvSumFinish::kSubtract) : Join(std::move(right), left, ConvSumFinish::kFrom);
  }
  if (stack.size() != 1) return "its expression is damaged";
  *plan = std::move(stack.back());
  return nullptr;
}

std::vector<int> WithoutZeros(const std::vector<int>& expression, const std::vector<bool>& is_zero) {
  std::vector<std::vector<int>> stack;
  for (const int item : expression) {
    if (item != kSubtract) {
      stack.push_back({item});
      continue;
    }
    const std::vector<int> right = std::move(stack.back());
    stack.pop_back();
    if (right.size() == 1 && is_zero[static_cast<std::size_t>(right[0])]) continue;
    stack.back().insert(stack.back().end(), right.begin(), right.end());
    stack.back().push_back(kSubtract);
  }
  return stack.back();
}

}  // namespace fdabnn
