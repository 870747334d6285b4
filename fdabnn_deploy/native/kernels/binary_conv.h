// The common base of binary convolutions, whatever becomes of their sums.
#pragma once

#include "kernels/windows.h"

namespace fdabnn {

struct BinaryConvParams : Windows {
  int channels_in = 0;   // with groups > 1, channels_in / groups is a multiple of 32
  int channels_out = 0;  // a multiple of groups
  int groups = 1;
  int pad_value = 0;  // 0 or 1
};

}  // namespace fdabnn
