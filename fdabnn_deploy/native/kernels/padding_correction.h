// The share of zero padding in a binary convolution. A tap outside of the image counts there as +1, so that a sum of products is too large
// by what the filter has there:
//
//   outside = sum of the filter's values at the taps that lie outside
//
// It depends on how many rows and columns of the filter stand out on each side, the class of an output pixel. Class 0 has none outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/bconv_kernel.h"

namespace fdabnn {

// Whether taps may lie in padding that counts as 0.
bool IsZeroPadded(const BinaryConvParams& params);

class PaddingCorrection {
 public:
  // filter [channels_out, kernel_h, kernel_w, words]. Without zero padding there is nothing to correct, and class 0 alone.
  PaddingCorrection(const BinaryConvParams& params, const Word* filter);

  bool empty() const { return tap_sums_.empty(); }

  // Finds the classes of an image's output pixels.
  void Resize(const ImageSize& size);

  // The class of (y, x) is row_class()[y] * column_classes() + column_class()[x].
  std::size_t classes() const { return rows_.outside.size() * columns_.outside.size(); }
  int column_classes() const { return static_cast<int>(columns_.outside.size()); }
  const std::vector<std::int32_t>& row_class() const { return rows_.number; }
  const std::vector<std::int32_t>& column_class() const { return columns_.number; }

  // `outside` of a class and an output channel.
  std::int32_t Outside(std::size_t pixel_class, int channel) const;

 private:
  // An axis: pairs of taps in front of the image and behind it, and which of the pairs an output row or column has.
  struct Classes {
    std::vector<std::pair<int, int>> outside{{0, 0}};
    std::vector<std::int32_t> number;
  };

  static Classes Find(int out, int in, int kernel, int stride, int dilation, int pad);

  const BinaryConvParams params_;
  std::vector<std::int32_t> tap_sums_;  // of the filter's values at every tap: [channels_out, kernel_h, kernel_w]
  Classes rows_, columns_;
};

}  // namespace fdabnn
