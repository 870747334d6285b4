// Which instructions the kernels use.
#pragma once

#include <string>

namespace fdabnn {

enum class Level {
  kScalar,      // portable C++, the specification of all others
  kPopcnt,      // x86: SSE4.2 and POPCNT
  kAvx2,        // x86: AVX2, FMA and BMI2
  kAvx512,      // x86: AVX-512 F, BW, DQ, VL, VNNI and VPOPCNTDQ
  kNeon,        // aarch64
  kNeonLookup,  // aarch64: binary convolutions by table look-up where that pays, which depends on the core
};

constexpr int kLevels = 6;

// The name by which FDABNN_KERNELS and reports call a level: scalar, popcnt, avx2, avx512, neon, neon_lookup.
const char* Name(Level level);

// Whether this build has the level and this processor (and operating system) the instructions.
bool Supported(Level level);

// The fastest supported level (of the two of aarch64 the one that suits its cores, see arm_cores.h), or the one that the environment
// variable FDABNN_KERNELS names.
// Returns false and says why where that is no level, or not a supported one.
bool ChooseLevel(Level* level, std::string* error);

}  // namespace fdabnn
