#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/quantize_loops.h"

namespace fdabnn {
namespace {

inline __m256i Load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

struct Avx2 : CopiedTails<Avx2> {
  static inline __m256i IsNegative(__m256i bits) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(kNegative), _mm256_sub_epi32(bits, _mm256_set1_epi32(1)));
  }

  static inline Word PackFloat(const float* values) {
    const __m256i low = _mm256_packs_epi32(IsNegative(Load(values)), IsNegative(Load(values + 8)));
    const __m256i high = _mm256_packs_epi32(IsNegative(Load(values + 16)), IsNegative(Load(values + 24)));
    const __m256i bytes = _mm256_packs_epi16(low, high);  // in each half, every second group of four
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    return static_cast<Word>(_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order)));
  }

  static inline Word PackFloatFew(const float* values, std::size_t count) {
    Word word = 0;
    for (std::size_t first = 0; first < count; first += 8) {
      const __m256i left = _mm256_set1_epi32(static_cast<int>(count - first));
      const __m256i inside = _mm256_cmpgt_epi32(left, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
      const __m256i bits = _mm256_maskload_epi32(reinterpret_cast<const int*>(values + first), inside);
      word |= static_cast<Word>(_mm256_movemask_ps(_mm256_castsi256_ps(IsNegative(bits)))) << first;
    }
    return word;
  }

  static inline Word PackInt8(const std::int8_t* values, std::int8_t last) {
    return ~static_cast<Word>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(Load(values), _mm256_set1_epi8(last))));
  }

  static inline Word PackBool(const std::uint8_t* values) {
    return static_cast<Word>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(Load(values), _mm256_setzero_si256())));
  }

  static inline void UnpackFloat(Word word, float* values) {
    const __m256i one = _mm256_castps_si256(_mm256_set1_ps(1));
    const __m256i sign = _mm256_set1_epi32(INT32_MIN);
    for (int first = 0; first < kWordBits; first += 8) {
      const __m256i up = _mm256_sub_epi32(_mm256_set1_epi32(31 - first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
      const __m256i bits = _mm256_sllv_epi32(_mm256_set1_epi32(static_cast<int>(word)), up);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + first), _mm256_or_si256(one, _mm256_and_si256(bits, sign)));
    }
  }

  static inline void UnpackBytes(Word word, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values) {
    const __m256i byte_of = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(word)), byte_of);
    const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of), bit_of);
    const __m256i chosen =
        _mm256_blendv_epi8(_mm256_set1_epi8(static_cast<char>(plus)), _mm256_set1_epi8(static_cast<char>(minus)), is_set);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), chosen);
  }
};

}  // namespace

const QuantizeRows kQuantizeAvx2 = MakeQuantizeRows<Avx2>();

}  // namespace fdabnn

#endif
