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

#include "kernels/level.h"
#include "kernels/thread_pool.h"
#include "kernels/words.h"

namespace fdabnn {

struct BinaryLayerParams {
  int channels_in = 0;   // with groups > 1, channels_in / groups is a multiple of 32
  int channels_out = 0;  // a multiple of groups
  int groups = 1;
  int kernel_h = 1;
  int kernel_w = 1;
  int stride_h = 1;
  int stride_w = 1;
  int dilation_h = 1;
  int dilation_w = 1;
  // Each smaller than the dilated kernel.
  int pad_top = 0;
  int pad_left = 0;
  int pad_bottom = 0;
  int pad_right = 0;
  int pad_value = 0;    // 0 or 1
  bool planes = false;  // residual and values are NCHW, else NHWC
};

// They are copied; null where there is none, but for the filter.
struct BinaryLayerConstants {
  const Word* filter = nullptr;   // [channels_out, kernel_h, kernel_w, WordsFor(channels_in / groups)]
  const float* slope = nullptr;   // [channels_out]
  const float* scale = nullptr;   // likewise
  const float* offset = nullptr;  // likewise
};

// Of a call: images without gaps.
struct BinaryLayerTensors {
  const Word* input = nullptr;
  const float* residual = nullptr;  // or null
  float* values = nullptr;          // null where nobody wants them; may be the residual
  Word* signs = nullptr;            // likewise
};

class BinaryLayer {
 public:
  // Checks the parameters and repacks the weights for a level. Returns null and the reason where they are refused.
  static std::unique_ptr<BinaryLayer> Create(const BinaryLayerParams& params, const BinaryLayerConstants& constants, Level level,
                                             std::string* error);
  virtual ~BinaryLayer() = default;

  // Has to be called before the first Run, and again for every new size of the input. Returns false and the reason where no output is left
  // or sizes go beyond what memory can hold.
  virtual bool Resize(int in_height, int in_width, std::string* error) = 0;

  virtual int out_height() const = 0;
  virtual int out_width() const = 0;

  // Bytes of scratch memory that Run wants for a number of threads, aligned to 64.
  virtual std::size_t WorkspaceBytes(int threads) const = 0;

  // Any number of calls may run at a time, each with a workspace and a pool of its own. Returns null, or why the input is refused.
  [[nodiscard]] virtual const char* Run(const BinaryLayerTensors& tensors, int batch, ThreadPool& pool, void* workspace) const = 0;
};

// The signs of values [batch, channels, pixels] -> words [batch, pixels, WordsFor(channels)]; the bit is `value < 0`.
void PackPlanes(const float* values, int batch, int channels, std::size_t pixels, Word* words, Level level, ThreadPool& pool);

}  // namespace fdabnn
