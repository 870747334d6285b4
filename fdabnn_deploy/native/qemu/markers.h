// The marks between which executed instructions are counted under qemu; see docs/instruction-counts.md.
//
// A mark is a hint of A64 that has no meaning. The architecture (Arm ARM, C6.2, HINT) sets aside 128 of them and has every processor
// execute those without a meaning as NOP; new meanings have come from the lower end up, so these two stand near the upper one.
#pragma once

#include <stdint.h>

namespace fdabnn {

constexpr uint32_t Hint(uint32_t number) { return 0xd503201fu | number << 5; }

constexpr uint32_t kMarkerBegin = Hint(0x70);
constexpr uint32_t kMarkerEnd = Hint(0x71);

// Executes a mark; does nothing on other processors. The compiler moves no access to memory across it.
inline void MarkerBegin() {
#if defined(__aarch64__)
  __asm__ volatile("hint #0x70" : : : "memory");
#endif
}

inline void MarkerEnd() {
#if defined(__aarch64__)
  __asm__ volatile("hint #0x71" : : : "memory");
#endif
}

}  // namespace fdabnn
