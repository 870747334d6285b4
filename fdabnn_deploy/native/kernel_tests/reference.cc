#include "kernel_tests/reference.h"

#include <algorithm>
#include <climits>
#include <cmath>

namespace fdabnn::reference {
namespace {

Axis Rows(const Windows& w, int in) { return PlaceAxis(in, w.kernel_h, w.stride_h, w.dilation_h, w.same_padding, w.pad_top, w.pad_bottom); }

Axis Columns(const Windows& w, int in) {
  return PlaceAxis(in, w.kernel_w, w.stride_w, w.dilation_w, w.same_padding, w.pad_left, w.pad_right);
}

// Calls tap(y, x, index) for the taps of a window, in the order of a filter; places may lie outside of the image.
template <class Tap>
void ForTaps(const Windows& w, int in_height, int in_width, int y, int x, const Tap& tap) {
  const std::int64_t top = std::int64_t{y} * w.stride_h - Rows(w, in_height).before;
  const std::int64_t left = std::int64_t{x} * w.stride_w - Columns(w, in_width).before;
  for (int ky = 0; ky < w.kernel_h; ++ky) {
    for (int kx = 0; kx < w.kernel_w; ++kx) {
      tap(static_cast<int>(top + std::int64_t{ky} * w.dilation_h), static_cast<int>(left + std::int64_t{kx} * w.dilation_w),
          ky * w.kernel_w + kx);
    }
  }
}

template <class T, class From>
Images<T> Sized(const Windows& w, const Images<From>& input, int channels) {
  return {input.batch, static_cast<int>(Rows(w, input.height).out), static_cast<int>(Columns(w, input.width).out), channels};
}

// Calls value(n, y, x, c) for all of them.
template <class T, class Value>
void Fill(Images<T>* images, const Value& value) {
  for (int n = 0; n < images->batch; ++n) {
    for (int y = 0; y < images->height; ++y) {
      for (int x = 0; x < images->width; ++x) {
        for (int c = 0; c < images->channels; ++c) images->at(n, y, x, c) = value(n, y, x, c);
      }
    }
  }
}

std::vector<int> FilterSigns(const BinaryConvParams& p, const Word* filter) {
  return Unpack(filter, CountOf({p.channels_out, p.kernel_h, p.kernel_w}), p.channels_in / p.groups);
}

int Taps(const BinaryConvParams& p) { return p.kernel_h * p.kernel_w * (p.channels_in / p.groups); }

// 2p with its activation. Padding counts as +1.
std::int64_t TwiceDifferent(const BconvParams& p, std::int32_t product) {
  constexpr std::int64_t kRanges[][2] = {{INT_MIN, INT_MAX}, {0, INT_MAX}, {-1, 1}, {0, 6}};
  const std::int64_t* range = kRanges[static_cast<int>(p.activation)];
  const std::int64_t taps = Taps(p);
  // The product is K - 2p, so that a clamped product is a clamped 2p.
  return taps - std::clamp<std::int64_t>(product, std::max(range[0], -taps), std::min(range[1], taps));
}

}  // namespace

std::vector<int> Unpack(const Word* words, std::size_t rows, int channels) {
  std::vector<int> signs;
  for (std::size_t row = 0; row < rows; ++row, words += (channels + 31) / 32) {
    for (int c = 0; c < channels; ++c) signs.push_back((words[c / 32] >> (c % 32) & 1) != 0 ? -1 : 1);
  }
  return signs;
}

std::vector<int> SignsOf(const std::vector<float>& values) {
  std::vector<int> signs(values.size());
  std::transform(values.begin(), values.end(), signs.begin(), [](float value) { return value < 0 ? -1 : 1; });
  return signs;
}

std::vector<Word> Pack(const std::vector<int>& signs, int channels) {
  const std::size_t depth = static_cast<std::size_t>((channels + 31) / 32), rows = signs.size() / static_cast<std::size_t>(channels);
  std::vector<Word> words(rows * depth);
  for (std::size_t i = 0; i < signs.size(); ++i) {
    const std::size_t row = i / static_cast<std::size_t>(channels), c = i % static_cast<std::size_t>(channels);
    if (signs[i] < 0) words[row * depth + c / 32] |= Word{1} << (c % 32);
  }
  return words;
}

Axis PlaceAxis(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t dilation, bool same, std::int64_t before,
               std::int64_t behind) {
  const std::int64_t reach = (kernel - 1) * dilation + 1;
  if (!same) return {in + before + behind < reach ? 0 : (in + before + behind - reach) / stride + 1, before};
  const std::int64_t out = in % stride == 0 ? in / stride : in / stride + 1;
  return {out, std::max<std::int64_t>((out - 1) * stride + reach - in, 0) / 2};
}

Images<std::int32_t> Products(const BinaryConvParams& p, const Images<int>& input, const std::vector<int>& filter, int pad) {
  const int depth = p.channels_in / p.groups, group_outputs = p.channels_out / p.groups, area = p.kernel_h * p.kernel_w;
  auto products = Sized<std::int32_t>(p, input, p.channels_out);
  Fill(&products, [&](int n, int y, int x, int c) {
    std::int32_t sum = 0;
    ForTaps(p, input.height, input.width, y, x, [&](int row, int column, int tap) {
      for (int i = 0; i < depth; ++i) {
        const int value = input.Has(row, column) ? input.at(n, row, column, c / group_outputs * depth + i) : pad;
        sum += value * filter[CountOf({c * area + tap, depth}) + static_cast<std::size_t>(i)];
      }
    });
    return sum;
  });
  return products;
}

bool IsInside(const Windows& w, int in_height, int in_width, int y, int x) {
  bool inside = true;
  ForTaps(w, in_height, in_width, y, x,
          [&](int row, int column, int) { inside = inside && 0 <= row && row < in_height && 0 <= column && column < in_width; });
  return inside;
}

Images<float> BconvFloat(const BconvParams& p, const BconvConstants& constants, const Images<int>& input) {
  const std::vector<int> filter = FilterSigns(p, constants.filter);
  const Images<std::int32_t> padded = Products(p, input, filter, 1), plain = Products(p, input, filter, 0);
  auto result = Sized<float>(p, input, p.channels_out);
  Fill(&result, [&](int n, int y, int x, int c) {
    const float m = constants.multiplier[c];
    const double offset = static_cast<double>(constants.bias[c]) + static_cast<double>(Taps(p)) * static_cast<double>(m);
    const float scaled = static_cast<float>(TwiceDifferent(p, padded.at(n, y, x, c))) * -m;
    const float value = scaled + static_cast<float>(offset);
    if (p.pad_value == 1 || IsInside(p, input.height, input.width, y, x)) return value;
    const float correction = -m * static_cast<float>(padded.at(n, y, x, c) - plain.at(n, y, x, c));
    return value + correction;
  });
  return result;
}

std::vector<Word> BconvPacked(const BconvParams& p, const BconvConstants& constants, const Images<int>& input) {
  auto products = Products(p, input, FilterSigns(p, constants.filter), 1);
  const Images<std::int32_t> before = products;
  Fill(&products, [&](int n, int y, int x, int c) {
    const int different = (Taps(p) - before.at(n, y, x, c)) / 2;
    return different > constants.thresholds[c] ? -1 : 1;
  });
  return Pack({products.values.begin(), products.values.end()}, p.channels_out);
}

std::vector<std::int8_t> BconvInt8(const BconvParams& p, const BconvConstants& constants, const Images<int>& input) {
  const Images<std::int32_t> products = Products(p, input, FilterSigns(p, constants.filter), 1);
  auto result = Sized<std::int8_t>(p, input, p.channels_out);
  Fill(&result, [&](int n, int y, int x, int c) {
    const double m = constants.multiplier[c], b = constants.bias[c], s = p.output_scale, z = p.output_zero_point;
    const float scaled = static_cast<float>(TwiceDifferent(p, products.at(n, y, x, c))) * static_cast<float>(-m / s);
    const float value = scaled + static_cast<float>((b + Taps(p) * m) / s + z);
    return static_cast<std::int8_t>(std::clamp(std::round(static_cast<double>(value)), -128.0, 127.0));
  });
  return result.values;
}

Images<float> Layer(const BinaryLayerParams& p, const BinaryLayerConstants& constants, const Images<int>& input,
                    const Images<float>* residual) {
  const Images<std::int32_t> products = Products(p, input, FilterSigns(p, constants.filter), p.pad_value);
  auto result = Sized<float>(p, input, p.channels_out);
  Fill(&result, [&](int n, int y, int x, int c) {
    auto value = static_cast<float>(products.at(n, y, x, c));
    if (constants.slope != nullptr && value < 0) value = value * constants.slope[c];
    if (constants.scale != nullptr) value = value * constants.scale[c];
    if (constants.offset != nullptr) value = value + constants.offset[c];
    if (residual != nullptr) value = value + residual->at(n, y, x, c);
    return value;
  });
  return result;
}

Images<Word> Bmaxpool(const BmaxpoolParams& p, const Images<Word>& input) {
  auto result = Sized<Word>(p, input, p.words);
  Fill(&result, [&](int n, int y, int x, int w) {
    // Windows may be as large as integers, so that it is the image's pixels that are looked at.
    const std::int64_t top = std::int64_t{y} * p.stride_h - Rows(p, input.height).before;
    const std::int64_t left = std::int64_t{x} * p.stride_w - Columns(p, input.width).before;
    Word word = ~Word{0};
    for (int row = 0; row < input.height; ++row) {
      for (int column = 0; column < input.width; ++column) {
        const bool inside = top <= row && row < top + p.kernel_h && left <= column && column < left + p.kernel_w;
        if (inside) word &= input.at(n, row, column, w);
      }
    }
    return word;
  });
  return result;
}

Images<float> Conv(const ConvSumParams& p, const ConvSumTerm& term, const Images<float>& input) {
  auto result = Sized<float>(p, input, p.channels_out);
  Fill(&result, [&](int n, int y, int x, int c) {
    double sum = term.bias[c];
    ForTaps(p, input.height, input.width, y, x, [&](int row, int column, int tap) {
      for (int i = 0; i < p.channels_in && input.Has(row, column); ++i) {
        const float weight = term.filter[(c * p.kernel_h * p.kernel_w + tap) * p.channels_in + i];
        sum += static_cast<double>(input.at(n, row, column, i)) * static_cast<double>(weight);
      }
    });
    return static_cast<float>(sum);
  });
  return result;
}

std::vector<float> ToPlanes(const Images<float>& images) {
  std::vector<float> planes;
  planes.reserve(images.values.size());
  for (int n = 0; n < images.batch; ++n) {
    for (int c = 0; c < images.channels; ++c) {
      for (int y = 0; y < images.height; ++y) {
        for (int x = 0; x < images.width; ++x) planes.push_back(images.at(n, y, x, c));
      }
    }
  }
  return planes;
}

}  // namespace fdabnn::reference
