// A binary convolution and what follows it in a network up to the next sign, element by element:
//
//   y = d                                  the sum of the products of signs; padding counts as 0 or as +1
//   y = y < 0 ? fl(y * slope) : y          PReLU
//   y = fl(y * scale), y = fl(y + offset)  batch normalisation
//   y = fl(y + residual)                   shortcut
//   sign bit = y < 0
//
// with slope, scale and offset per output channel; fl: rounding to float32. What is missing is left out. d is exact, so the result equals
// that of the same operators one by one. Input and signs are packed NHWC. Source: docs/ops/binary-conv.md.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/binary_conv.h"
#include "kernels/image_kernel.h"
#include "kernels/level.h"
#include "kernels/thread_pool.h"
#include "kernels/words.h"

namespace fdabnn {

struct BinaryLayerParams : BinaryConvParams {
  bool planes = false;  // residual and values are NCHW, else NHWC
};

// They are copied; null where there is none, but for the filter.
struct BinaryLayerConstants {
  const Word* filter = nullptr;   // [channels_out, kernel_h, kernel_w, WordsFor(channels_in / groups)]
  const float* slope = nullptr;   // [channels_out]
  const float* scale = nullptr;   // likewise
  const float* offset = nullptr;  // likewise
};

// Of a call.
struct BinaryLayerTensors {
  const Word* input = nullptr;
  const float* residual = nullptr;  // or null
  float* values = nullptr;          // null where nobody wants them; may be the residual
  Word* signs = nullptr;            // likewise
};

class BinaryLayer : public ImageKernel<BinaryLayerTensors> {
 public:
  using Params = BinaryLayerParams;

  // Repacks the weights for a level.
  static std::unique_ptr<BinaryLayer> Create(const BinaryLayerParams& params, const BinaryLayerConstants& constants, Level level,
                                             std::string* error);

 protected:
  using ImageKernel::ImageKernel;
};

// The signs of values [batch, channels, pixels] -> words [batch, pixels, WordsFor(channels)]; the bit is `value < 0`.
void PackPlanes(const float* values, int batch, int channels, std::size_t pixels, Word* words, Level level, ThreadPool& pool);

}  // namespace fdabnn
