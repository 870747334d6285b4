#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/conv_sum_octets.h"

namespace fdabnn {
namespace {

constexpr int kLanes = 4;
constexpr int kVectorGroups = 4;  // of a vector of 16 bytes
constexpr int kMostSums = 24;     // registers

// Adds to four sums the products of four bytes each of `rows` and the same four of `groups`. The instruction is optional in Armv8.2, and
// compilers know it by flags that would let them use it anywhere.
template <int lane>
inline int32x4_t MultiplyAdd(int8x16_t groups, int8x16_t rows, int32x4_t sum) {
  __asm__(".arch_extension dotprod\n\tsdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(sum) : "w"(rows), "w"(groups), "i"(lane));
  return sum;
}

// As in conv_sum_octets_avx512.cc.
template <int slices>
inline float32x4_t Rounded(const int32x4_t* sums) {
  if (slices == 1) return vcvtq_f32_s32(sums[0]);
  int32x4_t high = sums[0], low = sums[slices - 1];
  if (slices == 3) {
    high = vaddq_s32(vshlq_n_s32(high, 8), sums[1]);
    const int32x4_t rest = vandq_s32(high, vdupq_n_s32(0xff));
    high = vsubq_s32(high, rest);
    low = vaddq_s32(low, vshlq_n_s32(rest, 8));
  }
  return vfmaq_f32(vcvtq_f32_s32(low), vcvtq_f32_s32(high), vdupq_n_f32(256));
}

// The channels of a tile are computed in parts whose sums stay in registers. The products are of signed bytes, so that no sum has to start
// at the tile's `starts`.
template <int slices, int vectors, int pixels>
class Loop {
 public:
  static void Run(const ConvSumOctetsTile& tile) {
    for (int v = 0; v < vectors; v += kPart) RunPart(tile, v);
  }

 private:
  static constexpr int kFit = kMostSums / (slices * pixels);
  static constexpr int kPart = kFit >= 4 && vectors == 4 ? 4 : kFit >= 2 && vectors >= 2 ? 2 : 1;
  static constexpr std::ptrdiff_t kWidth = vectors * kLanes;

  template <int lane>
  static inline void Add(const int8x16_t* groups, const std::int8_t* weights, int32x4_t (*sums)[slices][kPart]) {
#pragma GCC unroll 3
    for (int s = 0; s < slices; ++s) {
#pragma GCC unroll 4
      for (int v = 0; v < kPart; ++v) {
        const int8x16_t rows = vld1q_s8(weights + ((lane * slices + s) * kWidth + v * kLanes) * kOctetGroup);
#pragma GCC unroll 4
        for (int p = 0; p < pixels; ++p) sums[p][s][v] = MultiplyAdd<lane>(groups[p], rows, sums[p][s][v]);
      }
    }
  }

  static inline int8x16_t Signed(uint8x16_t octets) { return vreinterpretq_s8_u8(veorq_u8(octets, vdupq_n_u8(kOctetZero))); }

  static inline void RunPart(const ConvSumOctetsTile& tile, int first) {
    constexpr std::ptrdiff_t step = slices * kWidth * kOctetGroup;  // of the weights, by group
    int32x4_t sums[pixels][slices][kPart];
#pragma GCC unroll 4
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 3
      for (int s = 0; s < slices; ++s) {
#pragma GCC unroll 4
        for (int v = 0; v < kPart; ++v) sums[p][s][v] = vdupq_n_s32(0);
      }
    }
    const std::int8_t* weights = tile.weights + first * kLanes * kOctetGroup;
    const std::uint8_t* values = tile.patches;
    const std::ptrdiff_t stride = tile.groups * kOctetGroup;
    int8x16_t groups[pixels];
    std::ptrdiff_t left = tile.groups;
    for (; left >= kVectorGroups; left -= kVectorGroups, values += kVectorGroups * kOctetGroup, weights += kVectorGroups * step) {
#pragma GCC unroll 4
      for (int p = 0; p < pixels; ++p) groups[p] = Signed(vld1q_u8(values + p * stride));
      Add<0>(groups, weights, sums);
      Add<1>(groups, weights, sums);
      Add<2>(groups, weights, sums);
      Add<3>(groups, weights, sums);
    }
    for (; left > 0; --left, values += kOctetGroup, weights += step) {
#pragma GCC unroll 4
      for (int p = 0; p < pixels; ++p) {
        std::uint32_t group;
        __builtin_memcpy(&group, values + p * stride, sizeof(group));
        groups[p] = Signed(vreinterpretq_u8_u32(vdupq_n_u32(group)));
      }
      Add<0>(groups, weights, sums);
    }
    Finish(tile, first, sums);
  }

  static inline void Finish(const ConvSumOctetsTile& tile, int first, const int32x4_t (*sums)[slices][kPart]) {
#pragma GCC unroll 4
    for (int v = 0; v < kPart; ++v) {
      const std::ptrdiff_t channel = (first + v) * kLanes;
      const float32x4_t scale = vmulq_n_f32(vld1q_f32(tile.scales + channel), tile.unit);
#pragma GCC unroll 4
      for (int p = 0; p < pixels; ++p) {
        int32x4_t of_slices[slices];
#pragma GCC unroll 3
        for (int s = 0; s < slices; ++s) of_slices[s] = sums[p][s][v];
        vst1q_f32(tile.target + p * kWidth + channel, vmulq_f32(Rounded<slices>(of_slices), scale));
      }
    }
  }
};

}  // namespace

const ConvSumOctetsLevel kConvSumOctetsNeon = {
    {{{Loop<1, 1, 1>::Run, Loop<1, 1, 2>::Run, Loop<1, 1, 4>::Run, nullptr, nullptr},
      {Loop<1, 2, 1>::Run, Loop<1, 2, 2>::Run, Loop<1, 2, 4>::Run, nullptr, nullptr},
      {Loop<1, 4, 1>::Run, Loop<1, 4, 2>::Run, Loop<1, 4, 4>::Run, nullptr, nullptr}},
     {{Loop<2, 1, 1>::Run, Loop<2, 1, 2>::Run, Loop<2, 1, 4>::Run, nullptr, nullptr},
      {Loop<2, 2, 1>::Run, Loop<2, 2, 2>::Run, Loop<2, 2, 4>::Run, nullptr, nullptr},
      {Loop<2, 4, 1>::Run, Loop<2, 4, 2>::Run, Loop<2, 4, 4>::Run, nullptr, nullptr}},
     {{Loop<3, 1, 1>::Run, Loop<3, 1, 2>::Run, Loop<3, 1, 4>::Run, nullptr, nullptr},
      {Loop<3, 2, 1>::Run, Loop<3, 2, 2>::Run, Loop<3, 2, 4>::Run, nullptr, nullptr},
      {Loop<3, 4, 1>::Run, Loop<3, 4, 2>::Run, Loop<3, 4, 4>::Run, nullptr, nullptr}}},
    nullptr,
};

}  // namespace fdabnn

#endif
