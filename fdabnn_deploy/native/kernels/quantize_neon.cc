#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/quantize_loops.h"

namespace fdabnn {
namespace {

struct Neon : CopiedTails<Neon> {
  static inline uint16x8_t AreNegative(const float* values) {
    const int32x4_t one = vdupq_n_s32(1);
    const int32x4_t end = vdupq_n_s32(kNegative);
    const uint32x4_t low = vcltq_s32(vsubq_s32(vreinterpretq_s32_f32(vld1q_f32(values)), one), end);
    const uint32x4_t high = vcltq_s32(vsubq_s32(vreinterpretq_s32_f32(vld1q_f32(values + 4)), one), end);
    return vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high));
  }

  static inline uint8x16_t BitOf() { return vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201)); }

  // One bit from each byte that is all ones or all zeros.
  static inline Word Join(uint8x16_t low, uint8x16_t high) {
    uint8x16_t sums = vpaddq_u8(vandq_u8(low, BitOf()), vandq_u8(high, BitOf()));
    sums = vpaddq_u8(sums, sums);
    sums = vpaddq_u8(sums, sums);
    return vgetq_lane_u32(vreinterpretq_u32_u8(sums), 0);
  }

  static inline uint8x16_t Narrow(uint16x8_t low, uint16x8_t high) {
    return vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
  }

  static inline Word PackFloat(const float* values) {
    return Join(Narrow(AreNegative(values), AreNegative(values + 8)), Narrow(AreNegative(values + 16), AreNegative(values + 24)));
  }

  static inline Word PackInt8(const std::int8_t* values, std::int8_t last) {
    const int8x16_t end = vdupq_n_s8(last);
    return Join(vcleq_s8(vld1q_s8(values), end), vcleq_s8(vld1q_s8(values + 16), end));
  }

  static inline Word PackBool(const std::uint8_t* values) { return Join(vceqzq_u8(vld1q_u8(values)), vceqzq_u8(vld1q_u8(values + 16))); }

  static inline void UnpackFloat(Word word, float* values) {
    static constexpr std::uint32_t kBits[4] = {1, 2, 4, 8};
    for (int first = 0; first < kWordBits; first += 4) {
      const uint32x4_t is_set = vtstq_u32(vdupq_n_u32(word >> first), vld1q_u32(kBits));
      vst1q_f32(values + first, vbslq_f32(is_set, vdupq_n_f32(-1), vdupq_n_f32(1)));
    }
  }

  static inline void UnpackBytes(Word word, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values) {
    const uint8x16_t bytes = vreinterpretq_u8_u32(vdupq_n_u32(word));
    const uint8x16_t low = vcombine_u8(vdup_laneq_u8(bytes, 0), vdup_laneq_u8(bytes, 1));
    const uint8x16_t high = vcombine_u8(vdup_laneq_u8(bytes, 2), vdup_laneq_u8(bytes, 3));
    vst1q_u8(values, vbslq_u8(vtstq_u8(low, BitOf()), vdupq_n_u8(minus), vdupq_n_u8(plus)));
    vst1q_u8(values + 16, vbslq_u8(vtstq_u8(high, BitOf()), vdupq_n_u8(minus), vdupq_n_u8(plus)));
  }
};

}  // namespace

const QuantizeRows kQuantizeNeon = MakeQuantizeRows<Neon>();

}  // namespace fdabnn

#endif
