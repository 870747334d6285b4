// Vectors of 16 values, which compilers split into what a file may use, and what a level adds to them. In an anonymous namespace: every
// file has its own copy, made of its own instructions. Isa has four functions,
//
//   Word Mask(Ints comparison)                             bit i: element i is not 0
//   void Transpose(const Floats* from, float* to)          16 rows of 16 values
//   Floats LoadSome(const float* from, int count)          the first of 16 values, 0 behind them
//   void StoreSome(float* to, Floats value, int count)     the first of 16 values
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/words.h"

#define FDABNN_INLINE inline __attribute__((always_inline))

namespace fdabnn {
namespace {

constexpr int kSide = 16;

typedef float Floats __attribute__((vector_size(4 * kSide)));
typedef std::int32_t Ints __attribute__((vector_size(4 * kSide)));

template <class T>
FDABNN_INLINE T Load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class Isa>
FDABNN_INLINE Floats LoadFirst(const float* from, int count) {
  return count == kSide ? Load<Floats>(from) : Isa::LoadSome(from, count);
}

template <class Isa>
FDABNN_INLINE void StoreFirst(float* to, Floats value, int count) {
  if (count == kSide) {
    std::memcpy(to, &value, sizeof value);
  } else {
    Isa::StoreSome(to, value, count);
  }
}

FDABNN_INLINE int Least(int a, int b) { return a < b ? a : b; }

// Halves to even; what is so large that it has no fraction, or NaN, stays as it is.
FDABNN_INLINE Floats Rounded(Floats x) {
  constexpr float kWhole = 1 << 23;
  const Ints bits = Load<Ints>(&x), sign = bits & static_cast<std::int32_t>(Word{1} << 31), size = bits ^ sign;
  const Floats magnitude = Load<Floats>(&size);
  const Floats whole = (magnitude + kWhole) - kWhole;
  const Ints signed_whole = Load<Ints>(&whole) | sign;
  return magnitude < kWhole ? Load<Floats>(&signed_whole) : x;
}

// For vectors too short for a transposition in registers.
struct PlainVectors {
  static FDABNN_INLINE Floats LoadSome(const float* from, int count) {
    Floats value = {};
    std::memcpy(&value, from, sizeof(float) * count);
    return value;
  }

  static FDABNN_INLINE void StoreSome(float* to, Floats value, int count) { std::memcpy(to, &value, sizeof(float) * count); }

  static FDABNN_INLINE Word Mask(Ints comparison) {
    const Ints bits = comparison & Ints{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    std::int32_t each[kSide];
    std::memcpy(each, &bits, sizeof each);
    std::int32_t sum = 0;
    for (int i = 0; i < kSide; ++i) sum += each[i];
    return static_cast<Word>(sum);
  }

  static FDABNN_INLINE void Transpose(const Floats* from, float* to) {
    float rows[kSide][kSide];
    std::memcpy(rows, from, sizeof rows);
    for (int c = 0; c < kSide; ++c) {
      for (int i = 0; i < kSide; ++i) to[c * kSide + i] = rows[i][c];
    }
  }
};

}  // namespace
}  // namespace fdabnn
