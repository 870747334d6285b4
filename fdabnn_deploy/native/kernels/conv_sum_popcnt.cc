#if defined(__x86_64__)

#include <nmmintrin.h>

#include "kernels/conv_sum_loops.h"

namespace fdabnn {
namespace {

struct Sse {
  using Vector = __m128;
  static constexpr int kLanes = 4;
  static constexpr int kMaxVectors = 2;
  static constexpr int kSums = 8;

  static inline Vector Load(const float* from) { return _mm_loadu_ps(from); }
  static inline Vector Spread(const float* from) { return _mm_set1_ps(*from); }
  static inline Vector MultiplyAdd(Vector a, Vector b, Vector sum) { return _mm_add_ps(_mm_mul_ps(a, b), sum); }
};

}  // namespace

const ConvSumLevel kConvSumPopcnt = MakeConvSumLevel<Sse>();

}  // namespace fdabnn

#endif
