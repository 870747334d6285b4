#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#include "kernels/peak_loop.h"

namespace fdabnn {
namespace {

// A byte holds the sums of so many rounds: a round adds 8 at most, from each nibble 4.
constexpr std::int64_t kRoundsOfBytes = 31;

// The counts of both nibbles from a table, sums in bytes.
std::uint64_t Run(const void* data, const void* weights, std::int64_t rounds) {
  __m256i x[4], w, totals[4];
  std::memcpy(x, data, sizeof(x));
  std::memcpy(&w, weights, sizeof(w));
  for (__m256i& each : totals) each = _mm256_setzero_si256();
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(15);
  while (rounds > 0) {
    std::int64_t block = rounds < kRoundsOfBytes ? rounds : kRoundsOfBytes;
    rounds -= block;
    __m256i sum[4];
    for (__m256i& each : sum) each = _mm256_setzero_si256();
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
  std::uint64_t total = 0;
  for (const __m256i& each : totals) {
    std::uint64_t lanes[4];
    std::memcpy(lanes, &each, sizeof(lanes));
    for (const std::uint64_t lane : lanes) total += lane;
  }
  return total;
}

}  // namespace

extern const PeakLoop kPeakAvx2 = {4, 1, 32, Run};

}  // namespace fdabnn

#endif
