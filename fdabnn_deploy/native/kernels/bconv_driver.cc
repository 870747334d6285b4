#include "kernels/bconv_driver.h"

namespace fdabnn {

namespace {

const BconvKernel* Fastest(Level level, const BinaryConvParams& p) {
  switch (level) {
#if defined(__x86_64__)
    case Level::kPopcnt:
      return BconvPopcnt();
    case Level::kAvx2:
      return BconvAvx2();
    case Level::kAvx512:
      return BconvAvx512();
#elif defined(__aarch64__)
    case Level::kNeon:
      return BconvNeon();
    case Level::kNeonLookup:
      return BconvNeonLookupPays(p) ? BconvNeonLookup() : BconvNeon();
#endif
    default:
      static_cast<void>(p);
      return BconvScalar();
  }
}

}  // namespace

const BconvKernel* KernelFor(Level level, const BinaryConvParams& p, std::string* error) {
  const BconvKernel* kernel = Supported(level) ? Fastest(level, p) : nullptr;
  if (kernel == nullptr) *error = std::string("this build or processor has no kernels for level ") + Name(level);
  return kernel == nullptr || TapsOf(p) <= kernel->max_taps ? kernel : BconvScalar();
}

const char* RefuseConv(const BinaryConvParams& p, const Word* filter) {
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
  if (const char* refusal = RefusePadding(p)) return refusal;
  if (!Between(p.pad_value, 0, 1)) return "its pad value is neither 0 nor 1";
  if (filter == nullptr) return "its filter is missing";
  const std::size_t taps = std::size_t{1} * p.channels_out * p.kernel_h * p.kernel_w;
  if (!OnlyChannels(filter, taps, p.channels_in / p.groups)) return "its filter has bits behind its last channel, which have to be 0";
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

}  // namespace fdabnn
