#include <cstring>

#include "kernels/peak_loop.h"

namespace fdabnn {
namespace {

constexpr std::size_t kData = 4, kWeights = 2;

// Sums of 2, 4 and 8 bits side by side (Warren, Hacker's Delight, 5-1).
inline std::uint64_t CountWord(std::uint64_t x) {
  x -= x >> 1 & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
  return ((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56;
}

std::uint64_t Run(const void* data, const void* weights, std::int64_t rounds) {
  std::uint64_t x[kData], w[kWeights], sum = 0;
  std::memcpy(x, data, sizeof(x));
  std::memcpy(w, weights, sizeof(w));
  for (; rounds > 0; --rounds) {
    for (std::uint64_t& value : x) asm volatile("" : "+r"(value));  // it might be another one in every round
    for (const std::uint64_t value : x) {
      for (const std::uint64_t weight : w) sum += CountWord(value ^ weight);
    }
  }
  return sum;
}

}  // namespace

extern const PeakLoop kPeakScalar = {kData, kWeights, 8, Run};

}  // namespace fdabnn
