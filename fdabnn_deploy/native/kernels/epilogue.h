// The epilogue of binary convolutions, for vectors of any length: the two formulas, and where pixels find their corrections. In
// an anonymous namespace, because files of different instruction sets compile it.
#pragma once

#include "kernels/bconv_kernel.h"
#include "kernels/vectors.h"

namespace fdabnn {
namespace {

// A vector of one.
typedef float OneFloat __attribute__((vector_size(4)));
typedef std::int32_t OneInt __attribute__((vector_size(4)));

// That of bconv.h before a correction: fl(fl(x * m) + b), x = clamp(2p). Doubled: the multipliers are, and nothing is clamped.
template <bool Doubled, class Values, class Counts>
FDABNN_INLINE Values BconvValue(const BconvJob& job, Counts p, Values multiplier, Values bias) {
  if (!Doubled) {
    const Counts low = Counts{} + job.clamp_min, high = Counts{} + job.clamp_max;
    p = p + p;
    p = p < high ? p : high;
    p = p > low ? p : low;
  }
  return __builtin_convertvector(p, Values) * multiplier + bias;
}

// That of binary_layer.h: PReLU, scale, offset and shortcut, of which only the offset is always there; one of -0 changes nothing. Every
// statement that computes with floats rounds once, in the order of the network. residual() loads what is added last.
template <bool Slope, bool Scale, bool Residual, class Values, class LoadResidual>
FDABNN_INLINE Values LayerValue(Values y, Values slope, Values scale, Values offset, const LoadResidual& residual) {
  if (Slope) y = y < 0 ? y * slope : y;
  if (Scale) y = y * scale;
  y = y + offset;
  if (Residual) y = y + residual();
  return y;
}

// Which correction the pixels of a row need.
struct RowCorrection {
  const float* correction;  // null where no pixel needs one
  const std::int32_t* column_class;
  std::int32_t row;
  std::size_t lanes;

  // Of the pixel's first lane, or null.
  FDABNN_INLINE const float* At(int x) const {
    if (correction == nullptr) return nullptr;
    const std::int32_t pixel_class = row + column_class[x];
    return pixel_class != 0 ? correction + static_cast<std::size_t>(pixel_class) * lanes : nullptr;
  }

  // Likewise, for those that know that there is a table: the corrections of class 0 change nothing.
  FDABNN_INLINE const float* InTable(int x) const { return correction + static_cast<std::size_t>(row + column_class[x]) * lanes; }
};

FDABNN_INLINE RowCorrection CorrectionsOf(const BconvJob& job, int y) {
  const bool any = job.correction != nullptr;
  return {job.correction, job.column_class, any ? job.row_class[y] * job.column_classes : 0, static_cast<std::size_t>(job.shape.counts)};
}

// Elements of 32 bits that a pixel's output has.
FDABNN_INLINE std::size_t OutputElements(const BconvJob& job) {
  switch (job.finish) {
    case Finish::kFloat:
      return job.params->channels_out;
    case Finish::kPacked:
      return WordsFor(job.params->channels_out);
    case Finish::kCounts:
      break;
  }
  return job.shape.counts;
}

}  // namespace
}  // namespace fdabnn
