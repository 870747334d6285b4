#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#include "kernels/peak_loop.h"

namespace fdabnn {
namespace {

// A lane of 32 bits holds the sums of so many rounds and more.
constexpr std::int64_t kRoundsOfLanes = 1 << 24;

std::uint64_t Run(const void* data, const void* weights, std::int64_t rounds) {
  __m512i x[3], w[3];
  std::memcpy(x, data, sizeof(x));
  std::memcpy(w, weights, sizeof(w));
  std::uint64_t total = 0;
  while (rounds > 0) {
    std::int64_t block = rounds < kRoundsOfLanes ? rounds : kRoundsOfLanes;
    rounds -= block;
    __m512i sum[9];
    for (__m512i& each : sum) each = _mm512_setzero_si512();
    // No more operands: compilers take 30, and one that is read and written counts twice.
    // clang-format off
#define STEP(x, w, sum) "vpxord %[" x "], %[" w "], %%zmm31\n\t vpopcntd %%zmm31, %%zmm31\n\t vpaddd %%zmm31, %[" sum "], %[" sum "]\n\t"
    asm volatile(
        "1:\n\t"
        STEP("x0", "w0", "s0") STEP("x1", "w0", "s1") STEP("x2", "w0", "s2")
        STEP("x0", "w1", "s3") STEP("x1", "w1", "s4") STEP("x2", "w1", "s5")
        STEP("x0", "w2", "s6") STEP("x1", "w2", "s7") STEP("x2", "w2", "s8")
        "sub $1, %[block]\n\t"
        "jnz 1b"
        : [s0] "+v"(sum[0]), [s1] "+v"(sum[1]), [s2] "+v"(sum[2]), [s3] "+v"(sum[3]), [s4] "+v"(sum[4]), [s5] "+v"(sum[5]),
          [s6] "+v"(sum[6]), [s7] "+v"(sum[7]), [s8] "+v"(sum[8]),
          [block] "+r"(block)
        : [x0] "v"(x[0]), [x1] "v"(x[1]), [x2] "v"(x[2]), [w0] "v"(w[0]), [w1] "v"(w[1]), [w2] "v"(w[2])
        : "zmm31", "cc");
#undef STEP
    // clang-format on
    for (const __m512i& each : sum) {
      std::uint32_t lanes[16];
      std::memcpy(lanes, &each, sizeof(lanes));
      for (const std::uint32_t lane : lanes) total += lane;
    }
  }
  return total;
}

}  // namespace

extern const PeakLoop kPeakAvx512 = {3, 3, 64, Run};

}  // namespace fdabnn

#endif
