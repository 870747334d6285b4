// A program for aarch64 without a C library, whose executed instructions are known by looking: what the tests of qemu's plugin count. CASE,
// a macro, says what it does. See fdabnn_deploy/measure/profiles/instruction_count_test.py, which knows the numbers.
#if defined(__aarch64__)

#include "qemu/markers.h"

namespace {

using Word = unsigned long;

enum { kChdir = 49, kExit = 93, kExitGroup = 94, kKill = 129, kGetpid = 172, kClone = 220, kWait4 = 260 };
constexpr Word kSigchld = 17, kSigkill = 9;

Word Call(Word number, Word a = 0, Word b = 0, Word c = 0, Word d = 0) {
  register Word x8 __asm__("x8") = number;
  register Word x0 __asm__("x0") = a;
  register Word x1 __asm__("x1") = b;
  register Word x2 __asm__("x2") = c;
  register Word x3 __asm__("x3") = d;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}

// 2001 instructions, of which 1000 branch.
[[maybe_unused]] inline __attribute__((always_inline)) void Loop() {
  __asm__ volatile("mov x9, #1000\n1: subs x9, x9, #1\nb.ne 1b" : : : "x9", "cc");
}

alignas(16) [[maybe_unused]] char memory[256];
[[maybe_unused]] volatile int done;

// A thread of 2004 instructions up to its note that it is done, and 3 more.
[[maybe_unused]] void StartThread() {
  register Word x8 __asm__("x8") = kClone;
  register Word x0 __asm__("x0") = 0x50f00;  // memory, files, signals: all shared
  register char* x1 __asm__("x1") = memory + sizeof(memory);
  register Word x2 __asm__("x2") = 0;
  register Word x3 __asm__("x3") = 0;
  register volatile int* x5 __asm__("x5") = &done;
  __asm__ volatile(
      "svc #0\n"
      "cbnz x0, 2f\n"
      "mov x9, #1000\n1: subs x9, x9, #1\nb.ne 1b\n"
      "mov w9, #1\n"
      "str w9, [x5]\n"
      "mov x8, #93\n"
      "svc #0\n"
      "2:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x5)
      : "x9", "cc", "memory");
}

}  // namespace

extern "C" [[noreturn]] void _start() {
  int status = 0;
#if CASE == 0  // sections of a loop, of nothing, of each kind
  fdabnn::MarkerBegin();
  Loop();
  fdabnn::MarkerEnd();
  // In one piece: between two the compiler may put what comes next.
  __asm__ volatile(
      "hint #0x70\nhint #0x71\n"
      "hint #0x70\n"
      "ldur q0, [sp, #-16]\ncnt v0.16b, v0.16b\nadd v0.16b, v0.16b, v0.16b\nstur q0, [sp, #-16]\nldp x2, x3, [sp, #-16]\nnop\n"
      "hint #0x71"
      :
      :
      : "v0", "x2", "x3", "memory");
  status = 3;
#elif CASE == 1  // a section within a section
  fdabnn::MarkerBegin();
  fdabnn::MarkerBegin();
  fdabnn::MarkerEnd();
  fdabnn::MarkerEnd();
#elif CASE == 2  // an end without a begin
  fdabnn::MarkerEnd();
#elif CASE == 3  // a begin without an end
  fdabnn::MarkerBegin();
#elif CASE == 4  // killed
  Call(kKill, Call(kGetpid), kSigkill);
#elif CASE == 5  // another thread at work
  fdabnn::MarkerBegin();
  StartThread();
  while (!done) __asm__ volatile("yield");
  fdabnn::MarkerEnd();
#elif CASE == 6  // a forked process with marks of its own
  fdabnn::MarkerBegin();
  if (Call(kClone, kSigchld) == 0) {
    Loop();
    fdabnn::MarkerEnd();
    Call(kExitGroup, 0);
  }
  Call(kWait4, ~Word{0}, 0, 0, 0);
  fdabnn::MarkerEnd();
#elif CASE == 7  // another folder
  Call(kChdir, reinterpret_cast<Word>("/"));
  fdabnn::MarkerBegin();
  Loop();
  fdabnn::MarkerEnd();
#endif
  Call(kExitGroup, status);
  __builtin_unreachable();
}

#else

// For this machine: a statically linked file.
extern "C" void _start() {}

#endif
