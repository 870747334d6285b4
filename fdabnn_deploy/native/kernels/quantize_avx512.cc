#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/quantize_loops.h"

namespace fdabnn {
namespace {

struct Avx512 {
  static inline __mmask16 IsNegative(__m512i bits) {
    return _mm512_cmplt_epi32_mask(_mm512_sub_epi32(bits, _mm512_set1_epi32(1)), _mm512_set1_epi32(kNegative));
  }

  static inline Word Join(__mmask16 low, __mmask16 high) { return _mm512_kunpackw(high, low); }

  static inline Word PackFloat(const float* values) {
    return Join(IsNegative(_mm512_loadu_si512(values)), IsNegative(_mm512_loadu_si512(values + 16)));
  }

  static inline Word PackFloatFew(const float* values, std::size_t count) {
    const Word mask = (Word{1} << count) - 1;
    return Join(IsNegative(_mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask), values)),
                IsNegative(_mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask >> 16), values + 16)));
  }

  static inline Word PackInt8(const std::int8_t* values, std::int8_t last) {
    return _mm256_cmple_epi8_mask(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)), _mm256_set1_epi8(last));
  }

  static inline Word PackInt8Few(const std::int8_t* values, std::size_t count, std::int8_t last) {
    const Word mask = (Word{1} << count) - 1;
    return _mm256_mask_cmple_epi8_mask(mask, _mm256_maskz_loadu_epi8(mask, values), _mm256_set1_epi8(last));
  }

  static inline Word PackBool(const std::uint8_t* values) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
    return _mm256_testn_epi8_mask(bytes, bytes);
  }

  static inline Word PackBoolFew(const std::uint8_t* values, std::size_t count) {
    const Word mask = (Word{1} << count) - 1;
    const __m256i bytes = _mm256_maskz_loadu_epi8(mask, values);
    return _mm256_mask_testn_epi8_mask(mask, bytes, bytes);
  }

  static inline __m512 Signs(Word bits) {
    return _mm512_mask_blend_ps(static_cast<__mmask16>(bits), _mm512_set1_ps(1), _mm512_set1_ps(-1));
  }

  static inline void UnpackFloat(Word word, float* values) {
    _mm512_storeu_ps(values, Signs(word));
    _mm512_storeu_ps(values + 16, Signs(word >> 16));
  }

  static inline void UnpackFloatFew(Word word, float* values, std::size_t count) {
    const Word mask = (Word{1} << count) - 1;
    _mm512_mask_storeu_ps(values, static_cast<__mmask16>(mask), Signs(word));
    _mm512_mask_storeu_ps(values + 16, static_cast<__mmask16>(mask >> 16), Signs(word >> 16));
  }

  static inline __m256i Bytes(Word word, std::uint8_t plus, std::uint8_t minus) {
    return _mm256_mask_blend_epi8(word, _mm256_set1_epi8(static_cast<char>(plus)), _mm256_set1_epi8(static_cast<char>(minus)));
  }

  static inline void UnpackBytes(Word word, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), Bytes(word, plus, minus));
  }

  static inline void UnpackBytesFew(Word word, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values, std::size_t count) {
    _mm256_mask_storeu_epi8(values, (Word{1} << count) - 1, Bytes(word, plus, minus));
  }
};

}  // namespace

const QuantizeRows kQuantizeAvx512 = MakeQuantizeRows<Avx512>();

}  // namespace fdabnn

#endif
