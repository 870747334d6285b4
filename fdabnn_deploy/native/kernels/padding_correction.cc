#include "kernels/padding_correction.h"

#include <algorithm>

namespace fdabnn {
bool IsZeroPadded(const BinaryConvParams& p) {
  return p.pad_value == 0 && (p.same_padding || (p.pad_top | p.pad_left | p.pad_bottom | p.pad_right) != 0);
}

PaddingCorrection::PaddingCorrection(const BinaryConvParams& p, const Word* filter) : params_(p) {
  if (!IsZeroPadded(p)) return;
  const int channels = p.channels_in / p.groups, words = WordsFor(channels);
  tap_sums_.resize(std::size_t{1} * p.channels_out * p.kernel_h * p.kernel_w);
  for (std::int32_t& sum : tap_sums_) {
    sum = channels;
    for (int w = 0; w < words; ++w) sum -= 2 * __builtin_popcount(*filter++);
  }
}

void PaddingCorrection::Resize(const ImageSize& s) {
  if (empty()) return;
  const BinaryConvParams& p = params_;
  rows_ = Find(s.out_h, s.in_h, p.kernel_h, p.stride_h, p.dilation_h, s.pad_top);
  columns_ = Find(s.out_w, s.in_w, p.kernel_w, p.stride_w, p.dilation_w, s.pad_left);
}

PaddingCorrection::Classes PaddingCorrection::Find(int out, int in, int kernel, int stride, int dilation, int pad) {
  Classes classes;
  classes.number.resize(static_cast<std::size_t>(out));
  for (int o = 0; o < out; ++o) {
    const std::int64_t first = std::int64_t{o} * stride - pad;
    int before = 0, behind = 0;
    for (int k = 0; k < kernel; ++k) {
      const std::int64_t place = first + std::int64_t{k} * dilation;
      before += place < 0;
      behind += place >= in;
    }
    const std::pair<int, int> found{before, behind};
    const auto place = std::find(classes.outside.begin(), classes.outside.end(), found);
    classes.number[static_cast<std::size_t>(o)] = static_cast<std::int32_t>(place - classes.outside.begin());
    if (place == classes.outside.end()) classes.outside.push_back(found);
  }
  return classes;
}

std::int32_t PaddingCorrection::Outside(std::size_t pixel_class, int channel) const {
  const auto [top, bottom] = rows_.outside[pixel_class / columns_.outside.size()];
  const auto [left, right] = columns_.outside[pixel_class % columns_.outside.size()];
  const std::int32_t* sums = &tap_sums_[std::size_t{1} * channel * params_.kernel_h * params_.kernel_w];
  std::int32_t outside = 0;
  for (int ky = 0; ky < params_.kernel_h; ++ky) {
    const bool row_outside = ky < top || ky >= params_.kernel_h - bottom;
    for (int kx = 0; kx < params_.kernel_w; ++kx, ++sums) {
      if (row_outside || kx < left || kx >= params_.kernel_w - right) outside += *sums;
    }
  }
  return outside;
}

}  // namespace fdabnn
