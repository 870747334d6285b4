// The loops of a level, and what they work on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fdabnn {

// Every round counts the bits in which each of `data` differs from each of `weights`, values of `bytes` bytes without gaps, and the loop
// gives back the sum over all rounds. The inner loops are assembly: a compiler moves the exclusive or out of them.
struct PeakLoop {
  std::size_t data, weights, bytes;
  std::uint64_t (*run)(const void* data, const void* weights, std::int64_t rounds);
};

extern const PeakLoop kPeakScalar;
#if defined(__x86_64__)
extern const PeakLoop kPeakPopcnt;
extern const PeakLoop kPeakAvx2;
extern const PeakLoop kPeakAvx512;
#elif defined(__aarch64__)
extern const PeakLoop kPeakNeon;
#endif

}  // namespace fdabnn
