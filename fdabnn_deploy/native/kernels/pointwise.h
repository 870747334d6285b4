// Programs of operators on single values, for a run of pixels [pixels, channels]: what stands in a network between its layers. Every
// operator rounds once, so a program's results are those of the same operators one by one.
//
//   kLayer     y = a < 0 ? fl(a * slope) : a,  y = fl(fl(y * scale) + offset),  then fl(y + b), fl(y - b) or fl(b - y);  sign bit = y < 0
//   kAdd ...   fl(a + b), fl(a - b), fl(a * b), a < b ? a : b, a > b ? a : b
//   kRound     halves to even
//
// with slope, scale, offset and, where it is a constant, b per channel.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/level.h"
#include "kernels/words.h"

namespace fdabnn {

enum class PointwiseKind { kLayer, kAdd, kSubtract, kMultiply, kMinimum, kMaximum, kRound };

// The use that kLayer makes of b.
enum class Residual { kNone, kAdd, kSubtract, kSubtractFrom };

// Places are numbers of arrays, [pixels, channels] or, of signs, [pixels, WordsFor(channels)]; -1 stands for none.
struct PointwiseStep {
  PointwiseKind kind = PointwiseKind::kLayer;
  int a = -1;
  int b = -1;       // none where it is a constant
  int result = -1;  // of kLayer none where only the signs are wanted
  // Of a kLayer.
  Residual residual = Residual::kNone;
  int signs = -1;
  // [channels], or empty: of a kLayer what changes nothing, of others the constant in the place of b.
  std::vector<float> slope, scale, offset, constant;
};

// A step as loops take it: constants of a multiple of 32 lanes, never null but for the slope and a `constant` that is none.
struct PointwiseLoopStep {
  PointwiseKind kind;
  Residual residual;
  const float *a, *b, *slope, *scale, *offset, *constant;
  float* result;
  Word* signs;
};

// Windows side by side in a row of an image [width, channels].
struct PoolRow {
  int width, channels;
  int kernel_w, stride_w, pad_left;
  int out_w;
  float factor;  // of sums
};

struct PointwiseLoops {
  void (*run)(const PointwiseLoopStep& step, std::size_t pixels, int channels);
  // rows: those of the windows that are inside the image; to [out_w, channels].
  void (*maxima)(const PoolRow& pool, const float* const* rows, int count, float* to);
  // The sums of windows that are wholly inside, times the factor.
  void (*sums)(const PoolRow& pool, const float* const* rows, int count, float* to);
};

extern const PointwiseLoops kPointwisePlain;  // what every processor of the target has: SSE2, NEON
extern const PointwiseLoops kPointwiseAvx2;
extern const PointwiseLoops kPointwiseAvx512;

const PointwiseLoops& PointwiseLoopsOf(Level level);

class PointwiseProgram {
 public:
  PointwiseProgram() = default;

  // Copies the steps' constants. Steps read places that the caller fills, or that steps in front of them write.
  PointwiseProgram(std::vector<PointwiseStep> steps, int channels, Level level);

  bool empty() const { return steps_.empty(); }

  // Runs all steps. places: by number; null where the number is one of signs. Pixels are few enough for caches: see Chunk.
  void Run(float* const* places, Word* const* signs, std::size_t pixels) const;

  // How many pixels are run at a time.
  std::size_t Chunk() const;

 private:
  std::vector<PointwiseStep> steps_;
  int channels_ = 0;
  const PointwiseLoops* loops_ = nullptr;
};

}  // namespace fdabnn
