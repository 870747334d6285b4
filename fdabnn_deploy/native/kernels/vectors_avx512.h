// The vectors of vectors.h with AVX-512.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/vectors.h"

namespace fdabnn {
namespace {

struct Avx512Vectors {
  static FDABNN_INLINE Word Mask(Ints comparison) { return _mm512_movepi32_mask(Load<__m512i>(&comparison)); }

  static FDABNN_INLINE __mmask16 First(int count) { return static_cast<__mmask16>((1u << count) - 1); }

  static FDABNN_INLINE Floats LoadSome(const float* from, int count) {
    const __m512 value = _mm512_maskz_loadu_ps(First(count), from);
    return Load<Floats>(&value);
  }

  static FDABNN_INLINE void StoreSome(float* to, Floats value, int count) { _mm512_mask_storeu_ps(to, First(count), Load<__m512>(&value)); }

  // Pairs of rows, then quarters of rows, then the quarters' places.
  static FDABNN_INLINE void Transpose(const Floats* from, float* to) {
    __m512 a[16], b[16];
    for (int i = 0; i < 16; ++i) a[i] = Load<__m512>(from + i);
    for (int i = 0; i < 16; i += 2) {
      b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
      b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
      a[i] = _mm512_shuffle_ps(b[i], b[i + 2], 0x44);
      a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], 0xee);
      a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0x44);
      a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    for (int i = 0; i < 4; ++i) {
      const __m512 low = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88), high = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd);
      const __m512 low8 = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0x88), high8 = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0xdd);
      _mm512_store_ps(to + i * kSide, _mm512_shuffle_f32x4(low, low8, 0x88));
      _mm512_store_ps(to + (i + 4) * kSide, _mm512_shuffle_f32x4(high, high8, 0x88));
      _mm512_store_ps(to + (i + 8) * kSide, _mm512_shuffle_f32x4(low, low8, 0xdd));
      _mm512_store_ps(to + (i + 12) * kSide, _mm512_shuffle_f32x4(high, high8, 0xdd));
    }
  }
};

}  // namespace
}  // namespace fdabnn

#endif
