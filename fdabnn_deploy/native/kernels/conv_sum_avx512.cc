#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_sum_loops.h"

namespace fdabnn {
namespace {

struct Avx512 {
  using Vector = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kMaxVectors = 4;
  static constexpr int kSums = 24;

  static inline Vector Load(const float* from) { return _mm512_loadu_ps(from); }
  static inline Vector Spread(const float* from) { return _mm512_set1_ps(*from); }
  static inline Vector MultiplyAdd(Vector a, Vector b, Vector sum) { return _mm512_fmadd_ps(a, b, sum); }
};

}  // namespace

const ConvSumLevel kConvSumAvx512 = MakeConvSumLevel<Avx512>();

}  // namespace fdabnn

#endif
