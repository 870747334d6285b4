// Takes the rows of a convolution's output as soon as they are computed, while they are in the caches, in the place of a tensor.
#pragma once

#include <cstdint>

namespace fdabnn {

class RowSink {
 public:
  virtual ~RowSink() = default;

  // Where a worker writes rows [rows, out_width, channels_out] of an image from `first` on, as many as the kernel's SinkRows says at most.
  virtual float* Rows(int worker, std::int64_t image, int first) const = 0;

  // The worker has written the rows [first, first + rows) there. Workers call it at the same time, never for the same rows.
  virtual void Take(int worker, std::int64_t image, int first, int rows) const = 0;
};

}  // namespace fdabnn
