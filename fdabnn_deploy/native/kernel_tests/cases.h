// Shared by the tests of kernels: drawn cases, and results as bits, because == knows nothing of the sign of zero.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "kernel_tests/drawn.h"
#include "kernel_tests/reference.h"

namespace fdabnn {

inline std::vector<std::uint32_t> BitsOf(const float* values, std::size_t count) {
  std::vector<std::uint32_t> bits(count);
  if (count > 0) std::memcpy(bits.data(), values, count * sizeof(float));
  return bits;
}

inline std::vector<std::uint32_t> BitsOf(const std::vector<float>& values) { return BitsOf(values.data(), values.size()); }

template <class T>
std::vector<T> ToVector(const Exact<T>& array) {
  return {array.data(), array.data() + array.size()};
}

// How many images of which size.
struct Batch {
  int images, height, width;
};

inline Batch DrawBatch(Random& random) { return {random.Between(0, 2), random.Between(1, 9), random.Between(1, 20)}; }

// Whether a window fits, and a reference is done with it within milliseconds.
inline bool IsWorthwhile(const Windows& w, const Batch& batch, double products_of_pixel) {
  const std::int64_t rows =
      reference::PlaceAxis(batch.height, w.kernel_h, w.stride_h, w.dilation_h, w.same_padding, w.pad_top, w.pad_bottom).out;
  const std::int64_t columns =
      reference::PlaceAxis(batch.width, w.kernel_w, w.stride_w, w.dilation_w, w.same_padding, w.pad_left, w.pad_right).out;
  return rows >= 1 && columns >= 1 && products_of_pixel * static_cast<double>(batch.images * rows * columns) < 2e6;
}

inline double ProductsOfPixel(const BinaryConvParams& p) {
  return 1.0 * p.channels_out * p.kernel_h * p.kernel_w * p.channels_in / p.groups;
}

inline std::string Describe(const Windows& w, const Batch& batch) {
  const auto pair = [](int a, int b) { return std::to_string(a) + "x" + std::to_string(b); };
  return std::to_string(batch.images) + " of " + pair(batch.height, batch.width) + ", kernel " + pair(w.kernel_h, w.kernel_w) +
         ", stride " + pair(w.stride_h, w.stride_w) + ", dilation " + pair(w.dilation_h, w.dilation_w) + (w.same_padding ? ", SAME" : "");
}

inline std::string Describe(const BinaryConvParams& p, const Batch& batch) {
  return std::to_string(p.channels_in) + " -> " + std::to_string(p.channels_out) + " channels in " + std::to_string(p.groups) +
         " groups, padding of " + std::to_string(p.pad_value) + ", " + Describe(static_cast<const Windows&>(p), batch);
}

// Packed signs, and the same as +1 and -1.
struct SignImages {
  SignImages(Random& random, const Batch& batch, int channels)
      : words(DrawSigns(random, reference::CountOf({batch.images, batch.height, batch.width}), channels)),
        signs(batch.images, batch.height, batch.width, channels) {
    signs.values = reference::Unpack(words.data(), reference::CountOf({batch.images, batch.height, batch.width}), channels);
  }

  Exact<Word> words;
  reference::Images<int> signs;
};

}  // namespace fdabnn
