// PointwiseLoops in the vectors of a level (vectors.h).
#pragma once

#include "kernels/pointwise.h"
#include "kernels/vectors.h"

namespace fdabnn {
namespace {  // every file has its own copy, made of its own instructions

FDABNN_INLINE Floats Smaller(Floats a, Floats b) { return a < b ? a : b; }
FDABNN_INLINE Floats Larger(Floats a, Floats b) { return a > b ? a : b; }

template <class Isa, bool Slope, Residual kind>
struct LayerStepCode {
  // 16 channels of all pixels.
  static FDABNN_INLINE void Channels(const PointwiseLoopStep& s, std::size_t pixels, std::size_t channels, std::size_t channel) {
    const int some = channels - channel < kSide ? static_cast<int>(channels - channel) : kSide;
    const Floats slope = Slope ? Load<Floats>(s.slope + channel) : Floats{};
    const Floats scale = Load<Floats>(s.scale + channel), offset = Load<Floats>(s.offset + channel);
    const bool half = channel / kSide % 2 != 0;
    const Word mask = (Word{1} << some) - 1;
    const std::size_t words = (channels + kWordBits - 1) / kWordBits;
    Word* signs = s.signs ? s.signs + channel / kWordBits : nullptr;
    for (std::size_t i = 0, at = channel; i < pixels; ++i, at += channels) {
      Floats y = LoadFirst<Isa>(s.a + at, some);
      if (Slope) y = y < 0 ? y * slope : y;
      y = y * scale + offset;
      if (kind == Residual::kAdd) y = y + LoadFirst<Isa>(s.b + at, some);
      if (kind == Residual::kSubtract) y = y - LoadFirst<Isa>(s.b + at, some);
      if (kind == Residual::kSubtractFrom) y = LoadFirst<Isa>(s.b + at, some) - y;
      if (s.result) StoreFirst<Isa>(s.result + at, y, some);
      if (!signs) continue;
      const Word bits = Isa::Mask(y < 0) & mask;
      *signs = half ? *signs | bits << kSide : bits;
      signs += words;
    }
  }

  static void Run(const PointwiseLoopStep& s, std::size_t pixels, std::size_t channels) {
    for (std::size_t channel = 0; channel < channels; channel += kSide) Channels(s, pixels, channels, channel);
  }
};

template <class Isa, bool Slope>
void RunLayerStep(const PointwiseLoopStep& s, std::size_t pixels, std::size_t channels) {
  switch (s.residual) {
    case Residual::kNone:
      return LayerStepCode<Isa, Slope, Residual::kNone>::Run(s, pixels, channels);
    case Residual::kAdd:
      return LayerStepCode<Isa, Slope, Residual::kAdd>::Run(s, pixels, channels);
    case Residual::kSubtract:
      return LayerStepCode<Isa, Slope, Residual::kSubtract>::Run(s, pixels, channels);
    case Residual::kSubtractFrom:
      return LayerStepCode<Isa, Slope, Residual::kSubtractFrom>::Run(s, pixels, channels);
  }
}

// result = operation(a, b) for all pixels; b is an array like a, or a constant per channel.
template <class Isa, class Operation>
FDABNN_INLINE void ForPairs(const PointwiseLoopStep& s, std::size_t pixels, std::size_t channels, const Operation& operation) {
  if (s.constant == nullptr) {
    const std::size_t count = pixels * channels;
    for (std::size_t i = 0; i < count; i += kSide) {
      const int some = count - i < kSide ? static_cast<int>(count - i) : kSide;
      StoreFirst<Isa>(s.result + i, operation(LoadFirst<Isa>(s.a + i, some), LoadFirst<Isa>(s.b + i, some)), some);
    }
    return;
  }
  for (std::size_t channel = 0; channel < channels; channel += kSide) {
    const int some = channels - channel < kSide ? static_cast<int>(channels - channel) : kSide;
    const Floats constant = Load<Floats>(s.constant + channel);
    for (std::size_t i = 0, at = channel; i < pixels; ++i, at += channels) {
      StoreFirst<Isa>(s.result + at, operation(LoadFirst<Isa>(s.a + at, some), constant), some);
    }
  }
}

template <class Isa>
void RunPointwise(const PointwiseLoopStep& s, std::size_t pixels, int channel_count) {
  const auto channels = static_cast<std::size_t>(channel_count);
  switch (s.kind) {
    case PointwiseKind::kLayer:
      return s.slope ? RunLayerStep<Isa, true>(s, pixels, channels) : RunLayerStep<Isa, false>(s, pixels, channels);
    case PointwiseKind::kAdd:
      return ForPairs<Isa>(s, pixels, channels, [](Floats a, Floats b) __attribute__((always_inline)) { return a + b; });
    case PointwiseKind::kSubtract:
      return ForPairs<Isa>(s, pixels, channels, [](Floats a, Floats b) __attribute__((always_inline)) { return a - b; });
    case PointwiseKind::kMultiply:
      return ForPairs<Isa>(s, pixels, channels, [](Floats a, Floats b) __attribute__((always_inline)) { return a * b; });
    case PointwiseKind::kMinimum:
      return ForPairs<Isa>(s, pixels, channels, Smaller);
    case PointwiseKind::kMaximum:
      return ForPairs<Isa>(s, pixels, channels, Larger);
    case PointwiseKind::kRound:
      for (std::size_t i = 0, count = pixels * channels; i < count; i += kSide) {
        const int some = count - i < kSide ? static_cast<int>(count - i) : kSide;
        StoreFirst<Isa>(s.result + i, Rounded(LoadFirst<Isa>(s.a + i, some)), some);
      }
  }
}

template <class Isa, class Combine>
FDABNN_INLINE void PoolWindows(const PoolRow& p, const float* const* rows, int count, float* to, const Combine& combine) {
  for (int x = 0; x < p.out_w; ++x, to += p.channels) {
    const int left = x * p.stride_w - p.pad_left;
    const int first = left < 0 ? 0 : left, last = Least(left + p.kernel_w, p.width);
    for (int channel = 0; channel < p.channels; channel += kSide) {
      const int some = Least(p.channels - channel, kSide);
      const std::size_t at = std::size_t{1} * first * p.channels + channel;
      Floats value = LoadFirst<Isa>(rows[0] + at, some);
      for (int row = 0; row < count; ++row) {
        const float* from = rows[row] + at;
        for (int i = row == 0 ? first + 1 : first; i < last; ++i) {
          value = combine(value, LoadFirst<Isa>(from + std::size_t{1} * (i - first) * p.channels, some));
        }
      }
      StoreFirst<Isa>(to + channel, value * p.factor, some);
    }
  }
}

template <class Isa>
void PoolMaxima(const PoolRow& pool, const float* const* rows, int count, float* to) {
  PoolWindows<Isa>(pool, rows, count, to, Larger);
}

template <class Isa>
void PoolSums(const PoolRow& pool, const float* const* rows, int count, float* to) {
  PoolWindows<Isa>(pool, rows, count, to, [](Floats a, Floats b) __attribute__((always_inline)) { return a + b; });
}

template <class Isa>
constexpr PointwiseLoops MakePointwiseLoops() {
  return {RunPointwise<Isa>, PoolMaxima<Isa>, PoolSums<Isa>};
}

}  // namespace
}  // namespace fdabnn
