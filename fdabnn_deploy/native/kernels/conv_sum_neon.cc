#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/conv_sum_loops.h"

namespace fdabnn {
namespace {

struct Neon {
  using Vector = float32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kMaxVectors = 4;
  static constexpr int kSums = 24;

  static inline Vector Load(const float* from) { return vld1q_f32(from); }
  static inline Vector Spread(const float* from) { return vld1q_dup_f32(from); }
  static inline Vector MultiplyAdd(Vector a, Vector b, Vector sum) { return vfmaq_f32(sum, a, b); }
};

}  // namespace

const ConvSumLevel kConvSumNeon = MakeConvSumLevel<Neon>();

}  // namespace fdabnn

#endif
