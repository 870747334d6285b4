#include "kernels/level.h"

#include <cstdint>
#include <cstdlib>

#include "kernels/arm_cores.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fdabnn {
namespace {

constexpr Level kFastestFirst[] = {Level::kAvx512, Level::kAvx2, Level::kPopcnt, Level::kNeonLookup, Level::kNeon, Level::kScalar};

#if defined(__x86_64__)

struct Registers {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// By CPUID itself: __builtin_cpu_supports answers "no" to everything where the linked compiler runtime lacks its tables.
Registers Cpuid(std::uint32_t leaf) {
  Registers r;
  __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

constexpr bool Has(std::uint64_t value, std::uint64_t bits) { return (value & bits) == bits; }

constexpr std::uint64_t Bit(int index) { return std::uint64_t{1} << index; }

// Which registers the operating system saves for a thread.
std::uint64_t SavedState() {
  std::uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | std::uint64_t{high} << 32;
}

// Intel's Software Developer's Manual, volume 2, CPUID leaves 1 and 7; volume 1, 13.3 for the saved state.
Level FastestOfProcessor() {
  const std::uint32_t leaf1 = Cpuid(1).ecx;
  if (!Has(leaf1, Bit(20) | Bit(23))) return Level::kScalar;  // SSE4.2, POPCNT

  const Registers leaf7 = Cpuid(7);
  if (!Has(leaf1, Bit(27) | Bit(28)) || !Has(SavedState(), 0x06)) return Level::kPopcnt;  // OSXSAVE, AVX; xmm, ymm
  if (!Has(leaf7.ebx, Bit(5) | Bit(8)) || !Has(leaf1, Bit(12))) return Level::kPopcnt;    // AVX2, BMI2; FMA

  if (!Has(SavedState(), 0xe6)) return Level::kAvx2;                                // mask registers, zmm
  if (!Has(leaf7.ebx, Bit(16) | Bit(17) | Bit(30) | Bit(31))) return Level::kAvx2;  // AVX-512 F, DQ, BW, VL
  return Has(leaf7.ecx, Bit(11) | Bit(14)) ? Level::kAvx512 : Level::kAvx2;         // AVX512_VNNI, AVX512_VPOPCNTDQ
}

#endif

}  // namespace

const char* Name(Level level) {
  switch (level) {
    case Level::kScalar:
      return "scalar";
    case Level::kPopcnt:
      return "popcnt";
    case Level::kAvx2:
      return "avx2";
    case Level::kAvx512:
      return "avx512";
    case Level::kNeon:
      return "neon";
    case Level::kNeonLookup:
      return "neon_lookup";
  }
  return "unknown";
}

bool Supported(Level level) {
#if defined(__x86_64__)
  static const Level fastest = FastestOfProcessor();
  return level <= fastest;  // each level contains those before it
#elif defined(__aarch64__)
  return level == Level::kNeonLookup || level == Level::kNeon || level == Level::kScalar;
#else
  return level == Level::kScalar;
#endif
}

// Whether it is chosen where nobody names one.
static bool Suits(Level level) {
  if (level != Level::kNeonLookup) return true;
  static const bool suits = LookupSuits(ReadArmCores("/sys/devices/system/cpu"));
  return suits;
}

bool ChooseLevel(Level* level, std::string* error) {
  const char* wanted = std::getenv("FDABNN_KERNELS");
  const bool any = wanted == nullptr || *wanted == '\0';
  std::string supported;
  for (const Level candidate : kFastestFirst) {
    if (!Supported(candidate)) continue;
    if (any ? Suits(candidate) : std::string(wanted) == Name(candidate)) {
      *level = candidate;
      return true;
    }
    supported += supported.empty() ? Name(candidate) : std::string(", ") + Name(candidate);
  }
  *error = "FDABNN_KERNELS=" + std::string(wanted) + " is not a level that this processor supports; use one of " + supported;
  return false;
}

}  // namespace fdabnn
