// Convolutions of whole numbers of 16 bits, in units: what the digits of exact numerics are. Their sums in int32 are those in float32,
// twice as fast. Weights are looked at once, values in every run: what does not fit is computed in float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/conv_sum.h"
#include "kernels/conv_sum_tile.h"

namespace fdabnn {

// With W = vectors * lanes, the channels of the tile, each with a scale and a bias:
//   sums[p][c] = sum over pairs k of input[p * pixel_stride + place(k) + {0, 1}] * weights[k][c][{0, 1}]
//   result     = fl(float(sums) * (unit * scale) + bias)
struct ConvSumWholeTile {
  const std::int16_t* input;
  std::ptrdiff_t pixel_stride;
  const ConvSumRun* runs;  // lengths in pairs
  const ConvSumRun* runs_end;
  const std::int16_t* weights;
  const float* scales;
  const float* biases;
  float unit;     // of the input
  float* target;  // [pixels][W]
  ConvSumFinish finish;
};

using ConvSumWholeFunction = void (*)(const ConvSumWholeTile& tile);

// A level's functions, as in its ConvSumLevel.
struct ConvSumWholeLevel {
  ConvSumWholeFunction functions[3][5];
  // The largest magnitude, infinity where a value is none.
  float (*largest)(const float* values, std::ptrdiff_t count, float before);
  // values * scale, where all are whole; else false.
  bool (*convert)(const float* values, std::ptrdiff_t count, float scale, std::int16_t* whole);
};

#if defined(__x86_64__)
extern const ConvSumWholeLevel kConvSumWholeAvx2;
extern const ConvSumWholeLevel kConvSumWholeAvx512;
#endif

// Null where a level has none.
const ConvSumWholeLevel* WholeOf(Level level);

// The unit of a channel's weights: the largest power of two of which all are multiples; 0 where one is not finite, or it is out of range.
float WeightUnit(const float* weights, std::int64_t count);

// The unit in which values up to this magnitude have so many bits, a power of two; 0 where there is none.
float WholeUnit(float largest, int bits);

// A filter in whole numbers.
struct ConvSumWholeTerm {
  AlignedBuffer weights;  // [pairs][channels][2] for every block of channels
  AlignedBuffer scales;   // [channels]
  AlignedBuffer biases;   // [channels]
  bool zero = false;      // as all weights and biases are
};

// The filter in `pairs` pairs for channels in blocks of these widths. Returns how many bits an input may have, 0 where the filter is not
// made of whole numbers.
int PackWhole(const ConvSumParams& params, const ConvSumTerm& term, const std::vector<std::int64_t>& widths, ConvSumWholeTerm* whole);

// Runs of pairs: an odd run is filled up by a weight of 0.
std::vector<ConvSumRun> WholeRuns(const ConvSumParams& params, std::int64_t row_stride);

}  // namespace fdabnn
