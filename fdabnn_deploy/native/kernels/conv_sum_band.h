// The rows of an input that lie under a strip of a convolution's output, with zeros around them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/conv_sum_octets.h"
#include "kernels/conv_sum_whole.h"
#include "kernels/layer_finish.h"

namespace fdabnn {

// An image, of floats or of bytes that stand for their values less kOctetZero.
struct ConvSumImage {
  const float* floats = nullptr;
  const std::uint8_t* octets = nullptr;
};

class ConvSumBand {
 public:
  // Images are [channels, height, width] where `planes`, else [height, width, channels].
  ConvSumBand(int channels, bool planes, Level level) : channels_(channels), planes_(planes), transpose_(LayerLoopsOf(level).transpose) {}

  // left: columns of zeros. A band has `rows` rows of `columns` pixels, whatever of the image goes beyond them.
  void Resize(int in_height, int in_width, std::int64_t left, std::int64_t rows, std::int64_t columns);

  std::int64_t columns() const { return columns_; }
  std::int64_t floats() const { return rows_ * columns_ * channels_; }
  // Of scratch memory.
  std::int64_t row_floats() const { return columns_ * channels_; }

  // image -> band [rows, columns, channels], from a row that may be outside of the image.
  void Fill(const ConvSumImage& image, std::int64_t first_row, float* band) const;

  // Likewise in bytes, and the unit of their values; false where they are no integers of 8 bits. An image of bytes needs no `whole`.
  bool FillOctets(const ConvSumOctetsLevel& level, const ConvSumWholeLevel* whole, const ConvSumImage& image, std::int64_t first_row,
                  std::uint8_t* band, float* unit, float* scratch) const;

  // Likewise in whole numbers of so many bits, and their unit; false where they are none.
  bool FillWhole(const ConvSumWholeLevel& level, int bits, const ConvSumImage& image, std::int64_t first_row, std::int16_t* band,
                 float* unit, float* scratch) const;

 private:
  // The pixels of a row of the image that the band has room for; where they lie one after the other, that is where they are.
  const float* Row(const ConvSumImage& image, std::int64_t y, float* scratch) const;
  // Fills the band row by row: zeros, and what `convert(y, to)` puts where a row of the image goes; false where that fails.
  template <class Value, class Convert>
  bool FillRows(std::int64_t first_row, Value zero, Value* band, const Convert& convert) const;

  // put(place in a row of the band behind its zeros, byte) for every byte of a row of the image that the band has room for.
  template <class Put>
  void EachOctet(const std::uint8_t* image, std::int64_t y, const Put& put) const;

  float Largest(const ConvSumWholeLevel& level, const ConvSumImage& image, std::int64_t first_row) const;

  const std::int64_t channels_;
  const bool planes_;
  void (*const transpose_)(const float*, std::size_t, std::size_t, std::size_t, float*, std::size_t);
  std::int64_t in_h_ = 0, in_w_ = 0;
  std::int64_t left_ = 0, inside_ = 0;  // columns of zeros, and of the image behind them
  std::int64_t rows_ = 0, columns_ = 0;
};

}  // namespace fdabnn
