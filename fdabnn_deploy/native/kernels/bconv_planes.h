// Rearranges a band of a packed image for a vector kernel: the words of one row lie side by side, padding is written out, so that an
// inner loop adds constant offsets and never asks where it is. In an anonymous namespace: it is made of the kernel's own instructions.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/aligned_buffer.h"
#include "kernels/bconv_kernel.h"

namespace fdabnn {
namespace {

// A plane holds [rows][words][width]; row 0 is what the first tap of the band's first output row reads.
struct Band {
  int rows;
  int width;  // a multiple of 16, at least one value more than any tap reads

  std::size_t words(const BconvShape& shape) const { return std::size_t{1} * rows * shape.words * width; }
};

inline int BandWidth(const BinaryConvParams& p, const BconvShape& s) {
  return static_cast<int>(RoundUp(std::size_t{1} * (s.out_w - 1) * p.stride_w + (p.kernel_w - 1) * p.dilation_w + 2, 16));
}

inline Band BandOf(const BinaryConvParams& p, const BconvShape& s, int out_rows) {
  return {(out_rows - 1) * p.stride_h + (p.kernel_h - 1) * p.dilation_h + 1, BandWidth(p, s)};
}

// Output rows of a band whose planes together stay in the second level of the cache, at least one.
inline int BandRows(const BinaryConvParams& p, const BconvShape& s, int planes) {
  constexpr std::size_t kBytes = 256 << 10;
  int rows = 1;
  while (rows < s.out_h && BandOf(p, s, rows + 1).words(s) * planes * sizeof(Word) <= kBytes) ++rows;
  return rows;
}

// Puts the words of a row's pixels side by side. Words: of a pixel where all belong to the group, so that compilers know the shuffles;
// 0 where only the shape knows.
template <int Words>
inline void Deinterleave(const BconvShape& s, const Word* pixel, int columns, int width, Word* to) {
  const std::ptrdiff_t step = Words ? Words : s.in_words;
  for (int w = 0; w < (Words ? Words : s.words); ++w, to += width) {
    for (std::ptrdiff_t x = 0; x < columns; ++x) to[x] = pixel[x * step + w];
  }
}

inline void Deinterleave(const BconvShape& s, const Word* pixel, int columns, int width, Word* to) {
  switch (s.words == s.in_words ? s.words : 0) {
    case 1:
      return Deinterleave<1>(s, pixel, columns, width, to);
    case 2:
      return Deinterleave<2>(s, pixel, columns, width, to);
    case 4:
      return Deinterleave<4>(s, pixel, columns, width, to);
    case 8:
      return Deinterleave<8>(s, pixel, columns, width, to);
    default:
      return Deinterleave<0>(s, pixel, columns, width, to);
  }
}

// Copies one group's words of the rows that the band reads.
inline void FillPlane(const BinaryConvParams& p, const BconvShape& s, const Band& band, const Word* input, int group, int first_out_row,
                      Word* plane) {
  const int columns = band.width - s.pad_left < s.in_w ? band.width - s.pad_left : s.in_w;
  const bool padded = s.pad_left > 0 || columns < band.width;
  for (int r = 0; r < band.rows; ++r) {
    Word* row = plane + std::size_t{1} * r * s.words * band.width;
    const int in_row = first_out_row * p.stride_h - s.pad_top + r;
    const bool outside = in_row < 0 || in_row >= s.in_h;
    if (outside || padded) std::memset(row, 0, sizeof(Word) * s.words * band.width);
    if (outside) continue;
    const Word* pixel = input + std::size_t{1} * in_row * s.in_w * s.in_words + std::size_t{1} * group * s.words;
    Deinterleave(s, pixel, columns, band.width, row + s.pad_left);
  }
}

}  // namespace
}  // namespace fdabnn
