// What one thread can do at most: xor, count and add from registers, no memory. The loops xor the same values with the same weights over
// and over, and give back how many bits they have counted, so that a caller can check that the work was done.
//
// The inner loops are assembly: a compiler moves the xor out of them. Never part of the library.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstring>

#include "timing.h"

// Additions that wait for one another: a cycle each. Adding a register, because processors add small constants while they rename.
EXPORT double ceiling_cycles_per_second(std::int64_t thousands) {
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
EXPORT __attribute__((target("avx512f,avx512vpopcntdq"))) double ceiling_avx512(const void* data, const void* weights, std::int64_t rounds,
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

// The classic of AVX2: xor, the counts of both nibbles from a table, sums in bytes. data: 4 x 32 bytes; weights: 32 bytes; 1024 MAC a
// round. Bytes hold the sums of 31 rounds.
EXPORT __attribute__((target("avx2"))) double ceiling_avx2(const void* data, const void* weights, std::int64_t rounds,
                                                           std::uint64_t* counted) {
  __m256i x[4], w, totals[4];
  std::memcpy(x, data, sizeof x);
  std::memcpy(&w, weights, sizeof w);
  for (__m256i& each : totals) each = _mm256_setzero_si256();
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(15);
  const double begin = Seconds();
  while (rounds > 0) {
    std::int64_t block = rounds < 31 ? rounds : 31;
    rounds -= block;
    __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    // clang-format off
#define STEP(x, sum, low, high)                                                              \
  "vpxor %[" x "], %[w], %%" low "\n\t vpsrlw $4, %%" low ", %%" high "\n\t"                \
  "vpand %%" low ", %[nibble], %%" low "\n\t vpand %%" high ", %[nibble], %%" high "\n\t"   \
  "vpshufb %%" low ", %[table], %%" low "\n\t vpshufb %%" high ", %[table], %%" high "\n\t" \
  "vpaddb %%" low ", %[" sum "], %[" sum "]\n\t vpaddb %%" high ", %[" sum "], %[" sum "]\n\t"
    asm volatile(
        "1:\n\t"
        STEP("x0", "s0", "ymm12", "ymm13") STEP("x1", "s1", "ymm14", "ymm15")
        STEP("x2", "s2", "ymm12", "ymm13") STEP("x3", "s3", "ymm14", "ymm15")
        "sub $1, %[block]\n\t"
        "jnz 1b"
        : [s0] "+x"(sum[0]), [s1] "+x"(sum[1]), [s2] "+x"(sum[2]), [s3] "+x"(sum[3]), [block] "+r"(block)
        : [x0] "x"(x[0]), [x1] "x"(x[1]), [x2] "x"(x[2]), [x3] "x"(x[3]), [w] "x"(w), [table] "x"(table), [nibble] "x"(nibble)
        : "ymm12", "ymm13", "ymm14", "ymm15", "cc");
#undef STEP
    // clang-format on
    for (int i = 0; i < 4; ++i) totals[i] = _mm256_add_epi64(totals[i], _mm256_sad_epu8(sum[i], _mm256_setzero_si256()));
  }
  const double seconds = Seconds() - begin;
  std::uint64_t total = 0;
  for (const __m256i& each : totals) {
    std::uint64_t lanes[4];
    std::memcpy(lanes, &each, sizeof lanes);
    for (std::uint64_t lane : lanes) total += lane;
  }
  *counted = total;
  return seconds;
}

#endif
