#include "kernels/bconv.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/counted_conv.h"
#include "kernels/epilogue.h"

namespace fdabnn {
namespace {

constexpr int kDenseImages = 16;               // that are counted together
constexpr std::size_t kSinkBytes = 128 << 10;  // of rows that a sink gets together: they stay in the second-level cache

// Null, or why the parameters are refused.
const char* Refusal(const BconvParams& p, const BconvConstants& constants) {
  if (const char* refusal = RefuseConv(p, constants.filter)) return refusal;
  if (IsZeroPadded(p) && p.output != OutputType::kFloat) return "zero padding needs float output";
  if (IsZeroPadded(p) && p.activation != Activation::kNone) return "zero padding excludes an activation";
  if (p.output == OutputType::kPacked) return constants.thresholds ? nullptr : "its thresholds are missing";
  if (constants.multiplier == nullptr || constants.bias == nullptr) return "its multiplier or bias is missing";
  if (p.output == OutputType::kInt8 && !(std::isfinite(p.output_scale) && p.output_scale > 0)) return "its output's scale is not positive";
  return nullptr;
}

std::pair<std::int64_t, std::int64_t> ActivationRange(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      break;
    case Activation::kRelu:
      return {0, INT_MAX};
    case Activation::kReluN1To1:
      return {-1, 1};
    case Activation::kRelu6:
      return {0, 6};
  }
  return {INT_MIN, INT_MAX};
}

std::int8_t ToInt8(float value) {
  // Halves away from zero; beyond int32 the reference is undefined, here it saturates.
  const float rounded = std::round(value);
  if (!(rounded > -128)) return -128;
  return rounded < 127 ? static_cast<std::int8_t>(rounded) : 127;
}

class BconvImpl : public CountedConv<Bconv> {
 public:
  BconvImpl(const BconvParams& params, const BconvConstants& constants, const BconvKernel& kernel)
      : CountedConv(params, constants.filter, kernel),
        finish_(params.output == OutputType::kFloat                 ? Finish::kFloat
                : params.output == OutputType::kPacked && InOrder() ? Finish::kPacked
                                                                    : Finish::kCounts) {
    SetTransform(constants);
    if (!padding().empty()) raw_multiplier_.assign(constants.multiplier, constants.multiplier + params.channels_out);
  }

 private:
  std::int64_t ValuesPerPixel() const override { return shape().counts; }

  // Counts in memory are finished here, pixel by pixel.
  bool SharesDense() const override { return finish_ != Finish::kCounts; }
  int DenseImages() const override { return kDenseImages; }

  std::size_t CountBytes() const override {
    return finish_ == Finish::kCounts ? RoundUp(std::size_t{4} * shape().out_w * shape().counts, kCacheLine) : 0;
  }

  std::size_t RowBytes() const {
    switch (params().output) {
      case OutputType::kFloat:
        return std::size_t{4} * shape().out_w * params().channels_out;
      case OutputType::kPacked:
        return std::size_t{4} * shape().out_w * WordsFor(params().channels_out);
      case OutputType::kInt8:
        break;
    }
    return std::size_t{1} * shape().out_w * params().channels_out;
  }

  BconvJob Job() const {
    BconvJob job = CountJob();
    job.finish = finish_;
    job.multiplier = multiplier_.data();
    job.doubled = doubled_.empty() ? nullptr : doubled_.data();
    job.bias = bias_.data();
    job.thresholds = thresholds_.data();
    job.clamp_min = clamp_min_;
    job.clamp_max = clamp_max_;
    job.correction = correction_.empty() ? nullptr : correction_.data();
    job.row_class = padding().row_class().data();
    job.column_class = padding().column_class().data();
    job.column_classes = padding().column_classes();
    return job;
  }

  void RunDensePart(const BconvTensors& tensors, const DensePart& part, char* workspace) const override {
    BinaryConvParams part_params;
    const BconvJob job = DenseJob(Job(), kernel(), part, &part_params);
    const std::size_t before = finish_ == Finish::kFloat ? part.channel : part.channel / kWordBits;
    char* output = static_cast<char*>(tensors.output) + part.image * RowBytes() + 4 * before;
    kernel().run(job, ImageOf(tensors, part.image), 0, 1, output, workspace);
  }

  // In pairs, as kernels like them.
  int SinkRows() const override {
    return static_cast<int>(std::min<std::size_t>(2 * std::max<std::size_t>(kSinkBytes / (2 * RowBytes()), 1), shape().out_h));
  }

  bool IsWhole() const override { return dense(); }

  void RunRows(const BconvTensors& tensors, int worker, std::int64_t image, int begin, int end, char* workspace) const override {
    const BconvJob job = Job();
    const Word* image_data = ImageOf(tensors, image);
    if (tensors.sink != nullptr) {
      for (int row = begin, last; row < end; row = last) {
        last = std::min(row + SinkRows(), end);
        kernel().run(job, image_data, row, last, tensors.sink->Rows(worker, image, row), workspace);
        tensors.sink->Take(worker, image, row, last - row);
      }
      return;
    }
    char* output = static_cast<char*>(tensors.output) + (image * shape().out_h + begin) * RowBytes();
    if (finish_ != Finish::kCounts) {
      kernel().run(job, image_data, begin, end, output, workspace);
      return;
    }
    auto* counts = reinterpret_cast<std::int32_t*>(workspace);
    for (int row = begin; row < end; ++row, output += RowBytes()) {
      kernel().run(job, image_data, row, row + 1, counts, workspace + CountBytes());
      FinishRow(job, counts, output);
    }
  }

  // Finishes a row of counts for outputs that the kernels do not write themselves.
  void FinishRow(const BconvJob& job, const std::int32_t* counts, char* output) const {
    const std::size_t channels = params().channels_out, words = WordsFor(params().channels_out);
    if (params().output == OutputType::kPacked) {
      auto* to = reinterpret_cast<Word*>(output);
      std::fill_n(to, shape().out_w * words, Word{0});
      ForCounts(counts, [&](std::size_t x, std::size_t c, std::size_t lane, std::int32_t count) {
        to[x * words + c / kWordBits] |= static_cast<Word>(count > job.thresholds[lane]) << (c % kWordBits);
      });
    } else {
      auto* to = reinterpret_cast<std::int8_t*>(output);
      ForCounts(counts, [&](std::size_t x, std::size_t c, std::size_t lane, std::int32_t count) {
        to[x * channels + c] = ToInt8(BconvValue<false>(job, OneInt{count}, OneFloat{job.multiplier[lane]}, OneFloat{job.bias[lane]})[0]);
      });
    }
  }

  // Calls use(x, channel, lane, count) for a row of counts.
  template <class Use>
  void ForCounts(const std::int32_t* counts, const Use& use) const {
    const std::size_t group_lanes = std::size_t{1} * shape().blocks * kernel().lanes, group_channels = shape().group_channels;
    for (std::size_t x = 0; x < static_cast<std::size_t>(shape().out_w); ++x, counts += shape().counts) {
      for (std::size_t g = 0; g < static_cast<std::size_t>(params().groups); ++g) {
        for (std::size_t i = 0; i < group_channels; ++i) {
          use(x, g * group_channels + i, g * group_lanes + i, counts[g * group_lanes + i]);
        }
      }
    }
  }

  int LaneOf(int channel) const {
    return channel / shape().group_channels * shape().blocks * kernel().lanes + channel % shape().group_channels;
  }

  void SetTransform(const BconvConstants& constants) {
    const int taps = static_cast<int>(TapsOf(params()));
    const auto [low, high] = ActivationRange(params().activation);
    clamp_min_ = static_cast<std::int32_t>(taps - std::min<std::int64_t>(high, taps));
    clamp_max_ = static_cast<std::int32_t>(taps - std::max<std::int64_t>(low, -taps));
    multiplier_.assign(shape().counts, 0);
    bias_.assign(shape().counts, 0);
    thresholds_.assign(shape().counts, INT_MAX);
    const bool int8 = params().output == OutputType::kInt8;
    const double scale = int8 ? params().output_scale : 1.0, zero_point = int8 ? params().output_zero_point : 0.0;
    for (int c = 0; c < params().channels_out; ++c) {
      const int lane = LaneOf(c);
      if (params().output == OutputType::kPacked) {
        thresholds_[lane] = constants.thresholds[c];
        continue;
      }
      const double m = constants.multiplier[c], b = constants.bias[c];
      multiplier_[lane] = static_cast<float>(-m / scale);
      bias_[lane] = static_cast<float>((b + taps * m) / scale + zero_point);
    }
    // 2p m' and p (2 m') round to the same number unless 2 m' overflows.
    if (clamp_min_ > 0 || clamp_max_ < 2 * taps) return;
    doubled_ = multiplier_;
    for (float& value : doubled_) value *= 2;
    if (!std::all_of(doubled_.begin(), doubled_.end(), [](float value) { return std::isfinite(value); })) doubled_.clear();
  }

  void SetTables() override {
    correction_.clear();
    if (padding().classes() == 1) return;
    correction_.assign(padding().classes() * shape().counts, 0);
    for (std::size_t number = 0; number < padding().classes(); ++number) {
      float* to = &correction_[number * shape().counts];
      for (int c = 0; c < params().channels_out; ++c) {
        to[LaneOf(c)] = -raw_multiplier_[c] * static_cast<float>(padding().Outside(number, c));
      }
    }
    // The one number that changes no other one, not even -0.
    std::fill_n(correction_.begin(), shape().counts, -0.0f);
  }

  const Finish finish_;
  std::vector<float> multiplier_, doubled_, bias_;
  std::vector<std::int32_t> thresholds_;
  std::int32_t clamp_min_, clamp_max_;
  // Zero padding only.
  std::vector<float> raw_multiplier_, correction_;
};

}  // namespace

std::unique_ptr<Bconv> Bconv::Create(const BconvParams& params, const BconvConstants& constants, Level level, std::string* error) {
  if (const char* reason = Refusal(params, constants)) {
    *error = reason;
    return nullptr;
  }
  const BconvKernel* kernel = KernelFor(level, params, error);
  return kernel == nullptr ? nullptr : std::make_unique<BconvImpl>(params, constants, *kernel);
}

}  // namespace fdabnn
