// Binary convolution with POPCNT: 64 taps in a register, two output pixels by four channels at a time.
#include "kernels/bconv_kernel.h"

#if defined(__x86_64__)

#include <nmmintrin.h>

#include "kernels/bconv_quads.h"

namespace fdabnn {
namespace {

struct Popcnt {
  using Unit = std::uint64_t;

  static constexpr int kPixels = 2;

  static inline Unit FirstBytes(std::size_t count) { return ~Unit{0} >> (64 - 8 * count); }

  static inline Word Mask(Counts values) {
    return static_cast<Word>(_mm_movemask_ps(_mm_castsi128_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&values)))));
  }

  template <int P>
  static inline void Count(const Byte* strip, const std::ptrdiff_t* offsets, const Unit* weights, std::size_t units, Unit last,
                           std::int32_t* counts) {
    std::uint64_t sums[P][kQuad] = {};
    const Byte* patches[P];
    for (int i = 0; i < P; ++i) patches[i] = strip + offsets[i];
    for (std::size_t u = 0; u + 1 < units; ++u, weights += kQuad) Add<P>(patches, u, ~Unit{0}, weights, sums);
    Add<P>(patches, units - 1, last, weights, sums);
    for (int i = 0; i < P; ++i) {
      for (int c = 0; c < kQuad; ++c) counts[i * kQuad + c] = static_cast<std::int32_t>(sums[i][c]);
    }
  }

  template <int P>
  static inline void Add(const Byte* const* patches, std::size_t unit, Unit mask, const Unit* weights, std::uint64_t (*sums)[kQuad]) {
    for (int i = 0; i < P; ++i) {
      Unit taps;
      std::memcpy(&taps, patches[i] + unit * sizeof taps, sizeof taps);
      taps &= mask;
      for (int c = 0; c < kQuad; ++c) sums[i][c] += static_cast<std::uint64_t>(_mm_popcnt_u64(taps ^ weights[c]));
    }
  }
};

}  // namespace

const BconvKernel* BconvPopcnt() { return QuadKernel<Popcnt>::Get(); }

}  // namespace fdabnn

#else

namespace fdabnn {

const BconvKernel* BconvPopcnt() { return nullptr; }

}  // namespace fdabnn

#endif
