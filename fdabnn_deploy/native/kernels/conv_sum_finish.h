// The finish of the sums of a convolution, for vectors of any length and single values. In an anonymous namespace, because files
// of different instruction sets compile it.
#pragma once

#include "kernels/conv_sum_tile.h"
#include "kernels/vectors.h"

namespace fdabnn {
namespace {

template <class Vector>
FDABNN_INLINE void FinishSums(ConvSumFinish finish, Vector sums, float* target) {
  if (finish == ConvSumFinish::kSubtract) {
    sums = Load<Vector>(target) - sums;
  } else if (finish == ConvSumFinish::kFrom) {
    sums = sums - Load<Vector>(target);
  }
  std::memcpy(target, &sums, sizeof sums);
}

}  // namespace
}  // namespace fdabnn
