// Instructions without effect that a counter of executed instructions knows: hints of aarch64 that no processor has given a meaning.
#pragma once

namespace fdabnn::runner {

inline void MarkBegin() {
#if defined(__aarch64__)
  asm volatile("hint #0x70" ::: "memory");
#endif
}

inline void MarkEnd() {
#if defined(__aarch64__)
  asm volatile("hint #0x71" ::: "memory");
#endif
}

}  // namespace fdabnn::runner
