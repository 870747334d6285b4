// LayerLoops in plain loops of constant lengths, which compilers turn into vectors of whatever a file may use. Isa has one function,
//
//   void Transpose(const float* from, float* to)   16 rows of 32 values -> 32 rows of 16
#pragma once

#include <cstring>

#include "kernels/layer_finish.h"

namespace fdabnn {
namespace {  // every file has its own copy, made of its own instructions

constexpr int kSide = kFinishPixels;

inline int Least(int a, int b) { return a < b ? a : b; }

// Every statement that computes with floats rounds once, in the order of the network.
template <class Isa>
struct LayerCode {
  // d of 16 pixels by a word of channels. What lies behind the last pixel or channel is computed and never stored.
  static inline void Differences(const LayerFinish& f, const std::int32_t* counts, int pixel, int left, int channel, float* d) {
    for (int i = 0; i < kSide; ++i, counts += f.counts, d += kWordBits) {
      const int last = i < left ? i : left - 1;
      const std::int32_t* base = f.base + channel + (f.pixel_class ? f.pixel_class[pixel + last] * f.lanes : 0);
      for (int c = 0; c < kWordBits; ++c) d[c] = static_cast<float>(base[c] - 2 * counts[channel + c]);
    }
  }

  static inline void PixelMajor(const LayerFinish& f, const float* d, int left, int channel, const float* residual, float* values,
                                Word* signs) {
    const int some = Least(f.channels - channel, kWordBits), words = WordsFor(f.channels);
    for (int i = 0; i < left; ++i, d += kWordBits) {
      float y[kWordBits];
      std::memcpy(y, d, sizeof y);
      if (f.slope) {
        const float* slope = f.slope + channel;
        for (int c = 0; c < kWordBits; ++c) y[c] = y[c] < 0 ? y[c] * slope[c] : y[c];
      }
      if (f.scale) {
        for (int c = 0; c < kWordBits; ++c) y[c] = y[c] * f.scale[channel + c];
      }
      if (f.offset) {
        for (int c = 0; c < kWordBits; ++c) y[c] = y[c] + f.offset[channel + c];
      }
      if (residual) {
        float r[kWordBits] = {};
        const float* from = residual + std::size_t{1} * i * f.channels;
        some == kWordBits ? std::memcpy(r, from, sizeof r) : std::memcpy(r, from, sizeof(float) * some);
        for (int c = 0; c < kWordBits; ++c) y[c] = y[c] + r[c];
      }
      if (values) {
        float* to = values + std::size_t{1} * i * f.channels;
        some == kWordBits ? std::memcpy(to, y, sizeof y) : std::memcpy(to, y, sizeof(float) * some);
      }
      if (signs) {
        Word bits = 0;
        for (int c = 0; c < kWordBits; ++c) bits |= static_cast<Word>(y[c] < 0) << c;
        signs[std::size_t{1} * i * words] = some == kWordBits ? bits : bits & ((Word{1} << some) - 1);
      }
    }
  }

  static inline void ChannelMajor(const LayerFinish& f, const float* d, int left, int channel, const float* residual, float* values,
                                  Word* signs) {
    const int some = Least(f.channels - channel, kWordBits), words = WordsFor(f.channels);
    alignas(64) float t[kWordBits * kSide];
    Isa::Transpose(d, t);
    Word bits[kSide] = {};
    for (int c = 0; c < some; ++c) {
      float y[kSide];
      std::memcpy(y, t + c * kSide, sizeof y);
      if (f.slope) {
        const float slope = f.slope[channel + c];
        for (int i = 0; i < kSide; ++i) y[i] = y[i] < 0 ? y[i] * slope : y[i];
      }
      if (f.scale) {
        const float scale = f.scale[channel + c];
        for (int i = 0; i < kSide; ++i) y[i] = y[i] * scale;
      }
      if (f.offset) {
        const float offset = f.offset[channel + c];
        for (int i = 0; i < kSide; ++i) y[i] = y[i] + offset;
      }
      if (residual) {
        float r[kSide] = {};
        const float* from = residual + c * f.pixels;
        left == kSide ? std::memcpy(r, from, sizeof r) : std::memcpy(r, from, sizeof(float) * left);
        for (int i = 0; i < kSide; ++i) y[i] = y[i] + r[i];
      }
      if (values) {
        float* to = values + c * f.pixels;
        left == kSide ? std::memcpy(to, y, sizeof y) : std::memcpy(to, y, sizeof(float) * left);
      }
      for (int i = 0; i < kSide; ++i) bits[i] |= static_cast<Word>(y[i] < 0) << c;
    }
    if (!signs) return;
    for (int i = 0; i < left; ++i) signs[std::size_t{1} * i * words] = bits[i];
  }

  static void Finish(const LayerFinish& f, const std::int32_t* counts, int begin, int count, const float* residual, float* values,
                     Word* signs) {
    const int words = WordsFor(f.channels);
    for (int i = 0; i < count; i += kSide, counts += kSide * f.counts) {
      const int pixel = begin + i, left = Least(count - i, kSide);
      for (int channel = 0; channel < f.channels; channel += kWordBits) {
        alignas(64) float d[kSide * kWordBits];
        Differences(f, counts, pixel, left, channel, d);
        const std::size_t at = f.planes ? channel * f.pixels + pixel : std::size_t{1} * pixel * f.channels + channel;
        (f.planes ? ChannelMajor : PixelMajor)(f, d, left, channel, residual ? residual + at : nullptr, values ? values + at : nullptr,
                                               signs ? signs + std::size_t{1} * pixel * words + channel / kWordBits : nullptr);
      }
    }
  }

  static void PackPlanes(const float* values, int channels, std::size_t pixels, std::size_t begin, std::size_t count, Word* words) {
    const int all = WordsFor(channels);
    for (std::size_t i = begin; i < begin + count; i += kSide) {
      const int left = static_cast<int>(begin + count - i < kSide ? begin + count - i : kSide);
      for (int channel = 0; channel < channels; channel += kWordBits) {
        const int some = Least(channels - channel, kWordBits);
        Word bits[kSide] = {};
        for (int c = 0; c < some; ++c) {
          const float* from = values + (channel + c) * pixels + i;
          if (left == kSide) {
            for (int k = 0; k < kSide; ++k) bits[k] |= static_cast<Word>(from[k] < 0) << c;
          } else {
            for (int k = 0; k < left; ++k) bits[k] |= static_cast<Word>(from[k] < 0) << c;
          }
        }
        for (int k = 0; k < left; ++k) words[(i + k) * all + channel / kWordBits] = bits[k];
      }
    }
  }
};

template <class Isa>
constexpr LayerLoops MakeLayerLoops() {
  return {LayerCode<Isa>::Finish, LayerCode<Isa>::PackPlanes};
}

// For vectors too short for a transposition in registers.
struct PlainTranspose {
  static inline void Transpose(const float* from, float* to) {
    for (int c = 0; c < kWordBits; ++c) {
      for (int i = 0; i < kSide; ++i) to[c * kSide + i] = from[i * kWordBits + c];
    }
  }
};

}  // namespace
}  // namespace fdabnn
