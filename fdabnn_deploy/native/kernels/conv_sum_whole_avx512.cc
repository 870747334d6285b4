#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_sum_whole_loops.h"

namespace fdabnn {
namespace {

struct Avx512 {
  using Vector = __m512;
  using Integers = __m512i;
  static constexpr int kLanes = 16;
  static constexpr int kMaxVectors = 4;
  static constexpr int kSums = 24;

  static inline Integers Zero() { return _mm512_setzero_si512(); }
  static inline Integers Load(const std::int16_t* from) { return _mm512_loadu_si512(from); }
  static inline Integers SpreadPair(const std::int16_t* from) {
    std::int32_t pair;
    __builtin_memcpy(&pair, from, sizeof(pair));
    return _mm512_set1_epi32(pair);
  }
  // In words of its own: clang makes two instructions of the intrinsic, for processors on which a chain of these is slower.
  static inline Integers MultiplyAdd(Integers pair, Integers row, Integers sum) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(pair), "v"(row));
    return sum;
  }
  static inline Vector Load(const float* from) { return _mm512_loadu_ps(from); }
  static inline Vector Scale(float unit, Vector scales) { return _mm512_mul_ps(_mm512_set1_ps(unit), scales); }
  static inline Vector Finish(Integers sums, Vector scale, Vector bias) { return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scale, bias); }
  static float Largest(const float* values, std::ptrdiff_t count, float before);
  static bool Convert(const float* values, std::ptrdiff_t count, float scale, std::int16_t* whole);
};

inline __mmask16 First(std::ptrdiff_t count) { return static_cast<__mmask16>(count >= Avx512::kLanes ? 0xffff : (1u << count) - 1); }

float Avx512::Largest(const float* values, std::ptrdiff_t count, float before) {
  // Magnitudes are ordered as their bits are, and NaNs come behind infinity.
  const __m512i magnitude = _mm512_set1_epi32(INT32_MAX);
  __m512i largest = _mm512_castps_si512(_mm512_set1_ps(before));
  for (; count > 0; count -= kLanes, values += kLanes) {
    largest = _mm512_max_epi32(largest, _mm512_and_si512(magnitude, _mm512_maskz_loadu_epi32(First(count), values)));
  }
  const int bits = _mm512_reduce_max_epi32(largest);
  constexpr int kInfinity = 0x7f800000;
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits > kInfinity ? kInfinity : bits)));
}

bool Avx512::Convert(const float* values, std::ptrdiff_t count, float scale, std::int16_t* whole) {
  __mmask16 fits = 0xffff;
  for (; count > 0; count -= kLanes, values += kLanes, whole += kLanes) {
    const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(First(count), values), _mm512_set1_ps(scale));
    const __m512i rounded = _mm512_cvtps_epi32(scaled);
    fits = static_cast<__mmask16>(fits & _mm512_cmp_ps_mask(_mm512_cvtepi32_ps(rounded), scaled, _CMP_EQ_OQ));
    _mm256_mask_storeu_epi16(whole, First(count), _mm512_cvtsepi32_epi16(rounded));
  }
  return fits == 0xffff;
}

}  // namespace

const ConvSumWholeLevel kConvSumWholeAvx512 = MakeConvSumWholeLevel<Avx512>();

}  // namespace fdabnn

#endif
