// What a binary convolution kernel of one instruction set is to the driver in bconv.cc.
//
// A kernel computes, for a band of output rows of one image, the number p of taps that differ, and finishes it. Output channels come in
// blocks of `lanes`, group by group: block b of group g has the channels g * channels_out / groups + b * lanes onwards. Constants per
// channel are stored by block, with neutral values in the lanes behind a group's last channel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/binary_conv.h"
#include "kernels/words.h"

namespace fdabnn {

enum class Finish {
  kFloat,   // float output
  kPacked,  // packed output of blocks that start at multiples of the lanes
  kCounts,  // p as int32, a value for every lane of every block
};

struct BconvShape : ImageSize {  // what lies outside of the image counts as words of 0
  int words = 0;                 // per group and pixel
  int in_words = 0;              // of all groups
  int group_channels = 0;        // output channels of a group
  int blocks = 0;                // of a group
  int counts = 0;                // of a pixel: groups * blocks * lanes
};

struct BconvJob {
  const BinaryConvParams* params;
  BconvShape shape;
  const void* weights;  // as the kernel packed them
  Finish finish;
  // By block and lane, all groups.
  const float* multiplier;
  const float* doubled;  // 2 * multiplier, all finite; null where 2p is clamped
  const float* bias;
  const std::int32_t* thresholds;
  std::int32_t clamp_min, clamp_max;  // of 2p
  // Zero padding: [classes][groups * blocks * lanes], null where nothing is to be added. The class of a pixel is
  // row_class[y] * column_classes + column_class[x]; class 0 has no taps outside, and its corrections are -0.
  const float* correction;
  const std::int32_t* row_class;
  const std::int32_t* column_class;
  int column_classes;
};

struct BconvKernel {
  int lanes;
  int max_taps;  // kernel_h * kernel_w * channels_in / groups up to which it counts without overflow
  std::size_t (*weight_bytes)(const BinaryConvParams& params, const BconvShape& shape);
  // The sizes in `shape` that depend on the image are not set yet.
  void (*pack)(const BinaryConvParams& params, const BconvShape& shape, const Word* filter, void* weights);
  // Of one worker.
  std::size_t (*workspace_bytes)(const BinaryConvParams& params, const BconvShape& shape);
  // input: the image. output: where row `begin` goes. Computes rows [begin, end).
  void (*run)(const BconvJob& job, const Word* input, int begin, int end, void* output, void* workspace);
};

const BconvKernel* BconvScalar();
#if defined(__x86_64__)
const BconvKernel* BconvPopcnt();
const BconvKernel* BconvAvx2();
const BconvKernel* BconvAvx512();
#elif defined(__aarch64__)
const BconvKernel* BconvNeon();
const BconvKernel* BconvNeonLookup();

// Whether a convolution has enough output channels for its tables, and all within the kernel's limits.
bool BconvNeonLookupPays(const BinaryConvParams& params);
#endif

}  // namespace fdabnn
