// What a level does with floats around its kernels: what follows the counts of a binary layer (binary_layer.h), for a run of pixels of one
// image, one thread; the way between pixels and planes; and the digits of exact numerics.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.h"
#include "kernels/words.h"

namespace fdabnn {

constexpr int kFinishPixels = 16;  // that are finished at a time

struct LayerFinish {
  int channels;
  std::size_t counts;  // of a pixel; the first `channels` of them in order
  std::size_t lanes;   // of constants: a multiple of 32
  bool planes;         // values and residual are [channels, pixels of the image], else [pixels, channels]
  std::size_t pixels;  // of the image
  // d = base[class of the pixel][lane] - 2 count; nothing overflows behind the last channel or pixel either.
  const std::int32_t* base;
  const std::int32_t* pixel_class;  // null where all are 0
  // By lane.
  const float* slope;   // null where there is none
  const float* scale;   // likewise
  const float* offset;  // -0 where there is none
};

// v = x, within the limits where there are some: the smaller of x and `high`, where NaN counts as larger, then the larger of that and
// `low`. y_k = round(v * units[k]) * (1 / units[k]), halves to even, and v - y_k is the next v. Every operation rounds once.
constexpr int kMostDigits = 4;
struct Digits {
  bool limited;
  float low, high;
  int count;
  float units[kMostDigits];  // powers of two
};

struct LayerLoops {
  // begin: the run's first pixel in the image; counts are the run's own, the other pointers the image's. Null: no residual, or an
  // output that nobody wants.
  void (*finish)(const LayerFinish& finish, const std::int32_t* counts, int begin, int count, const float* residual, float* values,
                 Word* signs);
  // values [channels, pixels] -> words [pixels, WordsFor(channels)], of pixels [begin, begin + count).
  void (*pack_planes)(const float* values, int channels, std::size_t pixels, std::size_t begin, std::size_t count, Word* words);
  // x [count] -> outputs[k] [count], y_k, and outputs[digits.count], the last v; null where nobody wants them.
  void (*digits)(const Digits& digits, const float* x, std::size_t count, float* const* outputs);
  // from [rows, columns] -> to [columns, rows]; strides are those of rows of either.
  void (*transpose)(const float* from, std::size_t from_stride, std::size_t rows, std::size_t columns, float* to, std::size_t to_stride);
};

extern const LayerLoops kLayerPlain;  // what every processor of the target has: SSE2, NEON
extern const LayerLoops kLayerAvx2;
extern const LayerLoops kLayerAvx512;

const LayerLoops& LayerLoopsOf(Level level);

}  // namespace fdabnn
