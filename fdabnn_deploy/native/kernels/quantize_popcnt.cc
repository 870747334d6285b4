#if defined(__x86_64__)

#include <nmmintrin.h>

#include "kernels/quantize_loops.h"

namespace fdabnn {
namespace {

inline __m128i Load(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }

struct Sse : CopiedTails<Sse> {
  static inline __m128i IsNegative(const float* values) {
    return _mm_cmpgt_epi32(_mm_set1_epi32(kNegative), _mm_sub_epi32(Load(values), _mm_set1_epi32(1)));
  }

  static inline Word Pack16(const float* values) {
    const __m128i low = _mm_packs_epi32(IsNegative(values), IsNegative(values + 4));
    const __m128i high = _mm_packs_epi32(IsNegative(values + 8), IsNegative(values + 12));
    return static_cast<Word>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
  }

  static inline Word PackFloat(const float* values) { return Pack16(values) | Pack16(values + 16) << 16; }

  static inline Word PackFloatFew(const float* values, std::size_t count) {
    if (count == 16) return Pack16(values);
    return CopiedTails<Sse>::PackFloatFew(values, count);
  }

  static inline Word PackInt8(const std::int8_t* values, std::int8_t last) {
    const Word low = static_cast<Word>(_mm_movemask_epi8(_mm_cmpgt_epi8(Load(values), _mm_set1_epi8(last))));
    const Word high = static_cast<Word>(_mm_movemask_epi8(_mm_cmpgt_epi8(Load(values + 16), _mm_set1_epi8(last))));
    return ~(low | high << 16);
  }

  static inline Word PackBool(const std::uint8_t* values) {
    const Word low = static_cast<Word>(_mm_movemask_epi8(_mm_cmpeq_epi8(Load(values), _mm_setzero_si128())));
    const Word high = static_cast<Word>(_mm_movemask_epi8(_mm_cmpeq_epi8(Load(values + 16), _mm_setzero_si128())));
    return low | high << 16;
  }

  static inline void UnpackFloat(Word word, float* values) {
    const __m128i one = _mm_castps_si128(_mm_set1_ps(1));
    const __m128i sign = _mm_set1_epi32(INT32_MIN);
    for (int first = 0; first < kWordBits; first += 4) {
      const __m128i bits = _mm_and_si128(_mm_set1_epi32(static_cast<int>(word >> first)), _mm_setr_epi32(1, 2, 4, 8));
      const __m128i is_set = _mm_cmpgt_epi32(bits, _mm_setzero_si128());
      _mm_storeu_si128(reinterpret_cast<__m128i*>(values + first), _mm_or_si128(one, _mm_and_si128(is_set, sign)));
    }
  }

  static inline void UnpackBytes(Word word, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values) {
    const __m128i bit_of = _mm_set1_epi64x(static_cast<long long>(0x8040201008040201));
    const __m128i byte_of = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    for (int half = 0; half < 2; ++half) {
      const __m128i bytes = _mm_shuffle_epi8(_mm_set1_epi32(static_cast<int>(word >> (16 * half))), byte_of);
      const __m128i is_set = _mm_cmpeq_epi8(_mm_and_si128(bytes, bit_of), bit_of);
      const __m128i chosen = _mm_blendv_epi8(_mm_set1_epi8(static_cast<char>(plus)), _mm_set1_epi8(static_cast<char>(minus)), is_set);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(values + 16 * half), chosen);
    }
  }
};

}  // namespace

const QuantizeRows kQuantizePopcnt = MakeQuantizeRows<Sse>();

}  // namespace fdabnn

#endif
