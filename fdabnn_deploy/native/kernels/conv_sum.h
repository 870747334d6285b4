// Differences of float32 convolutions of one geometry, as exact numerics writes a layer: filters OHWI, zero padding.
//
//   c_i = bias_i + sum over the window of input_(i) * filter_i
//   y   = a tree of differences of the c_i, for example c_2 - (c_0 - c_1)
//
// Every difference is rounded once, in the tree's order. The sum of a convolution is taken in any order, with or without fused
// multiply-adds: all levels and numbers of threads, and other runtimes, give equal bits where all its partial sums are exact, as those of
// whole numbers below 2^24 units are. Source: docs/numerics.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/level.h"
#include "kernels/thread_pool.h"

namespace fdabnn {

// What the convolutions have in common.
struct ConvSumParams {
  int channels_in = 0;
  int channels_out = 0;
  int kernel_h = 0;
  int kernel_w = 0;
  int stride_h = 1;
  int stride_w = 1;
  int dilation_h = 1;
  int dilation_w = 1;
  bool same_padding = false;  // TensorFlow's SAME, else what follows
  int pad_top = 0;            // each smaller than the dilated filter
  int pad_left = 0;
  int pad_bottom = 0;
  int pad_right = 0;
  bool planes = false;  // inputs and output are [batch, channels, height, width], else [batch, height, width, channels]
};

// One convolution. The constants are copied.
struct ConvSumTerm {
  int input = 0;                  // which of the inputs
  const float* filter = nullptr;  // [channels_out, kernel_h, kernel_w, channels_in]
  const float* bias = nullptr;    // [channels_out]
};

// In an expression: the difference of the two results in front of it.
constexpr int kSubtract = -1;

class ConvSum {
 public:
  // `expression` is the tree in postfix notation: the number of a term stands for its convolution, and `0 1 kSubtract` is c_0 - c_1.
  // Checks everything and repacks the filters for a level. Returns null and the reason where something is refused.
  static std::unique_ptr<ConvSum> Create(const ConvSumParams& params, const std::vector<ConvSumTerm>& terms,
                                         const std::vector<int>& expression, Level level, std::string* error);
  virtual ~ConvSum() = default;

  // Has to be called before the first Run, and again for every new size of the inputs. Returns false and the reason where no output is left
  // or sizes go beyond what memory can hold.
  virtual bool Resize(int in_height, int in_width, std::string* error) = 0;

  virtual int out_height() const = 0;
  virtual int out_width() const = 0;

  // Bytes of scratch memory that Run wants for a number of threads, aligned to 64.
  virtual std::size_t WorkspaceBytes(int threads) const = 0;

  // inputs[i] -> output; how they lie say the parameters.
  // Any number of calls may run at a time, each with a workspace and a pool of its own.
  virtual void Run(const float* const* inputs, int batch, float* output, ThreadPool& pool, void* workspace) const = 0;
};

}  // namespace fdabnn
