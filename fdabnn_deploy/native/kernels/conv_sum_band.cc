#include "kernels/conv_sum_band.h"

#include <algorithm>
#include <cstring>

namespace fdabnn {

void ConvSumBand::Resize(int in_height, int in_width, std::int64_t left, std::int64_t rows, std::int64_t columns) {
  in_h_ = in_height;
  in_w_ = in_width;
  left_ = left;
  inside_ = std::max<std::int64_t>(std::min<std::int64_t>(in_width, columns - left), 0);
  rows_ = rows;
  columns_ = columns;
}

const float* ConvSumBand::Row(const ConvSumImage& image, std::int64_t y, float* scratch) const {
  if (image.octets != nullptr) {
    EachOctet(image.octets, y, [&](std::int64_t place, std::uint8_t octet) { scratch[place] = static_cast<float>(octet - kOctetZero); });
    return scratch;
  }
  if (!planes_) return image.floats + y * in_w_ * channels_;
  const auto plane = static_cast<std::size_t>(in_h_ * in_w_), channels = static_cast<std::size_t>(channels_);
  transpose_(image.floats + y * in_w_, plane, channels, static_cast<std::size_t>(inside_), scratch, channels);
  return scratch;
}

template <class Put>
void ConvSumBand::EachOctet(const std::uint8_t* image, std::int64_t y, const Put& put) const {
  if (!planes_) {
    const std::uint8_t* row = image + y * in_w_ * channels_;
    for (std::int64_t i = 0; i < inside_ * channels_; ++i) put(i, row[i]);
    return;
  }
  for (std::int64_t c = 0; c < channels_; ++c) {
    const std::uint8_t* row = image + (c * in_h_ + y) * in_w_;
    for (std::int64_t x = 0; x < inside_; ++x) put(x * channels_ + c, row[x]);
  }
}

void ConvSumBand::Fill(const ConvSumImage& image, std::int64_t first_row, float* band) const {
  const std::int64_t c = channels_;
  for (std::int64_t y = first_row; y < first_row + rows_; ++y, band += columns_ * c) {
    if (y < 0 || y >= in_h_) {
      std::fill_n(band, columns_ * c, 0.0f);
      continue;
    }
    float* inside = band + left_ * c;
    std::fill_n(band, left_ * c, 0.0f);
    const float* row = Row(image, y, inside);
    if (row != inside) std::memcpy(inside, row, static_cast<std::size_t>(inside_ * c) * sizeof(float));
    std::fill_n(inside + inside_ * c, (columns_ - left_ - inside_) * c, 0.0f);
  }
}

float ConvSumBand::Largest(const ConvSumWholeLevel& level, const ConvSumImage& image, std::int64_t first_row) const {
  const std::int64_t begin = std::max<std::int64_t>(first_row, 0), end = std::min<std::int64_t>(first_row + rows_, in_h_);
  if (end <= begin) return 0;
  if (image.octets != nullptr) return kOctetZero;
  if (!planes_) return level.largest(image.floats + begin * in_w_ * channels_, (end - begin) * in_w_ * channels_, 0);
  float largest = 0;
  for (std::int64_t c = 0; c < channels_; ++c) {
    largest = level.largest(image.floats + (c * in_h_ + begin) * in_w_, (end - begin) * in_w_, largest);
  }
  return largest;
}

template <class Value, class Convert>
bool ConvSumBand::FillRows(std::int64_t first_row, Value zero, Value* band, const Convert& convert) const {
  const std::int64_t c = channels_;
  for (std::int64_t y = first_row; y < first_row + rows_; ++y, band += columns_ * c) {
    if (y < 0 || y >= in_h_) {
      std::fill_n(band, columns_ * c, zero);
      continue;
    }
    std::fill_n(band, left_ * c, zero);
    if (!convert(y, band + left_ * c)) return false;
    std::fill_n(band + (left_ + inside_) * c, (columns_ - left_ - inside_) * c, zero);
  }
  return true;
}

bool ConvSumBand::FillWhole(const ConvSumWholeLevel& level, int bits, const ConvSumImage& image, std::int64_t first_row, std::int16_t* band,
                            float* unit, float* scratch) const {
  *unit = WholeUnit(Largest(level, image, first_row), bits);
  if (*unit == 0) return false;
  return FillRows(first_row, std::int16_t{0}, band, [&](std::int64_t y, std::int16_t* to) {
    return level.convert(Row(image, y, scratch), inside_ * channels_, 1 / *unit, to);
  });
}

bool ConvSumBand::FillOctets(const ConvSumOctetsLevel& level, const ConvSumWholeLevel* whole, const ConvSumImage& image,
                             std::int64_t first_row, std::uint8_t* band, float* unit, float* scratch) const {
  constexpr int kBits = 8;
  if (image.octets != nullptr) {
    *unit = 1;
    return FillRows(first_row, kOctetZero, band, [&](std::int64_t y, std::uint8_t* to) {
      EachOctet(image.octets, y, [&](std::int64_t place, std::uint8_t octet) { to[place] = octet; });
      return true;
    });
  }
  *unit = WholeUnit(Largest(*whole, image, first_row), kBits);
  if (*unit == 0) return false;
  return FillRows(first_row, kOctetZero, band, [&](std::int64_t y, std::uint8_t* to) {
    return level.convert(Row(image, y, scratch), inside_ * channels_, 1 / *unit, to);
  });
}

}  // namespace fdabnn
