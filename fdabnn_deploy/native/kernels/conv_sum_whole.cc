#include "kernels/conv_sum_whole.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace fdabnn {
namespace {

constexpr int kMostBits = 15;
constexpr int kFewestBits = 4;  // what has fewer is not worth the look

// Units are from 2^-60 to 2^60: their inverses and products are normal numbers.
constexpr int kMostExponent = 60;

float Power(int exponent) { return std::abs(exponent) <= kMostExponent ? std::ldexp(1.0f, exponent) : 0; }

// Values that lie side by side under a row of the filter, or under one tap.
std::int64_t RunLength(const ConvSumParams& p) { return p.dilation_w == 1 ? std::int64_t{p.kernel_w} * p.channels_in : p.channels_in; }

}  // namespace

float WeightUnit(const float* weights, std::int64_t count) {
  int unit = 1 << 20;
  for (std::int64_t i = 0; i < count; ++i) {
    if (weights[i] == 0) continue;
    if (!std::isfinite(weights[i])) return 0;
    int exponent = 0;
    const auto mantissa = static_cast<std::int32_t>(std::ldexp(std::frexp(std::fabs(weights[i]), &exponent), 24));
    unit = std::min(unit, exponent - 24 + __builtin_ctz(static_cast<unsigned>(mantissa)));
  }
  if (unit == 1 << 20) return 1;
  return Power(unit);
}

const ConvSumWholeLevel* WholeOf(Level level) {
#if defined(__x86_64__)
  if (level == Level::kAvx512) return &kConvSumWholeAvx512;
  if (level == Level::kAvx2) return &kConvSumWholeAvx2;
#endif
  static_cast<void>(level);
  return nullptr;
}

float WholeUnit(float largest, int bits) {
  if (largest == 0) return 1;
  if (!std::isfinite(largest)) return 0;
  int exponent = 0;
  std::frexp(largest, &exponent);
  return Power(exponent - bits);
}

std::vector<ConvSumRun> WholeRuns(const ConvSumParams& p, std::int64_t row_stride) {
  std::vector<ConvSumRun> runs;
  const std::int64_t length = RunLength(p);
  for (std::int64_t y = 0; y < p.kernel_h; ++y) {
    for (std::int64_t x = 0; x < std::int64_t{p.kernel_w} * p.channels_in; x += length) {
      const std::int64_t offset = y * p.dilation_h * row_stride + x * p.dilation_w;
      runs.push_back({static_cast<std::ptrdiff_t>(offset), static_cast<std::ptrdiff_t>((length + 1) / 2)});
    }
  }
  return runs;
}

int PackWhole(const ConvSumParams& p, const ConvSumTerm& term, const std::vector<std::int64_t>& widths, ConvSumWholeTerm* whole) {
  const std::int64_t steps = std::int64_t{p.kernel_h} * p.kernel_w * p.channels_in;
  const std::int64_t length = RunLength(p), pairs = steps / length * ((length + 1) / 2);
  std::int64_t channels = 0;
  for (const std::int64_t width : widths) channels += width;

  std::vector<float> units(static_cast<std::size_t>(p.channels_out));
  int bits = kMostBits;
  for (std::int64_t c = 0; c < p.channels_out; ++c) {
    const float* weights = term.filter + c * steps;
    const float unit = WeightUnit(weights, steps);
    if (unit == 0) return 0;
    double sum = 0, largest = 0;
    for (std::int64_t i = 0; i < steps; ++i) {
      const double value = std::fabs(weights[i]) / static_cast<double>(unit);
      sum += value;
      largest = std::max(largest, value);
    }
    if (largest > INT16_MAX) return 0;
    while (bits > 0 && std::ldexp(sum, bits) > INT32_MAX) --bits;
    units[static_cast<std::size_t>(c)] = unit;
  }
  if (bits < kFewestBits) return 0;

  const auto is_zero = [](float value) { return value == 0; };
  whole->zero = std::all_of(term.filter, term.filter + p.channels_out * steps, is_zero) &&
                std::all_of(term.bias, term.bias + p.channels_out, is_zero);
  whole->weights = AlignedBuffer(sizeof(std::int16_t) * static_cast<std::size_t>(2 * pairs * channels));
  whole->scales = AlignedBuffer(sizeof(float) * static_cast<std::size_t>(channels));
  whole->biases = AlignedBuffer(sizeof(float) * static_cast<std::size_t>(channels));
  std::memset(whole->weights.as<char>(), 0, sizeof(std::int16_t) * static_cast<std::size_t>(2 * pairs * channels));
  std::fill_n(whole->scales.as<float>(), channels, 0.0f);
  std::fill_n(whole->biases.as<float>(), channels, 0.0f);
  std::copy_n(units.begin(), p.channels_out, whole->scales.as<float>());
  std::copy_n(term.bias, p.channels_out, whole->biases.as<float>());
  std::int64_t first = 0;
  for (const std::int64_t width : widths) {
    std::int16_t* block = whole->weights.as<std::int16_t>() + first * 2 * pairs;
    for (std::int64_t c = first; c < std::min<std::int64_t>(first + width, p.channels_out); ++c) {
      for (std::int64_t i = 0; i < steps; ++i) {
        const std::int64_t place = i / length * ((length + 1) / 2) * 2 + i % length;
        block[(place / 2 * width + c - first) * 2 + place % 2] =
            static_cast<std::int16_t>(term.filter[c * steps + i] / units[static_cast<std::size_t>(c)]);
      }
    }
    first += width;
  }
  return bits;
}

}  // namespace fdabnn
