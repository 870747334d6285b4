// A tile of pixels times vectors of output channels: what a level of instructions has to compute, and in which units.
#pragma once

#include <cstddef>

namespace fdabnn {

// Where the finished sums go.
enum class ConvSumFinish {
  kStore,     // target = sums
  kSubtract,  // target = target - sums
  kFrom,      // target = sums - target
};

// Values of the input that follow each other, and whose weights do.
struct ConvSumRun {
  std::ptrdiff_t offset;  // from the tile's first value
  std::ptrdiff_t length;
};

// With W = vectors * lanes, the channels of the tile:
//   sums[p][c] = start[p * start_stride + c] + sum over steps k of input[p * pixel_stride + place(k)] * weights[k * W + c]
struct ConvSumTile {
  const float* input;
  std::ptrdiff_t pixel_stride;
  const ConvSumRun* runs;
  const ConvSumRun* runs_end;
  const float* weights;
  const float* start;
  std::ptrdiff_t start_stride;
  float* target;  // [pixels][W]
  ConvSumFinish finish;
};

using ConvSumFunction = void (*)(const ConvSumTile& tile);

constexpr int kConvSumVectors[] = {1, 2, 4};
constexpr int kConvSumPixels[] = {1, 2, 4, 6, 8};

// A level's functions, null where their sums would not stay in registers. One pixel with any vectors up to `max_vectors` is there.
struct ConvSumLevel {
  int lanes;  // floats in a vector
  int max_vectors;
  ConvSumFunction functions[3][5];  // by place in kConvSumVectors and kConvSumPixels
};

extern const ConvSumLevel kConvSumScalar;
#if defined(__x86_64__)
extern const ConvSumLevel kConvSumPopcnt;
extern const ConvSumLevel kConvSumAvx2;
extern const ConvSumLevel kConvSumAvx512;
#elif defined(__aarch64__)
extern const ConvSumLevel kConvSumNeon;
#endif

}  // namespace fdabnn
