// The vectors of vectors.h with AVX2.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/vectors.h"

namespace fdabnn {
namespace {

struct Avx2Vectors : PlainVectors {
  static FDABNN_INLINE Word Mask(Ints comparison) {
    __m256 halves[2];
    std::memcpy(halves, &comparison, sizeof halves);
    return static_cast<Word>(_mm256_movemask_ps(halves[0]) | _mm256_movemask_ps(halves[1]) << 8);
  }

  // All bits in the first elements of two halves.
  static FDABNN_INLINE void First(int count, __m256i* masks) {
    const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    masks[0] = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), places);
    masks[1] = _mm256_cmpgt_epi32(_mm256_set1_epi32(count - 8), places);
  }

  static FDABNN_INLINE Floats LoadSome(const float* from, int count) {
    __m256i masks[2];
    First(count, masks);
    const __m256 halves[2] = {_mm256_maskload_ps(from, masks[0]), _mm256_maskload_ps(from + 8, masks[1])};
    return Load<Floats>(halves);
  }

  static FDABNN_INLINE void StoreSome(float* to, Floats value, int count) {
    __m256i masks[2];
    __m256 halves[2];
    First(count, masks);
    std::memcpy(halves, &value, sizeof halves);
    _mm256_maskstore_ps(to, masks[0], halves[0]);
    _mm256_maskstore_ps(to + 8, masks[1], halves[1]);
  }
};

}  // namespace
}  // namespace fdabnn

#endif
