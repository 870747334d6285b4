// Padding along one axis: TensorFlow's SAME, or so much on either side, which is VALID where it is nothing.
#pragma once

#include <algorithm>
#include <cstdint>

namespace fdabnn {

struct AxisPadding {
  std::int64_t out = 0;     // size of the output, below 1 where no window fits
  std::int64_t before = 0;  // padding in front of the first value
};

inline AxisPadding PadAxis(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t dilation, bool same,
                           std::int64_t before = 0, std::int64_t behind = 0) {
  const std::int64_t reach = (kernel - 1) * dilation + 1, padded = in + before + behind;
  if (!same) return {(padded - reach) / stride + (padded >= reach), before};
  const std::int64_t out = (in + stride - 1) / stride;
  return {out, std::max<std::int64_t>((out - 1) * stride + reach - in, 0) / 2};
}

}  // namespace fdabnn
