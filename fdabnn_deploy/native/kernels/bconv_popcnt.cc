// Binary convolution with POPCNT: 64 taps in a register, an output pixel by eight channels at a time.
#include "kernels/bconv_kernel.h"

#if defined(__x86_64__)

#include <nmmintrin.h>

#include "kernels/bconv_patches.h"

namespace fdabnn {
namespace {

struct Popcnt {
  using Unit = std::uint64_t;
  using Tail = Unit;  // a mask

  static constexpr int kLanes = 8;
  static constexpr int kChannels = 8;
  static constexpr int kPixels = 1;

  static inline Tail TailOf(std::size_t bytes) { return ~Unit{0} >> (64 - 8 * bytes); }

  static inline void PackTail(Tail, Unit*) {}

  static inline Word Larger(const std::int32_t* counts, const Counts* thresholds) {
    return Signs(LoadCounts(counts) > thresholds[0]) | Signs(LoadCounts(counts + kQuad) > thresholds[1]) << kQuad;
  }

  static inline Word Signs(Counts values) {
    return static_cast<Word>(_mm_movemask_ps(_mm_castsi128_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&values)))));
  }

  // Eight sums, the pixel's taps, a temporary and three addresses: more pixels or channels at a time would not fit into the registers.
  template <int P>
  static inline void Count(const Byte* strip, const std::ptrdiff_t* offsets, const Unit* weights, std::size_t units, Tail tail, int,
                           std::int32_t* counts) {
    std::uint64_t sums[kLanes] = {};
    const Byte* patch = strip + *offsets;
    const Unit* end = weights + kLanes * (units - 1);
    for (; weights != end; weights += kLanes, patch += sizeof(Unit)) Add(Load(patch), weights, sums);
    Add(Load(patch) & tail, weights, sums);
    for (int c = 0; c < kLanes; ++c) counts[c] = static_cast<std::int32_t>(sums[c]);
  }

  static inline Unit Load(const Byte* from) {
    Unit taps;
    std::memcpy(&taps, from, sizeof taps);
    return taps;
  }

  static inline void Add(Unit taps, const Unit* weights, std::uint64_t* sums) {
    for (int c = 0; c < kLanes; ++c) sums[c] += static_cast<std::uint64_t>(_mm_popcnt_u64(taps ^ weights[c]));
  }
};

}  // namespace

const BconvKernel* BconvPopcnt() { return PatchKernel<Popcnt>::Get(); }

}  // namespace fdabnn

#endif
