#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_sum_octets.h"

namespace fdabnn {
namespace {

constexpr int kLanes = 16;

inline __m512i SpreadGroup(const std::uint8_t* from) {
  std::int32_t group;
  __builtin_memcpy(&group, from, sizeof(group));
  return _mm512_set1_epi32(group);
}

// In words of its own, as in conv_sum_whole_avx512.cc.
inline __m512i MultiplyAdd(__m512i group, __m512i row, __m512i sum) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(group), "v"(row));
  return sum;
}

// The number that the sums of a channel's slices make, rounded once. All but the last slice together are split into a multiple of 256 and
// less than that, which goes to the last slice: both parts have 24 bits at most.
template <int slices>
inline __m512 Rounded(const __m512i* sums) {
  if (slices == 1) return _mm512_cvtepi32_ps(sums[0]);
  __m512i high = sums[0], low = sums[slices - 1];
  if (slices == 3) {
    high = _mm512_add_epi32(_mm512_slli_epi32(high, 8), sums[1]);
    const __m512i rest = _mm512_and_si512(high, _mm512_set1_epi32(0xff));
    high = _mm512_sub_epi32(high, rest);
    low = _mm512_add_epi32(low, _mm512_slli_epi32(rest, 8));
  }
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(high), _mm512_set1_ps(256), _mm512_cvtepi32_ps(low));
}

template <int slices, int vectors, int pixels>
struct Loop {
  static void Run(const ConvSumOctetsTile& tile) {
    constexpr std::ptrdiff_t width = vectors * kLanes;
    __m512i sums[pixels][slices][vectors];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 3
      for (int s = 0; s < slices; ++s) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sums[p][s][v] = _mm512_loadu_si512(tile.starts + s * width + v * kLanes);
      }
    }
    const std::int8_t* weights = tile.weights;
    const std::ptrdiff_t stride = tile.groups * kOctetGroup;
    const std::uint8_t* values = tile.patches;
    for (const std::uint8_t* end = values + stride; values != end; values += kOctetGroup) {
      __m512i groups[pixels];
#pragma GCC unroll 8
      for (int p = 0; p < pixels; ++p) groups[p] = SpreadGroup(values + p * stride);
#pragma GCC unroll 3
      for (int s = 0; s < slices; ++s) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v, weights += kLanes * kOctetGroup) {
          const __m512i row = _mm512_loadu_si512(weights);
#pragma GCC unroll 8
          for (int p = 0; p < pixels; ++p) sums[p][s][v] = MultiplyAdd(groups[p], row, sums[p][s][v]);
        }
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(tile.unit), _mm512_loadu_ps(tile.scales + v * kLanes));
#pragma GCC unroll 8
      for (int p = 0; p < pixels; ++p) {
        __m512i of_slices[slices];
#pragma GCC unroll 3
        for (int s = 0; s < slices; ++s) of_slices[s] = sums[p][s][v];
        _mm512_storeu_ps(tile.target + p * width + v * kLanes, _mm512_mul_ps(Rounded<slices>(of_slices), scale));
      }
    }
  }
};

inline __mmask16 First(std::ptrdiff_t count) { return static_cast<__mmask16>(count >= kLanes ? 0xffff : (1u << count) - 1); }

bool Convert(const float* values, std::ptrdiff_t count, float scale, std::uint8_t* octets) {
  const __m512i zero = _mm512_set1_epi32(kOctetZero);
  __mmask16 fits = 0xffff;
  for (; count > 0; count -= kLanes, values += kLanes, octets += kLanes) {
    const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(First(count), values), _mm512_set1_ps(scale));
    const __m512i shifted = _mm512_add_epi32(_mm512_cvtps_epi32(scaled), zero);
    const __mmask16 whole = _mm512_cmp_ps_mask(_mm512_cvtepi32_ps(_mm512_sub_epi32(shifted, zero)), scaled, _CMP_EQ_OQ);
    fits = static_cast<__mmask16>(fits & whole & _mm512_cmple_epu32_mask(shifted, _mm512_set1_epi32(UINT8_MAX)));
    _mm_mask_storeu_epi8(octets, First(count), _mm512_cvtusepi32_epi8(shifted));
  }
  return fits == 0xffff;
}

}  // namespace

const ConvSumOctetsLevel kConvSumOctetsAvx512 = {
    {{{Loop<1, 1, 1>::Run, Loop<1, 1, 2>::Run, Loop<1, 1, 4>::Run, Loop<1, 1, 6>::Run, Loop<1, 1, 8>::Run},
      {Loop<1, 2, 1>::Run, Loop<1, 2, 2>::Run, Loop<1, 2, 4>::Run, Loop<1, 2, 6>::Run, Loop<1, 2, 8>::Run},
      {Loop<1, 4, 1>::Run, Loop<1, 4, 2>::Run, Loop<1, 4, 4>::Run, Loop<1, 4, 6>::Run, nullptr}},
     {{Loop<2, 1, 1>::Run, Loop<2, 1, 2>::Run, Loop<2, 1, 4>::Run, Loop<2, 1, 6>::Run, Loop<2, 1, 8>::Run},
      {Loop<2, 2, 1>::Run, Loop<2, 2, 2>::Run, Loop<2, 2, 4>::Run, Loop<2, 2, 6>::Run, nullptr},
      {Loop<2, 4, 1>::Run, Loop<2, 4, 2>::Run, nullptr, nullptr, nullptr}},
     {{Loop<3, 1, 1>::Run, Loop<3, 1, 2>::Run, Loop<3, 1, 4>::Run, Loop<3, 1, 6>::Run, Loop<3, 1, 8>::Run},
      {Loop<3, 2, 1>::Run, Loop<3, 2, 2>::Run, Loop<3, 2, 4>::Run, nullptr, nullptr},
      {Loop<3, 4, 1>::Run, Loop<3, 4, 2>::Run, nullptr, nullptr, nullptr}}},
    Convert,
};

}  // namespace fdabnn

#endif
