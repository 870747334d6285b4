// Binary convolution with NEON: 128 taps in a register, four output pixels by four channels at a time.
//
// What such a register takes is three operations, XOR, count and the sum, and that is all that the vector units of most cores do in one and
// a half cycles. An odd number of taps with 64 channels ends in half a register: two channels then share one, and their count joins the
// sums where these are half reduced, so that it costs half of the operations, too.
#include "kernels/bconv_kernel.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/bconv_patches.h"
#include "kernels/inner_loop.h"

namespace fdabnn {
namespace {

constexpr int kLanes = 16;
constexpr int kChannels = 4;  // of them, counted at a time

inline uint8x16_t FirstBytes(std::size_t count) {
  static constexpr std::uint8_t kIndex[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return vcltq_u8(vld1q_u8(kIndex), vdupq_n_u8(static_cast<std::uint8_t>(count)));
}

inline uint8x16_t Differing(uint8x16_t taps, uint8x16_t weights) { return vcntq_u8(veorq_u8(taps, weights)); }

// First: the sums hold nothing yet, and no zeros need to be made for them.
template <bool First>
inline void AddTaps(uint8x16_t taps, const uint8x16_t* weights, uint16x8_t* sums) {
  for (int c = 0; c < kChannels; ++c) {
    const uint8x16_t bits = Differing(taps, weights[c]);
    sums[c] = First ? vpaddlq_u8(bits) : vpadalq_u8(sums[c], bits);
  }
}

// Counts `whole` units and then a tail, of which `bytes` are the patches', unless it is 0. counts: [P][kLanes], of which kChannels are set.
template <int P>
inline __attribute__((always_inline)) void CountTile(const Byte* strips, const std::ptrdiff_t* offsets, const uint8x16_t* weights,
                                                     std::size_t whole, std::size_t bytes, std::int32_t* counts) {
  constexpr std::size_t kUnit = sizeof *weights;
  uint16x8_t sums[P][kChannels] = {};
  if (whole > 0) {
    for (int i = 0; i < P; ++i) AddTaps<true>(vld1q_u8(strips + offsets[i]), weights, sums[i]);
    strips += kUnit;
    weights += kChannels;
    for (; --whole > 0; strips += kUnit, weights += kChannels) {
      for (int i = 0; i < P; ++i) AddTaps<false>(vld1q_u8(strips + offsets[i]), weights, sums[i]);
    }
  }
  if (bytes != 0 && bytes != kUnit / 2) {
    const uint8x16_t mask = FirstBytes(bytes);
    for (int i = 0; i < P; ++i) AddTaps<false>(vandq_u8(vld1q_u8(strips + offsets[i]), mask), weights, sums[i]);
  }
  uint16x8_t halves[P][2];
  for (int i = 0; i < P; ++i) {
    for (int k = 0; k < 2; ++k) halves[i][k] = vpaddq_u16(sums[i][2 * k], sums[i][2 * k + 1]);
  }
  if (bytes == kUnit / 2) {
    for (int i = 0; i < P; ++i) {
      std::uint64_t half;
      std::memcpy(&half, strips + offsets[i], sizeof half);
      const uint8x16_t taps = vreinterpretq_u8_u64(vdupq_n_u64(half));
      for (int k = 0; k < 2; ++k) halves[i][k] = vpadalq_u8(halves[i][k], Differing(taps, weights[k]));
    }
  }
  for (int i = 0; i < P; ++i) {
    vst1q_s32(counts + i * kLanes, vreinterpretq_s32_u32(vpaddlq_u16(vpaddq_u16(halves[i][0], halves[i][1]))));
  }
}

}  // namespace

FDABNN_INNER_LOOP void fdabnn_neon_count(const Byte* strips, const std::ptrdiff_t* offsets, const uint8x16_t* weights, std::size_t whole,
                                         std::size_t bytes, std::int32_t* counts) {
  CountTile<4>(strips, offsets, weights, whole, bytes, counts);
}

namespace {

struct Neon {
  using Unit = uint8x16_t;
  using Tail = std::size_t;  // bytes; 0 for a whole unit

  static constexpr int kLanes = fdabnn::kLanes, kChannels = fdabnn::kChannels;
  static constexpr int kPixels = 4;
  static constexpr std::size_t kUnitsPerSum = 1022;  // a 16-bit word holds the sum of 1022 * 64 taps and of a tail

  static inline Tail TailOf(std::size_t bytes) { return bytes % sizeof(Unit); }

  // Two channels in a register where half of it is all that is left.
  static inline void PackTail(Tail tail, Unit* weights) {
    if (tail != sizeof(Unit) / 2) return;
    for (int i = 0; i < 2; ++i) weights[i] = vcombine_u8(vget_low_u8(weights[2 * i]), vget_low_u8(weights[2 * i + 1]));
  }

  static inline Word Larger(const std::int32_t* counts, const Counts* thresholds) {
    static constexpr std::uint32_t kBits[] = {1, 2, 4, 8};
    uint32x4_t bits = vld1q_u32(kBits), found = vdupq_n_u32(0);
    for (int q = 0; q < kLanes / kQuad; ++q, bits = vshlq_n_u32(bits, kQuad)) {
      int32x4_t threshold;
      std::memcpy(&threshold, &thresholds[q], sizeof threshold);
      found = vorrq_u32(found, vandq_u32(vcgtq_s32(vld1q_s32(counts + q * kQuad), threshold), bits));
    }
    return vaddvq_u32(found);
  }

  template <int P>
  static inline void CountPart(const Byte* strips, const std::ptrdiff_t* offsets, const Unit* weights, std::size_t whole, Tail tail,
                               std::int32_t* counts) {
    if constexpr (P == kPixels) {
      fdabnn_neon_count(strips, offsets, weights, whole, tail, counts);
    } else {
      CountTile<P>(strips, offsets, weights, whole, tail, counts);
    }
  }

  template <int P>
  static inline void Count(const Byte* strips, const std::ptrdiff_t* offsets, const Unit* weights, std::size_t units, Tail tail,
                           int channels, std::int32_t* counts) {
    const std::size_t whole = units - (tail != 0);
    for (int c = 0; c < channels; c += kChannels, weights += units * kChannels, counts += kChannels) {
      if (whole <= kUnitsPerSum) {
        CountPart<P>(strips, offsets, weights, whole, tail, counts);
      } else {
        CountLong<P>(strips, offsets, weights, whole, tail, counts);
      }
    }
  }

  template <int P>
  static void CountLong(const Byte* strips, const std::ptrdiff_t* offsets, const Unit* weights, std::size_t whole, Tail tail,
                        std::int32_t* counts) {
    CountPart<P>(strips, offsets, weights, kUnitsPerSum, 0, counts);
    for (std::size_t done = kUnitsPerSum, part; done < whole; done += part) {
      part = whole - done < kUnitsPerSum ? whole - done : kUnitsPerSum;
      std::int32_t more[P * kLanes];
      CountPart<P>(strips + done * sizeof(Unit), offsets, weights + done * kChannels, part, done + part == whole ? tail : 0, more);
      for (int i = 0; i < P; ++i) {
        for (int c = 0; c < kChannels; ++c) counts[i * kLanes + c] += more[i * kLanes + c];
      }
    }
  }
};

}  // namespace

const BconvKernel* BconvNeon() { return PatchKernel<Neon>::Get(); }

}  // namespace fdabnn

#endif
