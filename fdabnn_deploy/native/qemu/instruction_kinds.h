// The kinds of A64 instructions that are counted, and how many of each a block holds.
//
// After the tables of Arm ARM, C4.1 (A64 instruction set encoding). Vector stands for all computing with SIMD and floating-point registers,
// scalar or not; loads and stores of those registers are loads and stores. An atomic read-modify-write counts as a load, a prefetch as a
// load, an exclusive access as what it is.
#pragma once

#include <cstdint>

namespace fdabnn {

enum Kind { kAll, kVector, kLoad, kStore, kBranch, kKinds };

constexpr const char* kKindNames[kKinds] = {"instructions", "vector", "loads", "stores", "branches"};

constexpr std::uint32_t Bits(std::uint32_t word, int high, int low) { return word >> low & ((1u << (high - low + 1)) - 1); }

// Of an instruction in the group of loads and stores.
constexpr bool IsStore(std::uint32_t word) {
  const std::uint32_t opc = Bits(word, 23, 22);
  switch (Bits(word, 29, 28)) {
    case 0:  // exclusive and ordered accesses; vector structures
      return (opc & 1) == 0;
    case 1:  // literals are loaded; unscaled ordered accesses
      return Bits(word, 24, 24) == 1 && opc == 0;
    case 2:  // pairs
      return (opc & 1) == 0;
    default:  // a register; among them atomics, with bit 21 and bits 11:10 of zero, and STR of 128 bits
      if (Bits(word, 24, 24) == 0 && Bits(word, 21, 21) == 1 && Bits(word, 11, 10) == 0) return false;
      return opc == 0 || (Bits(word, 26, 26) == 1 && Bits(word, 31, 30) == 0 && opc == 2);
  }
}

constexpr Kind KindOf(std::uint32_t word) {
  if (Bits(word, 27, 27) == 1 && Bits(word, 25, 25) == 0) return IsStore(word) ? kStore : kLoad;
  if (Bits(word, 27, 25) == 7) return kVector;
  const bool branch = Bits(word, 30, 26) == 0x05                                    // B, BL
                      || Bits(word, 30, 25) == 0x1a || Bits(word, 30, 25) == 0x1b   // CBZ, CBNZ; TBZ, TBNZ
                      || Bits(word, 31, 25) == 0x2a || Bits(word, 31, 25) == 0x6b;  // B.cond; BR, BLR, RET
  return branch ? kBranch : kAll;
}

// How many instructions of each kind, in 12 bits each: qemu's blocks end after 512. As a pointer it is what a callback is handed.
class KindCounts {
 public:
  static constexpr int kBits = 12;
  static constexpr std::uint64_t kMost = (1u << kBits) - 1;

  KindCounts() = default;
  explicit KindCounts(void* packed) : packed_(reinterpret_cast<std::uintptr_t>(packed)) {}

  void Add(std::uint32_t word) {
    const Kind kind = KindOf(word);
    packed_ += 1;
    if (kind != kAll) packed_ += std::uint64_t{1} << kBits * kind;
  }
  std::uint64_t operator[](int kind) const { return packed_ >> kBits * kind & kMost; }
  void* packed() const { return reinterpret_cast<void*>(packed_); }

 private:
  std::uint64_t packed_ = 0;
};

static_assert(KindCounts::kBits * kKinds <= 64 && sizeof(void*) == 8, "counts fit a pointer");

static_assert(KindOf(0xd503201f) == kAll && KindOf(0x8b020020) == kAll, "nop; add x0, x1, x2");
static_assert(KindOf(0x4e205820) == kVector && KindOf(0x1e622820) == kVector, "cnt v0.16b, v1.16b; fadd d0, d1, d2");
static_assert(KindOf(0x3dc00020) == kLoad && KindOf(0x3d800020) == kStore, "ldr q0, [x1]; str q0, [x1]");
static_assert(KindOf(0xa9400820) == kLoad && KindOf(0xa9000820) == kStore, "ldp x0, x2, [x1]; stp x0, x2, [x1]");
static_assert(KindOf(0x4cdfa020) == kLoad && KindOf(0x4c9fa020) == kStore, "ld1 and st1 of two, [x1], #32");
static_assert(KindOf(0x58000000) == kLoad && KindOf(0xb8210002) == kLoad, "ldr x0, literal; ldadd w1, w2, [x0]");
static_assert(KindOf(0x39400020) == kLoad && KindOf(0x39000020) == kStore, "ldrb w0, [x1]; strb w0, [x1]");
static_assert(KindOf(0xc85ffc20) == kLoad && KindOf(0xc802fc20) == kStore, "ldaxr x0, [x1]; stlxr w2, x0, [x1]");
static_assert(KindOf(0x94000000) == kBranch && KindOf(0x54000000) == kBranch && KindOf(0xd65f03c0) == kBranch, "bl; b.eq; ret");
static_assert(KindOf(0xb4000000) == kBranch && KindOf(0x36000000) == kBranch && KindOf(0xd61f0000) == kBranch, "cbz; tbz; br x0");
static_assert(KindOf(0xd4000001) == kAll && KindOf(0xd53bd040) == kAll, "svc #0; mrs x0, tpidr_el0");

}  // namespace fdabnn
