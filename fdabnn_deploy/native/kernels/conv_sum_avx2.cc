#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_sum_loops.h"

namespace fdabnn {
namespace {

struct Avx2 {
  using Vector = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kMaxVectors = 2;
  static constexpr int kSums = 12;

  static inline Vector Load(const float* from) { return _mm256_loadu_ps(from); }
  static inline Vector Spread(const float* from) { return _mm256_broadcast_ss(from); }
  static inline Vector MultiplyAdd(Vector a, Vector b, Vector sum) { return _mm256_fmadd_ps(a, b, sum); }
};

}  // namespace

const ConvSumLevel kConvSumAvx2 = MakeConvSumLevel<Avx2>();

}  // namespace fdabnn

#endif
