// The kernels once more, slow and readable, from the formulas in kernels/*.h alone: one value at a time, signs as +1 and -1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "kernels/bconv.h"
#include "kernels/binary_layer.h"
#include "kernels/bmaxpool.h"
#include "kernels/conv_sum.h"

namespace fdabnn::reference {

// A product of sizes.
inline std::size_t CountOf(std::initializer_list<int> sizes) {
  std::size_t count = 1;
  for (const int size : sizes) count *= static_cast<std::size_t>(size);
  return count;
}

// Images [batch, height, width, channels].
template <class T>
struct Images {
  int batch = 0, height = 0, width = 0, channels = 0;
  std::vector<T> values;

  Images(int n, int h, int w, int c)
      : batch(n), height(h), width(w), channels(c), values(static_cast<std::size_t>(n) * CountOf({h, w, c})) {}

  T& at(int n, int y, int x, int c) { return values[Place(n, y, x, c)]; }
  const T& at(int n, int y, int x, int c) const { return values[Place(n, y, x, c)]; }

  bool Has(int y, int x) const { return 0 <= y && y < height && 0 <= x && x < width; }

 private:
  std::size_t Place(int n, int y, int x, int c) const {
    return CountOf({(n * height + y) * width + x, channels}) + static_cast<std::size_t>(c);
  }
};

// Packed signs [rows, channels] as +1 and -1.
std::vector<int> Unpack(const Word* words, std::size_t rows, int channels);

// The signs of values: -1 where they are below 0.
std::vector<int> SignsOf(const std::vector<float>& values);

// Signs packed; bits behind the last channel are 0.
std::vector<Word> Pack(const std::vector<int>& signs, int channels);

// The size of the output along an axis, below 1 where no window fits, and the padding in front of the first value.
struct Axis {
  std::int64_t out, before;
};
Axis PlaceAxis(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t dilation, bool same, std::int64_t before,
               std::int64_t behind);

// The sums of the products of signs, where padding counts as `pad`. filter [channels_out, kernel_h, kernel_w, channels_in / groups].
// The output's size has to be one of at least 1.
Images<std::int32_t> Products(const BinaryConvParams& params, const Images<int>& input, const std::vector<int>& filter, int pad);

// Whether a window of the output lies wholly inside of the image.
bool IsInside(const Windows& windows, int in_height, int in_width, int y, int x);

// Those of bconv.h; its outputs of type T.
Images<float> BconvFloat(const BconvParams& params, const BconvConstants& constants, const Images<int>& input);
std::vector<Word> BconvPacked(const BconvParams& params, const BconvConstants& constants, const Images<int>& input);
std::vector<std::int8_t> BconvInt8(const BconvParams& params, const BconvConstants& constants, const Images<int>& input);

// That of binary_layer.h; residual [batch, out_height, out_width, channels_out], or null.
Images<float> Layer(const BinaryLayerParams& params, const BinaryLayerConstants& constants, const Images<int>& input,
                    const Images<float>* residual);

// That of bmaxpool.h, on words.
Images<Word> Bmaxpool(const BmaxpoolParams& params, const Images<Word>& input);

// One convolution of conv_sum.h, summed in double, in which all whole numbers of the tests are exact.
Images<float> Conv(const ConvSumParams& params, const ConvSumTerm& term, const Images<float>& input);

// [batch, height, width, channels] as [batch, channels, height, width], and back.
std::vector<float> ToPlanes(const Images<float>& images);

}  // namespace fdabnn::reference
