// From a tree of differences to steps over a small stack of results.
#pragma once

#include <string>
#include <vector>

#include "kernels/conv_sum_tile.h"

namespace fdabnn {

// Computes a convolution and finishes it into a slot; or, where `term` is kSubtract, the difference of a slot and the one behind it:
// slot = slot - next with ConvSumFinish::kSubtract, slot = next - slot with ConvSumFinish::kFrom.
struct ConvSumStep {
  int term;
  int slot;
  ConvSumFinish finish;
};

struct ConvSumPlan {
  std::vector<ConvSumStep> steps;  // the result is in slot 0
  int slots = 0;
};

// The side that needs more slots is computed first, so that n convolutions need at most 1 + log2(n), and a chain one.
// Source: Sethi and Ullman, "The generation of optimal code for arithmetic expressions", 1970.
// Returns null, or why the expression is refused.
const char* PlanConvSum(const std::vector<int>& expression, int terms, ConvSumPlan* plan);

// The expression without the terms that are zero, wherever one is subtracted.
std::vector<int> WithoutZeros(const std::vector<int>& expression, const std::vector<bool>& is_zero);

}  // namespace fdabnn
