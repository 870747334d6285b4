// Binary convolution with NEON: 128 taps in a register, four output pixels by four channels at a time.
#include "kernels/bconv_kernel.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/bconv_patches.h"

namespace fdabnn {
namespace {

struct Neon {
  using Unit = uint8x16_t;

  static constexpr int kLanes = 4;
  static constexpr int kPixels = 4;
  static constexpr std::size_t kUnitsPerSum = 1023;  // a 16-bit word holds the sum of 1023 * 64 taps

  static inline Unit FirstBytes(std::size_t count) {
    static constexpr std::uint8_t kIndex[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vcltq_u8(vld1q_u8(kIndex), vdupq_n_u8(static_cast<std::uint8_t>(count)));
  }

  static inline Word Mask(Counts values) {
    static constexpr std::uint32_t kBits[] = {1, 2, 4, 8};
    uint32x4_t signs;
    std::memcpy(&signs, &values, sizeof signs);
    return vaddvq_u32(vandq_u32(signs, vld1q_u32(kBits)));
  }

  template <int P>
  static inline void Count(const Byte* strip, const std::ptrdiff_t* offsets, const Unit* weights, std::size_t units, Unit last,
                           std::int32_t* counts) {
    uint32x4_t totals[P];
    const Byte* patches[P];
    for (int i = 0; i < P; ++i) {
      totals[i] = vdupq_n_u32(0);
      patches[i] = strip + offsets[i];
    }
    for (; units > kUnitsPerSum; units -= kUnitsPerSum) {
      uint16x8_t sums[P][kLanes] = {};
      for (std::size_t u = 0; u < kUnitsPerSum; ++u, weights += kLanes) Add<P, false>(patches, last, weights, sums);
      for (int i = 0; i < P; ++i) totals[i] = vaddq_u32(totals[i], Total(sums[i]));
    }
    uint16x8_t sums[P][kLanes] = {};
    for (std::size_t u = 1; u < units; ++u, weights += kLanes) Add<P, false>(patches, last, weights, sums);
    Add<P, true>(patches, last, weights, sums);
    for (int i = 0; i < P; ++i) vst1q_s32(counts + i * kLanes, vreinterpretq_s32_u32(vaddq_u32(totals[i], Total(sums[i]))));
  }

  template <int P, bool IsLast>
  static inline void Add(const Byte** patches, Unit last, const Unit* weights, uint16x8_t (*sums)[kLanes]) {
    for (int i = 0; i < P; ++i) {
      Unit taps = vld1q_u8(patches[i]);
      patches[i] += sizeof taps;
      if (IsLast) taps = vandq_u8(taps, last);
      for (int c = 0; c < kLanes; ++c) sums[i][c] = vpadalq_u8(sums[i][c], vcntq_u8(veorq_u8(taps, weights[c])));
    }
  }

  // The four channels' sums.
  static inline uint32x4_t Total(const uint16x8_t* sums) {
    return vpaddlq_u16(vpaddq_u16(vpaddq_u16(sums[0], sums[1]), vpaddq_u16(sums[2], sums[3])));
  }
};

}  // namespace

const BconvKernel* BconvNeon() { return PatchKernel<Neon>::Get(); }

}  // namespace fdabnn

#else

namespace fdabnn {

const BconvKernel* BconvNeon() { return nullptr; }

}  // namespace fdabnn

#endif
