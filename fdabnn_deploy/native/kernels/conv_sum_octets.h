// The difference of two convolutions of one image whose values are integers of 8 bits, as exact numerics makes of a layer that reads
// pixels.
//
// Two exact sums and one subtraction round the exact difference once, and so does this: the filters' difference is an integer of up to 24
// bits per weight, which is split into slices of 8 bits; a slice times the image is a sum of products of 8 bits, for which processors have
// instructions; and the slices' sums are put together as two numbers that float32 holds, whose sum is rounded once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/conv_sum.h"
#include "kernels/conv_sum_tile.h"

namespace fdabnn {

// Values are stored with this added, so that none is negative; so is the zero around an image.
constexpr std::uint8_t kOctetZero = 128;

constexpr int kMostOctetSlices = 3;
constexpr int kOctetGroup = 4;   // values that an instruction multiplies for a sum
constexpr int kOctetSlack = 32;  // bytes behind bands and patches that are read or written too

// With W = vectors * lanes, the channels of the tile, and slice 0 the most significant one:
//   sums[s][p][c] = starts[s][c] + sum over groups k of patches[p][k][{0 .. 3}] * weights[k][s][c][{0 .. 3}]
//   result        = fl(unit * scales[c] * sum over s of sums[s][p][c] * 256^(slices - 1 - s))
struct ConvSumOctetsTile {
  const std::uint8_t* patches;
  std::ptrdiff_t groups;
  const std::int8_t* weights;
  const std::int32_t* starts;
  const float* scales;
  float unit;     // of the input
  float* target;  // [pixels][W]
};

// A level's functions, null where their sums would not stay in registers. One pixel with any vectors of the level's ConvSumLevel is there.
struct ConvSumOctetsLevel {
  void (*functions[kMostOctetSlices][3][5])(const ConvSumOctetsTile& tile);  // by slices - 1, and by place as in a ConvSumLevel
  // values * scale + kOctetZero, where all are whole and of 8 bits; else false. Null where only images of bytes are taken.
  bool (*convert)(const float* values, std::ptrdiff_t count, float scale, std::uint8_t* octets);
};

#if defined(__x86_64__)
extern const ConvSumOctetsLevel kConvSumOctetsAvx512;
#elif defined(__aarch64__)
extern const ConvSumOctetsLevel kConvSumOctetsNeon;  // for processors with dot products
#endif

// Null where a level or this processor has none.
const ConvSumOctetsLevel* OctetsOf(Level level);

// The filters of a difference.
struct ConvSumOctets {
  int slices = 0;         // 0 where they have no such form
  AlignedBuffer weights;  // int8 [groups][slices][channels][4] for every block of channels
  AlignedBuffer starts;   // int32 [slices][channels] for every block
  AlignedBuffer scales;   // float32 [channels]
};

// The filters of `0 1 kSubtract` for channels in blocks of these widths, where both convolutions read one image, have no bias, and sums
// that float32 holds for every image of 8 bits; without slices where they do not.
ConvSumOctets PackOctets(const ConvSumParams& params, const std::vector<ConvSumTerm>& terms, const std::vector<int>& expression,
                         const std::vector<std::int64_t>& widths);

// Of a patch, the values under a window one behind the other; the last group is filled up by weights of 0.
inline std::int64_t OctetGroups(const ConvSumParams& p) {
  return (std::int64_t{p.kernel_h} * p.kernel_w * p.channels_in + kOctetGroup - 1) / kOctetGroup;
}

// The patches of so many pixels side by side, the first of whose windows begins at `band`, an image of so many columns.
void GatherPatches(const ConvSumParams& params, const std::uint8_t* band, std::int64_t columns, std::int64_t pixels, std::uint8_t* patches);

}  // namespace fdabnn
