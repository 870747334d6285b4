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

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/level.h"
#include "kernels/thread_pool.h"
#include "kernels/words.h"

namespace fdabnn {

enum class Activation { kNone, kRelu, kReluN1To1, kRelu6 };

enum class OutputType { kFloat, kPacked, kInt8 };

// What an operator's options and constant shapes say.
struct BconvParams {
  int channels_in = 0;   // with groups > 1, channels_in / groups is a multiple of 32
  int channels_out = 0;  // a multiple of groups
  int groups = 1;
  int kernel_h = 0;
  int kernel_w = 0;
  int stride_h = 1;
  int stride_w = 1;
  int dilation_h = 1;
  int dilation_w = 1;
  bool same_padding = false;  // TensorFlow's SAME, else VALID
  int pad_value = 0;          // of SAME: 0 or 1
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

class Bconv {
 public:
  // Checks the parameters and repacks the weights for a level. Returns null and the reason where they are refused.
  static std::unique_ptr<Bconv> Create(const BconvParams& params, const BconvConstants& constants, Level level, std::string* error);
  virtual ~Bconv() = default;

  // Has to be called before the first Run, and again for every new size of the input. Returns false and the reason where no output is left
  // or sizes go beyond what memory can hold.
  virtual bool Resize(int in_height, int in_width, std::string* error) = 0;

  virtual int out_height() const = 0;
  virtual int out_width() const = 0;

  // Bytes of scratch memory that Run wants for a number of threads, aligned to 64.
  virtual std::size_t WorkspaceBytes(int threads) const = 0;

  // input [batch, in_height, in_width, WordsFor(channels_in)] -> output [batch, out_height, out_width, channels_out or words of it].
  // Any number of calls may run at a time, each with a workspace and a pool of its own. Returns null, or why the input is refused.
  [[nodiscard]] virtual const char* Run(const Word* input, int batch, void* output, ThreadPool& pool, void* workspace) const = 0;
};

}  // namespace fdabnn
