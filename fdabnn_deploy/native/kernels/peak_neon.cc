#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstring>

#include "kernels/peak_loop.h"

namespace fdabnn {
namespace {

// A lane of 16 bits holds the sums of so many rounds: a round adds 16 at most.
constexpr std::int64_t kRoundsOfLanes = 4095;

std::uint64_t Run(const void* data, const void* weights, std::int64_t rounds) {
  uint8x16_t x[3], w[3];
  std::memcpy(x, data, sizeof(x));
  std::memcpy(w, weights, sizeof(w));
  std::uint64_t total = 0;
  while (rounds > 0) {
    std::int64_t block = rounds < kRoundsOfLanes ? rounds : kRoundsOfLanes;
    rounds -= block;
    uint16x8_t sum[9];
    for (uint16x8_t& each : sum) each = vdupq_n_u16(0);
    // No more operands: compilers take 30, and one that is read and written counts twice.
    // clang-format off
#define STEP(x, w, sum, t) "eor " t ".16b, %[" x "].16b, %[" w "].16b\n\t cnt " t ".16b, " t ".16b\n\t uadalp %[" sum "].8h, " t ".16b\n\t"
    asm volatile(
        "1:\n\t"
        STEP("x0", "w0", "s0", "v28") STEP("x1", "w0", "s1", "v29") STEP("x2", "w0", "s2", "v30")
        STEP("x0", "w1", "s3", "v31") STEP("x1", "w1", "s4", "v28") STEP("x2", "w1", "s5", "v29")
        STEP("x0", "w2", "s6", "v30") STEP("x1", "w2", "s7", "v31") STEP("x2", "w2", "s8", "v28")
        "subs %[block], %[block], #1\n\t"
        "b.ne 1b"
        : [s0] "+w"(sum[0]), [s1] "+w"(sum[1]), [s2] "+w"(sum[2]), [s3] "+w"(sum[3]), [s4] "+w"(sum[4]), [s5] "+w"(sum[5]),
          [s6] "+w"(sum[6]), [s7] "+w"(sum[7]), [s8] "+w"(sum[8]),
          [block] "+r"(block)
        : [x0] "w"(x[0]), [x1] "w"(x[1]), [x2] "w"(x[2]), [w0] "w"(w[0]), [w1] "w"(w[1]), [w2] "w"(w[2])
        : "v28", "v29", "v30", "v31", "cc");
#undef STEP
    // clang-format on
    for (const uint16x8_t& each : sum) total += vaddlvq_u16(each);
  }
  return total;
}

}  // namespace

extern const PeakLoop kPeakNeon = {3, 3, 16, Run};

}  // namespace fdabnn

#endif
