#include "kernels/windows.h"

#include <algorithm>
#include <climits>

namespace fdabnn {
namespace {

struct Axis {
  std::int64_t out;     // windows, below 1 where none fits
  std::int64_t before;  // padding in front of the first value
};

// reach: of a dilated kernel. Source of SAME: tensorflow.org/api_docs/python/tf/nn, "Notes on padding".
Axis PlaceAlong(std::int64_t in, std::int64_t reach, std::int64_t stride, bool same, std::int64_t before, std::int64_t behind) {
  const std::int64_t padded = in + before + behind;
  if (!same) return {(padded - reach) / stride + (padded >= reach), before};
  const std::int64_t out = (in + stride - 1) / stride;
  return {out, std::max<std::int64_t>((out - 1) * stride + reach - in, 0) / 2};
}

std::int64_t Reach(std::int64_t kernel, std::int64_t dilation) { return (kernel - 1) * dilation + 1; }

std::string Text(int height, int width) { return std::to_string(height) + " x " + std::to_string(width); }

}  // namespace

const char* RefusePadding(const Windows& w) {
  const bool right = std::min({w.pad_top, w.pad_left, w.pad_bottom, w.pad_right}) >= 0 &&
                     std::max(w.pad_top, w.pad_bottom) < Reach(w.kernel_h, w.dilation_h) &&
                     std::max(w.pad_left, w.pad_right) < Reach(w.kernel_w, w.dilation_w);
  return right ? nullptr : "its padding is negative, or not smaller than its dilated filter";
}

bool PlaceWindows(const Windows& w, int in_height, int in_width, ImageSize* size, std::string* error) {
  if (in_height < 1 || in_width < 1) {
    *error = "its input's size is out of range: " + Text(in_height, in_width);
    return false;
  }
  const Axis rows = PlaceAlong(in_height, Reach(w.kernel_h, w.dilation_h), w.stride_h, w.same_padding, w.pad_top, w.pad_bottom);
  const Axis columns = PlaceAlong(in_width, Reach(w.kernel_w, w.dilation_w), w.stride_w, w.same_padding, w.pad_left, w.pad_right);
  if (rows.out < 1 || columns.out < 1) {
    *error = "its input is smaller than its filter: a window of " + Text(w.kernel_h, w.kernel_w) + " on an input of " +
             Text(in_height, in_width);
    return false;
  }
  if (std::max({rows.out, columns.out, rows.before, columns.before}) > INT_MAX) {
    *error = "its input, output or window is too large";
    return false;
  }
  *size = {in_height,
           in_width,
           static_cast<int>(rows.out),
           static_cast<int>(columns.out),
           static_cast<int>(rows.before),
           static_cast<int>(columns.before)};
  return true;
}

}  // namespace fdabnn
