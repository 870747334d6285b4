// Sixteen floats at a time, in the compiler's own vectors: one register with AVX-512, two with AVX2, four with NEON. Included by one file
// per level, so everything is in an unnamed namespace.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

constexpr int64_t kLanes = 16;

typedef float Floats __attribute__((vector_size(64)));
typedef double Doubles __attribute__((vector_size(128)));
typedef int32_t Integers __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

inline Floats Splat(float value) { return Floats{} + value; }

inline Floats Fma(Floats a, Floats b, Floats c) { return __builtin_elementwise_fma(a, b, c); }

inline float Sum(Floats v) {
  typedef float Eight __attribute__((vector_size(32)));
  typedef float Four __attribute__((vector_size(16)));
  const Eight eight = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const Four four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// bfloat16 is the upper half of a float.
struct Bfloat16 {
  uint16_t bits;
};

inline Floats Load(const float* from) {
  Floats v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline Floats Load(const Bfloat16* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  Floats v;
  std::memcpy(&v, &words, sizeof v);
  return v;
}

inline void Store(float* to, Floats v) { std::memcpy(to, &v, sizeof v); }

// Rounds to the nearest, ties to even; NaN stays NaN.
inline void Store(Bfloat16* to, Floats v) {
  Words words;
  std::memcpy(&words, &v, sizeof v);
  Words rounded = (words + 0x7fff + ((words >> 16) & 1)) >> 16;
  rounded = v != v ? Words{} + 0x7fc0 : rounded;
  const Halves halves = __builtin_convertvector(rounded, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

// The first `count` of the lanes, the rest 0.
template <typename T>
Floats LoadPart(const T* from, int64_t count) {
  T part[kLanes] = {};
  std::memcpy(part, from, static_cast<size_t>(count) * sizeof(T));
  return Load(part);
}

template <typename T>
void StorePart(T* to, Floats v, int64_t count) {
  T part[kLanes];
  Store(part, v);
  std::memcpy(to, part, static_cast<size_t>(count) * sizeof(T));
}

// sin(t) and cos(t) to 3e-7 for |t| <= 1000: t = k pi + r, |r| <= pi / 2, then the series of the smallest largest error in r^2.
struct Reduced {
  Floats r;
  Words flip;  // the sign bit of (-1)^k
};

inline Reduced ReduceByPi(Floats t) {
  const Floats multiple = __builtin_elementwise_rint(t * 0.31830988618379067f);
  Floats r = Fma(multiple, Splat(-3.14159274101257324f), t);
  r = Fma(multiple, Splat(8.74227800037247e-8f), r);
  return {r, __builtin_convertvector(__builtin_convertvector(multiple, Integers), Words) << 31};
}

inline Floats FlipSign(Floats v, Words flip) {
  Words words;
  std::memcpy(&words, &v, sizeof v);
  words ^= flip;
  std::memcpy(&v, &words, sizeof v);
  return v;
}

inline Floats Sine(Floats t) {
  const Reduced reduced = ReduceByPi(t);
  const Floats square = reduced.r * reduced.r;
  Floats p = Splat(2.63469711e-6f);
  p = Fma(p, square, Splat(-1.98227248e-4f));
  p = Fma(p, square, Splat(8.33324207e-3f));
  p = Fma(p, square, Splat(-1.6666666e-1f));
  p = Fma(p, square * reduced.r, reduced.r);
  return FlipSign(p, reduced.flip);
}

inline Floats Cosine(Floats t) {
  const Reduced reduced = ReduceByPi(t);
  const Floats square = reduced.r * reduced.r;
  Floats p = Splat(-2.65454971e-7f);
  p = Fma(p, square, Splat(2.47860675e-5f));
  p = Fma(p, square, Splat(-1.38888125e-3f));
  p = Fma(p, square, Splat(4.16666661e-2f));
  p = Fma(p, square, Splat(-0.5f));
  p = Fma(p, square, Splat(1.0f));
  return FlipSign(p, reduced.flip);
}

}  // namespace
