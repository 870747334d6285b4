// The constants in a file of a tree of differences of convolutions, those of conv_sum_graph.h's trees.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/graph.h"
#include "litert/conv_sum_graph.h"
#include "litert/op.h"

namespace fdabnn {

constexpr std::size_t kOfTerm = 3;    // tensors of a convolution: input, filter, bias
constexpr std::size_t kOfBorder = 3;  // offsets, classes of rows, of columns

inline Border BorderOf(const ConvSumTree& tree) {
  return tree.border.empty() ? Border::kNone : tree.border_subtracted ? Border::kSubtracted : Border::kAdded;
}

// sources: of a convolution, which of the images it reads. tensors: the inputs of MakeConvSum. Throws Refusal.
engine::FloatConv ReadFloatConv(const Tensors& tensors, const ConvSumParams& params, const std::vector<int>& expression,
                                const std::vector<int>& sources, Border border);

}  // namespace fdabnn
