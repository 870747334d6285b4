#include "kernels/conv_sum_octets.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "kernels/arm_cores.h"
#include "kernels/conv_sum_whole.h"

namespace fdabnn {
namespace {

// The least significant slice's sum, and 2^16, are together below 2^24.
constexpr std::int64_t kMostGroups = 240;

constexpr double kExactUnits = 1 << 24;  // of a sum in float32
constexpr double kLargest = 128;         // magnitude of a value of 8 bits

bool IsDifference(const std::vector<ConvSumTerm>& terms, const std::vector<int>& expression) {
  return terms.size() == 2 && expression == std::vector<int>{0, 1, kSubtract} && terms[0].input == terms[1].input;
}

// Whether every sum of the convolution is exact in float32, in this unit of its weights.
bool IsExact(const float* weights, std::int64_t count, float unit) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += std::fabs(weights[i]) / static_cast<double>(unit);
  return kLargest * sum <= kExactUnits;
}

// The difference of a channel's weights in a unit that both share; returns the unit, 0 where there is none.
float Difference(const float* a, const float* b, std::int64_t count, std::vector<std::int64_t>* difference) {
  const float of_a = WeightUnit(a, count), of_b = WeightUnit(b, count);
  if (of_a == 0 || of_b == 0 || !IsExact(a, count, of_a) || !IsExact(b, count, of_b)) return 0;
  const bool zeros = std::all_of(b, b + count, [](float weight) { return weight == 0; });
  const float unit = zeros ? of_a : std::min(of_a, of_b);
  difference->resize(static_cast<std::size_t>(count));
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double whole = (static_cast<double>(a[i]) - static_cast<double>(b[i])) / static_cast<double>(unit);
    if (std::fabs(whole) >= 1 << 23) return 0;
    (*difference)[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(whole);
    sum += std::fabs(whole);
  }
  // The two more significant slices together stay in 32 bits.
  return kLargest * (sum / 256 + static_cast<double>(count) * 128) < INT32_MAX ? unit : 0;
}

// The slices of an integer, each from -128 to 127, the last one the least significant.
void Slice(std::int64_t value, int count, std::int8_t* slices) {
  for (int s = count - 1; s >= 0; --s) {
    slices[s] = static_cast<std::int8_t>(value & 0xff);
    value = (value - slices[s]) >> 8;
  }
}

int SlicesOf(std::int64_t value) {
  int count = 1;
  for (std::int64_t rest = value; rest < -128 || rest > 127; ++count) rest = (rest - static_cast<std::int8_t>(rest & 0xff)) >> 8;
  return count;
}

}  // namespace

const ConvSumOctetsLevel* OctetsOf(Level level) {
#if defined(__x86_64__)
  if (level == Level::kAvx512) return &kConvSumOctetsAvx512;
#elif defined(__aarch64__)
  if (level != Level::kScalar && HasDotProducts()) return &kConvSumOctetsNeon;
#endif
  static_cast<void>(level);
  return nullptr;
}

void GatherPatches(const ConvSumParams& p, const std::uint8_t* band, std::int64_t columns, std::int64_t pixels, std::uint8_t* patches) {
  const std::int64_t length = p.dilation_w == 1 ? std::int64_t{p.kernel_w} * p.channels_in : p.channels_in;
  const std::int64_t across = std::int64_t{p.kernel_w} * p.channels_in / length, row = columns * p.channels_in;
  const std::int64_t size = kOctetGroup * OctetGroups(p);
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel, patches += size) {
    const std::uint8_t* from = band + pixel * p.stride_w * p.channels_in;
    std::uint8_t* to = patches;
    for (std::int64_t y = 0; y < p.kernel_h; ++y) {
      for (std::int64_t x = 0; x < across; ++x, to += length) {
        const std::uint8_t* part = from + y * p.dilation_h * row + x * p.dilation_w * p.channels_in;
        // Whole pieces, whose ends the next ones overwrite; behind the last patch and the band is room for one.
        for (std::int64_t i = 0; i < length; i += kOctetSlack) std::memcpy(to + i, part + i, kOctetSlack);
      }
    }
  }
}

ConvSumOctets PackOctets(const ConvSumParams& p, const std::vector<ConvSumTerm>& terms, const std::vector<int>& expression,
                         const std::vector<std::int64_t>& widths) {
  ConvSumOctets octets;
  if (!IsDifference(terms, expression) || OctetGroups(p) > kMostGroups) return octets;
  for (const ConvSumTerm& term : terms) {
    if (std::any_of(term.bias, term.bias + p.channels_out, [](float bias) { return bias != 0; })) return octets;
  }
  const std::int64_t steps = std::int64_t{p.kernel_h} * p.kernel_w * p.channels_in;
  const std::int64_t groups = OctetGroups(p);
  std::int64_t channels = 0;
  for (const std::int64_t width : widths) channels += width;

  std::vector<std::vector<std::int64_t>> filters(static_cast<std::size_t>(p.channels_out));
  std::vector<float> units(filters.size());
  int slices = 1;
  for (std::int64_t c = 0; c < p.channels_out; ++c) {
    auto& filter = filters[static_cast<std::size_t>(c)];
    const float unit = units[static_cast<std::size_t>(c)] =
        Difference(terms[0].filter + c * steps, terms[1].filter + c * steps, steps, &filter);
    if (unit == 0) return octets;
    for (const std::int64_t weight : filter) slices = std::max(slices, SlicesOf(weight));
  }
  if (slices > kMostOctetSlices) return octets;

  const auto bytes = static_cast<std::size_t>(groups * slices * channels * kOctetGroup);
  octets.weights = AlignedBuffer(bytes);
  octets.starts = AlignedBuffer(sizeof(std::int32_t) * static_cast<std::size_t>(slices * channels));
  octets.scales = AlignedBuffer(sizeof(float) * static_cast<std::size_t>(channels));
  std::memset(octets.weights.as<char>(), 0, bytes);
  std::fill_n(octets.starts.as<std::int32_t>(), slices * channels, 0);
  std::fill_n(octets.scales.as<float>(), channels, 0.0f);
  std::copy(units.begin(), units.end(), octets.scales.as<float>());
  std::int64_t first = 0;
  for (const std::int64_t width : widths) {
    std::int8_t* block = octets.weights.as<std::int8_t>() + first * groups * slices * kOctetGroup;
    std::int32_t* starts = octets.starts.as<std::int32_t>() + first * slices;
    for (std::int64_t c = first; c < std::min<std::int64_t>(first + width, p.channels_out); ++c) {
      for (std::int64_t i = 0; i < steps; ++i) {
        std::int8_t parts[kMostOctetSlices];
        Slice(filters[static_cast<std::size_t>(c)][static_cast<std::size_t>(i)], slices, parts);
        for (int s = 0; s < slices; ++s) {
          block[((i / kOctetGroup * slices + s) * width + c - first) * kOctetGroup + i % kOctetGroup] = parts[s];
          starts[s * width + c - first] -= kOctetZero * parts[s];
        }
      }
    }
    first += width;
  }
  octets.slices = slices;
  return octets;
}

}  // namespace fdabnn
