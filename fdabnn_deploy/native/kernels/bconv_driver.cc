#include "kernels/bconv_driver.h"

namespace fdabnn {

namespace {

const BconvKernel* Fastest(Level level, const BconvParams& p) {
  switch (level) {
    case Level::kScalar:
      return BconvScalar();
    case Level::kPopcnt:
      return BconvPopcnt();
    case Level::kAvx2:
      return BconvAvx2();
    case Level::kAvx512:
      return BconvAvx512();
    case Level::kNeon:
      return BconvNeon();
    case Level::kNeonLookup:
      return BconvNeonLookupPays(p) ? BconvNeonLookup() : BconvNeon();
  }
  return nullptr;
}

}  // namespace

const BconvKernel* KernelFor(Level level, const BconvParams& p) {
  const BconvKernel* kernel = Supported(level) ? Fastest(level, p) : nullptr;
  return kernel == nullptr || TapsOf(p) <= kernel->max_taps ? kernel : BconvScalar();
}

const char* RefuseShape(const BconvParams& p) {
  for (int size : {p.channels_in, p.channels_out, p.groups, p.kernel_h, p.kernel_w, p.stride_h, p.stride_w, p.dilation_h, p.dilation_w}) {
    if (!Between(size, 1, kLargestSize)) return "a channel count, group count, kernel size, stride or dilation is out of range";
  }
  if (p.channels_in % p.groups != 0 || p.channels_out % p.groups != 0) return "its groups do not divide its channels";
  if (p.groups > 1 && p.channels_in / p.groups % kWordBits != 0) return "a group's input channels are no multiple of 32";
  const std::int64_t area = std::int64_t{p.kernel_h} * p.kernel_w;
  if (area > kLargestTaps || TapsOf(p) > kLargestTaps) return "its filter is too large";
  if (area * WordsFor(p.channels_in / p.groups) * p.channels_out > kLargestTotal) return "its filter is too large";
  if (std::int64_t{p.kernel_h} * p.dilation_h > kLargestSize || std::int64_t{p.kernel_w} * p.dilation_w > kLargestSize) {
    return "its dilated filter is too large";
  }
  return nullptr;
}

bool OnlyChannels(const Word* words, std::size_t rows, int channels) {
  const int used = channels % kWordBits;
  if (used == 0) return true;
  const std::size_t step = static_cast<std::size_t>(WordsFor(channels));
  Word found = 0;
  if (step == 1) {  // a loop of its own, for vectors
    for (std::size_t row = 0; row < rows; ++row) found |= words[row];
  } else {
    for (std::size_t row = 0; row < rows; ++row) found |= words[row * step + step - 1];
  }
  return found >> used == 0;
}

std::vector<std::pair<int, int>> ClassesOf(int out, int in, int kernel, int stride, int dilation, int pad,
                                           std::vector<std::int32_t>* numbers) {
  std::vector<std::pair<int, int>> classes{{0, 0}};
  numbers->resize(out);
  for (int o = 0; o < out; ++o) {
    const std::int64_t first = std::int64_t{o} * stride - pad;
    int before = 0, behind = 0;
    for (int k = 0; k < kernel; ++k) {
      const std::int64_t place = first + std::int64_t{k} * dilation;
      before += place < 0;
      behind += place >= in;
    }
    const std::pair<int, int> found{before, behind};
    const auto place = std::find(classes.begin(), classes.end(), found);
    (*numbers)[o] = static_cast<std::int32_t>(place - classes.begin());
    if (place == classes.end()) classes.push_back(found);
  }
  return classes;
}

std::vector<std::int32_t> SumTaps(const BconvParams& p, const Word* filter) {
  const int channels = p.channels_in / p.groups, words = WordsFor(channels);
  std::vector<std::int32_t> sums(std::size_t{1} * p.channels_out * p.kernel_h * p.kernel_w);
  for (std::int32_t& sum : sums) {
    sum = channels;
    for (int w = 0; w < words; ++w) sum -= 2 * __builtin_popcount(*filter++);
  }
  return sums;
}

}  // namespace fdabnn
