#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_sum_whole_loops.h"

namespace fdabnn {
namespace {

struct Avx2 {
  using Vector = __m256;
  using Integers = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kMaxVectors = 2;
  static constexpr int kSums = 12;

  static inline Integers Zero() { return _mm256_setzero_si256(); }
  static inline Integers Load(const std::int16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static inline Integers SpreadPair(const std::int16_t* from) {
    std::int32_t pair;
    __builtin_memcpy(&pair, from, sizeof(pair));
    return _mm256_set1_epi32(pair);
  }
  static inline Integers MultiplyAdd(Integers pair, Integers row, Integers sum) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pair, row));
  }
  static inline Vector Load(const float* from) { return _mm256_loadu_ps(from); }
  static inline Vector Scale(float unit, Vector scales) { return _mm256_mul_ps(_mm256_set1_ps(unit), scales); }
  static inline Vector Finish(Integers sums, Vector scale, Vector bias) { return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, bias); }
  static float Largest(const float* values, std::ptrdiff_t count, float before);
  static bool Convert(const float* values, std::ptrdiff_t count, float scale, std::int16_t* whole);
};

// Magnitudes are ordered as their bits are, and NaNs come behind infinity.
constexpr std::int32_t kMagnitude = INT32_MAX;
constexpr std::int32_t kInfinity = 0x7f800000;

inline std::int32_t Bits(float value) {
  std::int32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline std::int32_t Larger(std::int32_t a, std::int32_t b) { return a < b ? b : a; }

float Avx2::Largest(const float* values, std::ptrdiff_t count, float before) {
  const __m256i magnitude = _mm256_set1_epi32(kMagnitude);
  __m256i vector = _mm256_setzero_si256();
  for (; count >= kLanes; count -= kLanes, values += kLanes) {
    vector = _mm256_max_epi32(vector, _mm256_and_si256(magnitude, _mm256_castps_si256(_mm256_loadu_ps(values))));
  }
  std::int32_t lanes[kLanes];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), vector);
  std::int32_t largest = Bits(before);
  for (const std::int32_t lane : lanes) largest = Larger(largest, lane);
  for (; count > 0; --count) largest = Larger(largest, Bits(*values++) & kMagnitude);
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(largest > kInfinity ? kInfinity : largest)));
}

bool Avx2::Convert(const float* values, std::ptrdiff_t count, float scale, std::int16_t* whole) {
  bool fits = true;
  __m256 differs = _mm256_setzero_ps();
  for (; count >= kLanes; count -= kLanes, values += kLanes, whole += kLanes) {
    const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(values), _mm256_set1_ps(scale));
    const __m256i rounded = _mm256_cvtps_epi32(scaled);
    differs = _mm256_or_ps(differs, _mm256_cmp_ps(_mm256_cvtepi32_ps(rounded), scaled, _CMP_NEQ_UQ));
    const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(whole), packed);
  }
  for (; count > 0; --count) {
    const float scaled = *values++ * scale;
    const std::int32_t rounded = _mm_cvtss_si32(_mm_set_ss(scaled));
    fits = fits && static_cast<float>(rounded) == scaled;
    *whole++ = static_cast<std::int16_t>(rounded);
  }
  return fits && _mm256_movemask_ps(differs) == 0;
}

}  // namespace

const ConvSumWholeLevel kConvSumWholeAvx2 = MakeConvSumWholeLevel<Avx2>();

}  // namespace fdabnn

#endif
