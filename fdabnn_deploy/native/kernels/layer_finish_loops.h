// LayerLoops in the vectors of a level (vectors.h).
#pragma once

#include "kernels/epilogue.h"
#include "kernels/layer_finish.h"

namespace fdabnn {
namespace {  // every file has its own copy, made of its own instructions

static_assert(kSide == kFinishPixels, "a vector of pixels");

// A run of pixels, and its place in the tensors of the image.
struct Run {
  const std::int32_t* counts;
  int begin, count;
  const float* residual;
  float* values;
  Word* signs;
};

// Slope, Scale, Residual: whether there is one. A missing offset is -0, which changes nothing.
template <class Isa, bool Slope, bool Scale, bool Residual>
struct LayerCode {
  static FDABNN_INLINE Floats Sums(const std::int32_t* base, const std::int32_t* counts) {
    const Ints p = Load<Ints>(counts);
    return __builtin_convertvector(Load<Ints>(base) - (p + p), Floats);
  }

  static FDABNN_INLINE const std::int32_t* Base(const LayerFinish& f, int pixel) {
    return f.base + (f.pixel_class ? f.pixel_class[pixel] * f.lanes : 0);
  }

  // 16 channels.
  static void PixelMajor(const LayerFinish& f, const Run& run, int channel) {
    const int some = Least(f.channels - channel, kSide), words = WordsFor(f.channels), half = channel / kSide % 2;
    const Floats slope = Slope ? Load<Floats>(f.slope + channel) : Floats{}, scale = Scale ? Load<Floats>(f.scale + channel) : Floats{};
    const Floats offset = Load<Floats>(f.offset + channel);
    const Word mask = (Word{1} << some) - 1;
    const std::int32_t* counts = run.counts + channel;
    std::size_t at = std::size_t{1} * run.begin * f.channels + channel;
    Word* signs = run.signs ? run.signs + std::size_t{1} * run.begin * words + channel / kWordBits : nullptr;
    for (int i = 0; i < run.count; ++i, counts += f.counts, at += f.channels) {
      const Floats sums = Sums(Base(f, run.begin + i) + channel, counts);
      const auto residual = [&]() __attribute__((always_inline)) { return LoadFirst<Isa>(run.residual + at, some); };
      const Floats y = LayerValue<Slope, Scale, Residual>(sums, slope, scale, offset, residual);
      if (run.values) StoreFirst<Isa>(run.values + at, y, some);
      if (!signs) continue;
      const Word bits = Isa::Mask(y < 0) & mask;
      *signs = half ? *signs | bits << kSide : bits;
      signs += words;
    }
  }

  // A word of channels, 16 pixels at a time.
  static void ChannelMajor(const LayerFinish& f, const Run& run, int channel) {
    const int some = Least(f.channels - channel, kWordBits), words = WordsFor(f.channels);
    alignas(64) float t[kWordBits * kSide];
    const std::int32_t* counts = run.counts + channel;
    for (int i = 0; i < run.count; i += kSide) {
      const int pixel = run.begin + i, left = Least(run.count - i, kSide);
      for (int half = 0; half < some; half += kSide) {
        Floats rows[kSide];
        for (int k = 0; k < kSide; ++k) {
          // Behind the last pixel once more that one.
          const int inside = Least(k, left - 1);
          rows[k] = Sums(Base(f, pixel + inside) + channel + half, counts + inside * f.counts + half);
        }
        Isa::Transpose(rows, t + half * kSide);
      }
      counts += kSide * f.counts;
      Ints bits = {};
      std::size_t at = channel * f.pixels + pixel;
      for (int c = 0; c < some; ++c, at += f.pixels) {
        const Floats slope = Slope ? Same(f.slope[channel + c]) : Floats{}, scale = Scale ? Same(f.scale[channel + c]) : Floats{};
        const auto residual = [&]() __attribute__((always_inline)) { return LoadFirst<Isa>(run.residual + at, left); };
        const Floats y =
            LayerValue<Slope, Scale, Residual>(Load<Floats>(t + c * kSide), slope, scale, Same(f.offset[channel + c]), residual);
        if (run.values) StoreFirst<Isa>(run.values + at, y, left);
        bits |= (y < 0) & static_cast<std::int32_t>(Word{1} << c);
      }
      if (!run.signs) continue;
      Word found[kSide];
      std::memcpy(found, &bits, sizeof found);
      Word* signs = run.signs + std::size_t{1} * pixel * words + channel / kWordBits;
      for (int k = 0; k < left; ++k, signs += words) *signs = found[k];
    }
  }

  static FDABNN_INLINE Floats Same(float value) {
    return Floats{value, value, value, value, value, value, value, value, value, value, value, value, value, value, value, value};
  }

  static void Finish(const LayerFinish& f, const Run& run) {
    for (int channel = 0; channel < f.channels; channel += f.planes ? kWordBits : kSide) {
      f.planes ? ChannelMajor(f, run, channel) : PixelMajor(f, run, channel);
    }
  }
};

template <class Isa, bool Slope, bool Scale>
void FinishWith(const LayerFinish& f, const Run& run) {
  run.residual ? LayerCode<Isa, Slope, Scale, true>::Finish(f, run) : LayerCode<Isa, Slope, Scale, false>::Finish(f, run);
}

template <class Isa>
void FinishRun(const LayerFinish& f, const std::int32_t* counts, int begin, int count, const float* residual, float* values, Word* signs) {
  const Run run = {counts, begin, count, residual, values, signs};
  if (f.slope) {
    f.scale ? FinishWith<Isa, true, true>(f, run) : FinishWith<Isa, true, false>(f, run);
  } else {
    f.scale ? FinishWith<Isa, false, true>(f, run) : FinishWith<Isa, false, false>(f, run);
  }
}

template <class Isa>
void PackPlaneRun(const float* values, int channels, std::size_t pixels, std::size_t begin, std::size_t count, Word* words) {
  const int all = WordsFor(channels);
  for (int channel = 0; channel < channels; channel += kWordBits) {
    const int some = Least(channels - channel, kWordBits);
    for (std::size_t i = begin; i < begin + count; i += kSide) {
      const int left = static_cast<int>(begin + count - i < kSide ? begin + count - i : kSide);
      Ints bits = {};
      for (int c = 0; c < some; ++c) {
        bits |= (LoadFirst<Isa>(values + (channel + c) * pixels + i, left) < 0) & static_cast<std::int32_t>(Word{1} << c);
      }
      Word found[kSide];
      std::memcpy(found, &bits, sizeof found);
      for (int k = 0; k < left; ++k) words[(i + k) * all + channel / kWordBits] = found[k];
    }
  }
}

template <class Isa>
void TakeDigits(const Digits& d, const float* x, std::size_t count, float* const* outputs) {
  for (std::size_t i = 0; i < count; i += kSide) {
    const int left = static_cast<int>(count - i < kSide ? count - i : kSide);
    Floats v = LoadFirst<Isa>(x + i, left);
    if (d.limited) {
      const Floats low = Floats{} + d.low, high = Floats{} + d.high;
      v = v < high ? v : high;
      v = v > low ? v : low;
    }
    for (int k = 0; k < d.count; ++k) {
      const Floats y = Rounded(v * d.units[k]) * (1 / d.units[k]);
      if (outputs[k]) StoreFirst<Isa>(outputs[k] + i, y, left);
      v = v - y;
    }
    if (outputs[d.count]) StoreFirst<Isa>(outputs[d.count] + i, v, left);
  }
}

template <class Isa>
void TransposeMatrix(const float* from, std::size_t from_stride, std::size_t rows, std::size_t columns, float* to, std::size_t to_stride) {
  constexpr std::size_t kFew = 4;  // less than a square is worth
  if (rows <= kFew || columns <= kFew) {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) to[c * to_stride + r] = from[r * from_stride + c];
    }
    return;
  }
  alignas(64) float square[kSide * kSide];
  for (std::size_t c = 0; c < columns; c += kSide) {
    const int some = static_cast<int>(columns - c < kSide ? columns - c : kSide);
    for (std::size_t r = 0; r < rows; r += kSide) {
      const int left = static_cast<int>(rows - r < kSide ? rows - r : kSide);
      Floats values[kSide];
      for (int k = 0; k < kSide; ++k) values[k] = LoadFirst<Isa>(from + (r + Least(k, left - 1)) * from_stride + c, some);
      Isa::Transpose(values, square);
      for (int k = 0; k < some; ++k) StoreFirst<Isa>(to + (c + k) * to_stride + r, Load<Floats>(square + k * kSide), left);
    }
  }
}

template <class Isa>
constexpr LayerLoops MakeLayerLoops() {
  return {FinishRun<Isa>, PackPlaneRun<Isa>, TakeDigits<Isa>, TransposeMatrix<Isa>};
}

}  // namespace
}  // namespace fdabnn
