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

constexpr int kNeonLanes = 4;

inline uint8x16_t FirstBytes(std::size_t count) {
  static constexpr std::uint8_t kIndex[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return vcltq_u8(vld1q_u8(kIndex), vdupq_n_u8(static_cast<std::uint8_t>(count)));
}

inline void AddTaps(uint8x16_t taps, const uint8x16_t* weights, uint16x8_t* sums) {
  for (int c = 0; c < kNeonLanes; ++c) sums[c] = vpadalq_u8(sums[c], vcntq_u8(veorq_u8(taps, weights[c])));
}

// Counts `whole` units and then a tail, of which `bytes` are the patches'; 0 or 16: there is none.
template <int P>
inline __attribute__((always_inline)) void CountTile(const Byte* strips, const std::ptrdiff_t* offsets, const uint8x16_t* weights,
                                                     std::size_t whole, std::size_t bytes, std::int32_t* counts) {
  uint16x8_t sums[P][kNeonLanes] = {};
  const Byte* patches[P];
  for (int i = 0; i < P; ++i) patches[i] = strips + offsets[i];
  for (; whole > 0; --whole, weights += kNeonLanes) {
    for (const Byte*& patch : patches) {
      AddTaps(vld1q_u8(patch), weights, sums[&patch - patches]);
      patch += sizeof *weights;
    }
  }
  if (bytes % sizeof *weights != 0 && bytes != sizeof *weights / 2) {
    for (int i = 0; i < P; ++i) AddTaps(vandq_u8(vld1q_u8(patches[i]), FirstBytes(bytes)), weights, sums[i]);
  }
  for (int i = 0; i < P; ++i) {
    uint16x8_t first = vpaddq_u16(sums[i][0], sums[i][1]), second = vpaddq_u16(sums[i][2], sums[i][3]);
    if (bytes == sizeof *weights / 2) {
      uint64_t half;
      std::memcpy(&half, patches[i], sizeof half);
      const uint8x16_t taps = vreinterpretq_u8_u64(vdupq_n_u64(half));
      first = vpadalq_u8(first, vcntq_u8(veorq_u8(taps, weights[0])));
      second = vpadalq_u8(second, vcntq_u8(veorq_u8(taps, weights[1])));
    }
    vst1q_s32(counts + i * kNeonLanes, vreinterpretq_s32_u32(vpaddlq_u16(vpaddq_u16(first, second))));
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

  static constexpr int kLanes = kNeonLanes;
  static constexpr int kPixels = 4;
  static constexpr std::size_t kUnitsPerSum = 1022;  // a 16-bit word holds the sum of 1022 * 64 taps and of a tail

  static inline Tail TailOf(std::size_t bytes) { return bytes % sizeof(Unit); }

  // Two channels in a register where half of it is all that is left.
  static inline void PackTail(Tail tail, Unit* weights) {
    if (tail != sizeof(Unit) / 2) return;
    for (int i = 0; i < 2; ++i) weights[i] = vcombine_u8(vget_low_u8(weights[2 * i]), vget_low_u8(weights[2 * i + 1]));
  }

  static inline Word Mask(Counts values) {
    static constexpr std::uint32_t kBits[] = {1, 2, 4, 8};
    uint32x4_t signs;
    std::memcpy(&signs, &values, sizeof signs);
    return vaddvq_u32(vandq_u32(signs, vld1q_u32(kBits)));
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
                           std::int32_t* counts) {
    const std::size_t whole = units - (tail != 0);
    if (whole <= kUnitsPerSum) return CountPart<P>(strips, offsets, weights, whole, tail, counts);
    CountPart<P>(strips, offsets, weights, kUnitsPerSum, 0, counts);
    for (std::size_t done = kUnitsPerSum, part; done < whole; done += part) {
      part = whole - done < kUnitsPerSum ? whole - done : kUnitsPerSum;
      std::int32_t more[P * kLanes];
      CountPart<P>(strips + done * sizeof(Unit), offsets, weights + done * kLanes, part, done + part == whole ? tail : 0, more);
      for (int i = 0; i < P * kLanes; ++i) counts[i] += more[i];
    }
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
