// Differences of float32 convolutions of one geometry, as exact numerics writes a layer: filters OHWI, zero padding.
//
//   c_i = bias_i + sum over the window of input_(i) * filter_i
//   y   = a tree of differences of the c_i, for example c_2 - (c_0 - c_1)
//
// Every difference is rounded once, in the tree's order. The sum of a convolution is taken in any order, with or without fused
// multiply-adds: all levels and numbers of threads, and other runtimes, give equal bits where all its partial sums are exact, as those of
// whole numbers below 2^24 units are. Source: docs/numerics.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/image_kernel.h"
#include "kernels/level.h"
#include "kernels/row_sink.h"

namespace fdabnn {

// What the convolutions have in common.
struct ConvSumParams : Windows {
  int channels_in = 0;
  int channels_out = 0;
  bool planes = false;  // inputs and output are [batch, channels, height, width], else [batch, height, width, channels]
  bool octets = false;  // the only input is bytes, of which each stands for its value less 128
};

// One convolution. The constants are copied.
struct ConvSumTerm {
  int input = 0;                  // which of the inputs
  const float* filter = nullptr;  // [channels_out, kernel_h, kernel_w, channels_in]
  const float* bias = nullptr;    // [channels_out]
};

// Numbers that are added to the tree's result, each by the class of the row and of the column in which it stands: others at the borders.
//   y[i][j][c] = fl(result[i][j][c] + offset[rows[i]][columns[j]][c])
// The output has as many rows and columns; the constants are copied. Without rows there is no such addition.
struct ConvSumBorder {
  std::vector<float> offset;  // [classes of rows, classes of columns, channels_out]
  std::vector<int> rows;
  std::vector<int> columns;
};

// In an expression: the difference of the two results in front of it.
constexpr int kSubtract = -1;

// Of a call; how images lie say the parameters.
struct ConvSumTensors {
  const float* const* inputs = nullptr;  // as many as the terms name
  const std::uint8_t* octets = nullptr;  // with `octets`, in their place
  float* output = nullptr;
  const RowSink* sink = nullptr;  // takes the output in the place of `output`; not with `planes`
};

class ConvSum : public ImageKernel<ConvSumTensors> {
 public:
  // `expression` is the tree in postfix notation: the number of a term stands for its convolution, and `0 1 kSubtract` is c_0 - c_1.
  // Repacks the filters for a level; `border` is added behind the tree.
  static std::unique_ptr<ConvSum> Create(const ConvSumParams& params, const std::vector<ConvSumTerm>& terms,
                                         const std::vector<int>& expression, const ConvSumBorder& border, Level level, std::string* error);

  // Rows that a sink gets at a time, at most.
  virtual int SinkRows() const = 0;

 protected:
  using ImageKernel::ImageKernel;
};

}  // namespace fdabnn
