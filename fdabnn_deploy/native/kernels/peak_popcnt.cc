#if defined(__x86_64__)

#include <cstring>

#include "kernels/peak_loop.h"

namespace fdabnn {
namespace {

std::uint64_t Run(const void* data, const void* weights, std::int64_t rounds) {
  std::uint64_t x[4], w, sum[4] = {0, 0, 0, 0}, bits;
  std::memcpy(x, data, sizeof(x));
  std::memcpy(&w, weights, sizeof(w));
  // clang-format off
#define STEP(x, sum) "mov %[" x "], %[bits]\n\t xor %[w], %[bits]\n\t popcnt %[bits], %[bits]\n\t add %[bits], %[" sum "]\n\t"
  asm volatile(
      "1:\n\t"
      STEP("x0", "s0") STEP("x1", "s1") STEP("x2", "s2") STEP("x3", "s3")
      "sub $1, %[rounds]\n\t"
      "jnz 1b"
      : [s0] "+r"(sum[0]), [s1] "+r"(sum[1]), [s2] "+r"(sum[2]), [s3] "+r"(sum[3]), [bits] "=&r"(bits), [rounds] "+r"(rounds)
      : [x0] "r"(x[0]), [x1] "r"(x[1]), [x2] "r"(x[2]), [x3] "r"(x[3]), [w] "r"(w)
      : "cc");
#undef STEP
  // clang-format on
  return sum[0] + sum[1] + sum[2] + sum[3];
}

}  // namespace

extern const PeakLoop kPeakPopcnt = {4, 1, 8, Run};

}  // namespace fdabnn

#endif
