// Differences of float convolutions in a graph: trees of SUB nodes whose leaves are CONV_2D nodes, as exact numerics writes a float layer;
// behind a layer of pixels with an ADD or SUB of a constant that two GATHERs place by row and column.
#pragma once

#include <vector>

#include "kernels/conv_sum.h"
#include "litert/tflite_abi.h"

namespace fdabnn {

struct ConvSumTree {
  ConvSumParams params;
  std::vector<int> inputs;  // tensors: input, filter and bias of every convolution
  std::vector<int> border;  // tensors: offsets [1, classes of rows, classes of columns, channels], and the class of each row and column
  bool border_subtracted = false;
  std::vector<int> expression;
  std::vector<int> nodes;  // as the plan orders them
  int output = 0;          // tensor
};

// The largest trees among some nodes: float32, no activation, filters and biases that are constants, one geometry, and no result used
// twice. Whether a result is an output of the graph too cannot be seen here.
std::vector<ConvSumTree> FindConvSums(const TfLiteContext& context, const std::vector<int>& plan);

}  // namespace fdabnn
