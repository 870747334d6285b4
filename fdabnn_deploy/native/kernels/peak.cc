#include "kernels/peak.h"

#include <algorithm>

#include "kernels/clock.h"
#include "kernels/peak_loop.h"

namespace fdabnn {
namespace {

constexpr int kTries = 10;
constexpr double kSecondsPerTry = 0.005;
constexpr std::size_t kMostBytes = 512;

const PeakLoop& LoopOf(Level level) {
  switch (level) {
#if defined(__x86_64__)
    case Level::kPopcnt:
      return kPeakPopcnt;
    case Level::kAvx2:
      return kPeakAvx2;
    case Level::kAvx512:
      return kPeakAvx512;
#elif defined(__aarch64__)
    case Level::kNeon:
    case Level::kNeonLookup:
      return kPeakNeon;
#endif
    default:
      return kPeakScalar;
  }
}

int CountBits(unsigned value) {
  int bits = 0;
  for (; value != 0; value &= value - 1) ++bits;
  return bits;
}

std::uint64_t BitsPerRound(const PeakLoop& loop, const unsigned char* data, const unsigned char* weights) {
  std::uint64_t bits = 0;
  for (std::size_t d = 0; d < loop.data; ++d) {
    for (std::size_t w = 0; w < loop.weights; ++w) {
      for (std::size_t i = 0; i < loop.bytes; ++i) {
        bits += static_cast<std::uint64_t>(CountBits(data[d * loop.bytes + i] ^ weights[w * loop.bytes + i]));
      }
    }
  }
  return bits;
}

}  // namespace

double BinaryPeak(Level level) {
  const PeakLoop& loop = LoopOf(level);
  alignas(64) unsigned char data[kMostBytes], weights[kMostBytes];
  std::uint32_t state = 1;
  for (std::size_t i = 0; i < kMostBytes; ++i) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    data[i] = static_cast<unsigned char>(state >> 24);
    weights[i] = static_cast<unsigned char>(state >> 16);
  }
  const std::uint64_t bits = BitsPerRound(loop, data, weights);
  const double macs = static_cast<double>(loop.data * loop.weights * loop.bytes * 8);
  std::int64_t rounds = 1000;
  double best = 0;
  for (int i = 0; i < kTries;) {
    const double begin = Seconds();
    const std::uint64_t counted = loop.run(data, weights, rounds);
    const double seconds = Seconds() - begin;
    if (counted != bits * static_cast<std::uint64_t>(rounds)) return 0;
    if (seconds < kSecondsPerTry / 2) {
      // Too short to be timed: the first tries, in which the processor also comes to its speed.
      rounds *= 2;
      continue;
    }
    best = std::max(best, macs * static_cast<double>(rounds) / seconds);
    ++i;
  }
  return best;
}

}  // namespace fdabnn
