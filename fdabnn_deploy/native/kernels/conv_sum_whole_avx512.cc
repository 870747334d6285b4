#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_sum_finish.h"
#include "kernels/conv_sum_whole.h"

namespace fdabnn {
namespace {

constexpr int kLanes = 16;

inline __m512i SpreadPair(const std::int16_t* from) {
  std::int32_t pair;
  __builtin_memcpy(&pair, from, sizeof(pair));
  return _mm512_set1_epi32(pair);
}

// In words of its own: clang makes two instructions of the intrinsic, for processors on which a chain of these is slower.
inline __m512i MultiplyAdd(__m512i pair, __m512i row, __m512i sum) {
  __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(pair), "v"(row));
  return sum;
}

template <int vectors, int pixels>
struct Loop {
  static void Run(const ConvSumWholeTile& tile) {
    constexpr std::ptrdiff_t width = vectors * kLanes;
    __m512i sums[pixels][vectors];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[p][v] = _mm512_setzero_si512();
    }
    const std::int16_t* weights = tile.weights;
    const std::ptrdiff_t stride = tile.pixel_stride;
    for (const ConvSumRun* run = tile.runs; run != tile.runs_end; ++run) {
      const std::int16_t* values = tile.input + run->offset;
      for (const std::int16_t* end = values + 2 * run->length; values != end; values += 2, weights += 2 * width) {
        __m512i row[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) row[v] = _mm512_loadu_si512(weights + 2 * v * kLanes);
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p) {
          const __m512i pair = SpreadPair(values + p * stride);
#pragma GCC unroll 4
          for (int v = 0; v < vectors; ++v) sums[p][v] = MultiplyAdd(pair, row[v], sums[p][v]);
        }
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(tile.unit), _mm512_loadu_ps(tile.scales + v * kLanes));
      const __m512 bias = _mm512_loadu_ps(tile.biases + v * kLanes);
#pragma GCC unroll 8
      for (int p = 0; p < pixels; ++p) {
        const __m512 result = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[p][v]), scale, bias);
        FinishSums(tile.finish, result, tile.target + p * width + v * kLanes);
      }
    }
  }
};

inline __mmask16 First(std::ptrdiff_t count) { return static_cast<__mmask16>(count >= kLanes ? 0xffff : (1u << count) - 1); }

float Largest(const float* values, std::ptrdiff_t count, float before) {
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

bool Convert(const float* values, std::ptrdiff_t count, float scale, std::int16_t* whole) {
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

const ConvSumWholeLevel kConvSumWholeAvx512 = {
    {{Loop<1, 1>::Run, Loop<1, 2>::Run, Loop<1, 4>::Run, Loop<1, 6>::Run, Loop<1, 8>::Run},
     {Loop<2, 1>::Run, Loop<2, 2>::Run, Loop<2, 4>::Run, Loop<2, 6>::Run, Loop<2, 8>::Run},
     {Loop<4, 1>::Run, Loop<4, 2>::Run, Loop<4, 4>::Run, Loop<4, 6>::Run, nullptr}},
    Largest,
    Convert,
};

}  // namespace fdabnn

#endif
