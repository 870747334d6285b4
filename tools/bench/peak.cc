// What one thread can do at most: xor, count and add from registers, no memory. The loops xor the same values with the same weights over
// and over, and give back how many bits they have counted, so that a caller can check that the work was done.
//
// The inner loops are assembly: a compiler moves the xor out of them. Never part of the library; that of AVX2 is taken from it.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstring>

#include "kernels/peak_loop.h"
#include "timing.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#include "kernels/peak_avx2.cc"
#pragma clang attribute pop
#endif

// Additions that wait for one another: a cycle each. Adding a register, because processors add small constants while they rename.
EXPORT double peak_cycles_per_second(std::int64_t thousands) {
  const double begin = Seconds();
  std::uint64_t sum = 0, one = 1;
  for (std::int64_t i = 0; i < thousands; ++i) {
#if defined(__x86_64__)
    asm volatile(".rept 1000\n\t add %1, %0\n\t .endr" : "+r"(sum) : "r"(one));
#else
    asm volatile(".rept 1000\n\t add %0, %0, %1\n\t .endr" : "+r"(sum) : "r"(one));
#endif
  }
  const double end = Seconds();
  return static_cast<double>(sum) / (end - begin);
}

#if defined(__x86_64__)

// vpxord, vpopcntd, vpaddd with 12 accumulators. data: 4 x 64 bytes; weights: 3 x 64 bytes; every pair once per round, 6144 MAC.
EXPORT __attribute__((target("avx512f,avx512vpopcntdq"))) double peak_avx512(const void* data, const void* weights, std::int64_t rounds,
                                                                             std::uint64_t* counted) {
  __m512i x[4], w[3], sum[12];
  std::memcpy(x, data, sizeof x);
  std::memcpy(w, weights, sizeof w);
  for (__m512i& each : sum) each = _mm512_setzero_si512();
  const double begin = Seconds();
  // clang-format off
#define STEP(x, w, sum) "vpxord %[" x "], %[" w "], %%zmm31\n\t vpopcntd %%zmm31, %%zmm31\n\t vpaddd %%zmm31, %[" sum "], %[" sum "]\n\t"
  asm volatile(
      "1:\n\t"
      STEP("x0", "w0", "s0") STEP("x1", "w0", "s1") STEP("x2", "w0", "s2") STEP("x3", "w0", "s3")
      STEP("x0", "w1", "s4") STEP("x1", "w1", "s5") STEP("x2", "w1", "s6") STEP("x3", "w1", "s7")
      STEP("x0", "w2", "s8") STEP("x1", "w2", "s9") STEP("x2", "w2", "s10") STEP("x3", "w2", "s11")
      "sub $1, %[rounds]\n\t"
      "jnz 1b"
      : [s0] "+v"(sum[0]), [s1] "+v"(sum[1]), [s2] "+v"(sum[2]), [s3] "+v"(sum[3]), [s4] "+v"(sum[4]), [s5] "+v"(sum[5]),
        [s6] "+v"(sum[6]), [s7] "+v"(sum[7]), [s8] "+v"(sum[8]), [s9] "+v"(sum[9]), [s10] "+v"(sum[10]), [s11] "+v"(sum[11]),
        [rounds] "+r"(rounds)
      : [x0] "v"(x[0]), [x1] "v"(x[1]), [x2] "v"(x[2]), [x3] "v"(x[3]), [w0] "v"(w[0]), [w1] "v"(w[1]), [w2] "v"(w[2])
      : "zmm31", "cc");
#undef STEP
  // clang-format on
  const double seconds = Seconds() - begin;
  std::uint64_t total = 0;
  for (const __m512i& each : sum) {
    std::uint32_t lanes[16];
    std::memcpy(lanes, &each, sizeof lanes);
    for (std::uint32_t lane : lanes) total += lane;
  }
  *counted = total;
  return seconds;
}

// The loop of the library, with which reports compare too. data: 4 x 32 bytes; weights: 32 bytes; 1024 MAC a round.
EXPORT double peak_avx2(const void* data, const void* weights, std::int64_t rounds, std::uint64_t* counted) {
  const double begin = Seconds();
  *counted = fdabnn::kPeakAvx2.run(data, weights, rounds);
  return Seconds() - begin;
}

#endif
