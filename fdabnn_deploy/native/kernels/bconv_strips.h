// Rearranges a packed image for kernels whose register holds one output channel's taps: all taps of an output pixel lie side by side.
// In an anonymous namespace, because files of different instruction sets compile it.
//
// A strip serves one output row. Per column of the padded input it holds the kernel_h taps that the row reads there, each in as few bytes
// as its channels need, columns that are dilation_w apart next to each other. A patch, which is all that an output pixel reads, is then
// kernel_w adjacent columns, and neighbouring pixels share them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/aligned_buffer.h"
#include "kernels/bconv_kernel.h"

namespace fdabnn {
namespace {

using Byte = unsigned char;

struct StripLayout {
  std::size_t tap;      // bytes
  std::size_t column;   // bytes
  std::size_t patch;    // bytes
  std::size_t width;    // columns that the row reads
  std::size_t columns;  // of the same remainder by dilation_w
  std::size_t strip;    // bytes
};

inline StripLayout StripLayoutOf(const BinaryConvParams& p, const BconvShape& s) {
  StripLayout l = {};
  l.tap = (std::size_t{1} * p.channels_in / p.groups + 7) / 8;
  l.column = l.tap * p.kernel_h;
  l.patch = l.column * p.kernel_w;
  l.width = std::size_t{1} * (s.out_w - 1) * p.stride_w + std::size_t{1} * (p.kernel_w - 1) * p.dilation_w + 1;
  l.columns = (l.width + p.dilation_w - 1) / p.dilation_w;
  l.strip = RoundUp(l.columns * p.dilation_w * l.column, sizeof(std::uint64_t));
  return l;
}

// Where the patches of the pixels of some rows begin, whose strips follow one another.
inline void SetPatchOffsets(const BinaryConvParams& p, const BconvShape& s, const StripLayout& l, std::size_t rows,
                            std::ptrdiff_t* offsets) {
  for (std::size_t x = 0, first = 0; x < static_cast<std::size_t>(s.out_w); ++x, first += p.stride_w) {
    // Divisions take longer than an output pixel of some layers.
    const std::size_t column = p.dilation_w == 1 ? first : first % p.dilation_w * l.columns + first / p.dilation_w;
    for (std::size_t row = 0; row < rows; ++row)
      offsets[row * s.out_w + x] = static_cast<std::ptrdiff_t>(row * l.strip + column * l.column);
  }
}

// Size: bytes of a tap, or 0 where only the layout knows it.
template <int Size>
inline void CopyTaps(const Byte* from, std::size_t from_step, Byte* to, std::size_t to_step, std::size_t size, std::size_t count) {
  for (; count > 0; --count, from += from_step, to += to_step) std::memcpy(to, from, Size ? Size : size);
}

// One group's strip of an output row; what lies outside is 0.
inline void FillStrip(const BinaryConvParams& p, const BconvShape& s, const StripLayout& l, const Word* input, int group, int out_row,
                      Byte* strip) {
  std::memset(strip, 0, l.strip);
  const std::size_t pixel = sizeof(Word) * s.in_words, left = s.pad_left, dilation = p.dilation_w;
  const std::size_t end = l.width - left < static_cast<std::size_t>(s.in_w) ? l.width : left + s.in_w;
  for (int ky = 0; ky < p.kernel_h; ++ky) {
    const int row = out_row * p.stride_h - s.pad_top + ky * p.dilation_h;
    if (row < 0 || row >= s.in_h) continue;
    const Byte* from = reinterpret_cast<const Byte*>(input + std::size_t{1} * row * s.in_w * s.in_words + std::size_t{1} * group * s.words);
    for (std::size_t remainder = 0; remainder < dilation; ++remainder) {
      // The first column inside with this remainder.
      const std::size_t index = remainder < left ? (left - remainder + dilation - 1) / dilation : 0;
      const std::size_t first = remainder + index * dilation;
      if (first >= end) continue;
      const std::size_t count = (end - first - 1) / dilation + 1;
      const Byte* taps = from + (first - left) * pixel;
      Byte* to = strip + (remainder * l.columns + index) * l.column + ky * l.tap;
      switch (l.tap) {
        case 2:
          CopyTaps<2>(taps, dilation * pixel, to, l.column, l.tap, count);
          break;
        case 4:
          CopyTaps<4>(taps, dilation * pixel, to, l.column, l.tap, count);
          break;
        case 8:
          CopyTaps<8>(taps, dilation * pixel, to, l.column, l.tap, count);
          break;
        case 16:
          CopyTaps<16>(taps, dilation * pixel, to, l.column, l.tap, count);
          break;
        default:
          CopyTaps<0>(taps, dilation * pixel, to, l.column, l.tap, count);
      }
    }
  }
}

// One channel's filter in the order of a patch.
inline void FillPatch(const BinaryConvParams& p, const BconvShape& s, const StripLayout& l, const Word* filter, Byte* patch) {
  for (int ky = 0; ky < p.kernel_h; ++ky) {
    for (int kx = 0; kx < p.kernel_w; ++kx, filter += s.words) std::memcpy(patch + kx * l.column + ky * l.tap, filter, l.tap);
  }
}

}  // namespace
}  // namespace fdabnn
