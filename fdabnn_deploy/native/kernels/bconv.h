// Binary convolution: NHWC, signs packed along the channels, LceBconv2d's arithmetic.
//
// With p the number of taps at which input and filter differ (padding counts as +1), K = kernel_h * kernel_w * channels_in / groups:
//
//   float   y = fl(fl(x * -m) + fl(b + K * m)),  x = clamp(2 p);  zero padding adds fl(-m * sum of the filter's outside taps)
//   packed  bit = p > threshold
//   int8    saturate(round(fl(fl(x * fl(-m / s)) + fl((b + K * m) / s + z)))), halves away from zero
//
// m, b: multiplier and bias per output channel; s, z: scale and zero point of the output; fl: rounding to float32. x is clamped to
// [K - high, K - low] for an activation that clamps to [low, high]. Source: docs/delegate.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/binary_conv.h"
#include "kernels/image_kernel.h"
#include "kernels/level.h"
#include "kernels/row_sink.h"
#include "kernels/words.h"

namespace fdabnn {

enum class Activation { kNone, kRelu, kReluN1To1, kRelu6 };

enum class OutputType { kFloat, kPacked, kInt8 };

// What an operator's options and constant shapes say.
struct BconvParams : BinaryConvParams {
  Activation activation = Activation::kNone;
  OutputType output = OutputType::kFloat;
  float output_scale = 1;     // of int8
  int output_zero_point = 0;  // of int8
};

// Constants in the operator's own layout; they are copied.
struct BconvConstants {
  const Word* filter = nullptr;              // [channels_out, kernel_h, kernel_w, WordsFor(channels_in / groups)]
  const float* multiplier = nullptr;         // [channels_out], of float and int8 output
  const float* bias = nullptr;               // likewise
  const std::int32_t* thresholds = nullptr;  // [channels_out], of packed output
};

// Of a call.
struct BconvTensors {
  const Word* input = nullptr;    // [batch, in_height, in_width, WordsFor(channels_in)]
  void* output = nullptr;         // [batch, out_height, out_width, channels_out or words of it]
  const RowSink* sink = nullptr;  // takes float output in the place of `output`; for none of IsWhole
};

class Bconv : public ImageKernel<BconvTensors> {
 public:
  using Params = BconvParams;

  // Repacks the weights for a level.
  static std::unique_ptr<Bconv> Create(const BconvParams& params, const BconvConstants& constants, Level level, std::string* error);

  // Rows that a sink gets at a time, at most.
  virtual int SinkRows() const = 0;

  // Whether an output is not computed by rows: a batch of single pixels.
  virtual bool IsWhole() const = 0;

 protected:
  using ImageKernel::ImageKernel;
};

}  // namespace fdabnn
