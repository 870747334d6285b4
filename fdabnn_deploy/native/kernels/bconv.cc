#include "kernels/bconv.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <new>
#include <utility>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/bconv_driver.h"
#include "kernels/dense.h"
#include "kernels/padding.h"

namespace fdabnn {
namespace {

constexpr int kDenseImages = 16;  // that are counted together

// Null, or why the parameters are refused.
const char* Refusal(const BconvParams& p, const BconvConstants& constants) {
  if (const char* refusal = RefuseShape(p)) return refusal;
  if (!Between(p.pad_value, 0, 1)) return "its pad value is neither 0 nor 1";
  if (p.same_padding && p.pad_value == 0 && p.output != OutputType::kFloat) return "zero padding needs float output";
  if (p.same_padding && p.pad_value == 0 && p.activation != Activation::kNone) return "zero padding excludes an activation";
  if (constants.filter == nullptr) return "its filter is missing";
  if (!OnlyChannels(constants.filter, std::size_t{1} * p.channels_out * p.kernel_h * p.kernel_w, p.channels_in / p.groups)) {
    return kFilterBits;
  }
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

class BconvImpl : public Bconv {
 public:
  BconvImpl(const BconvParams& params, const BconvConstants& constants, const BconvKernel& kernel) : params_(params), kernel_(kernel) {
    shape_.words = WordsFor(params.channels_in / params.groups);
    shape_.in_words = shape_.words * params.groups;
    shape_.group_channels = params.channels_out / params.groups;
    shape_.blocks = (shape_.group_channels + kernel.lanes - 1) / kernel.lanes;
    weights_ = AlignedBuffer(kernel.weight_bytes(params, shape_));
    kernel.pack(params, shape_, constants.filter, weights_.as<void>());
    const bool aligned = params.groups == 1 || shape_.group_channels % kernel.lanes == 0;
    finish_ = params.output == OutputType::kFloat               ? Finish::kFloat
              : params.output == OutputType::kPacked && aligned ? Finish::kPacked
                                                                : Finish::kCounts;
    SetTransform(constants);
    if (params.same_padding && params.pad_value == 0) {
      tap_sums_ = SumTaps(params, constants.filter);
      raw_multiplier_.assign(constants.multiplier, constants.multiplier + params.channels_out);
    }
  }

  bool Resize(int in_height, int in_width, std::string* error) override {
    const BconvParams& p = params_;
    if (!Between(in_height, 1, kLargestSize) || !Between(in_width, 1, kLargestSize)) {
      *error = "its input's size is out of range";
      return false;
    }
    const AxisPadding rows = PadAxis(in_height, p.kernel_h, p.stride_h, p.dilation_h, p.same_padding);
    const AxisPadding columns = PadAxis(in_width, p.kernel_w, p.stride_w, p.dilation_w, p.same_padding);
    if (rows.out < 1 || columns.out < 1) {
      *error = "its input is smaller than its filter";
      return false;
    }
    if (std::int64_t{in_height} * in_width > kLargestTotal / shape_.in_words ||
        rows.out * columns.out > kLargestTotal / std::max(p.channels_out, shape_.blocks * p.groups * kernel_.lanes)) {
      *error = "its input or output is too large";
      return false;
    }
    shape_.in_h = in_height;
    shape_.in_w = in_width;
    shape_.out_h = static_cast<int>(rows.out);
    shape_.out_w = static_cast<int>(columns.out);
    shape_.pad_top = static_cast<int>(rows.before);
    shape_.pad_left = static_cast<int>(columns.before);
    dense_ = IsDense(p, in_height, in_width) && finish_ != Finish::kCounts;
    return tap_sums_.empty() || SetCorrection(error);
  }

  int out_height() const override { return shape_.out_h; }
  int out_width() const override { return shape_.out_w; }

  std::size_t WorkspaceBytes(int threads) const override { return WorkerBytes() * static_cast<std::size_t>(std::max(threads, 1)); }

  const char* Run(const Word* input, int batch, void* output, ThreadPool& pool, void* workspace) const override {
    if (!OnlyChannels(input, std::size_t{1} * batch * shape_.in_h * shape_.in_w, params_.channels_in)) return kInputBits;
    if (dense_) {
      RunDense(params_, batch, kDenseImages, pool, [&](int worker, const DensePart& part) {
        RunDensePart(input, static_cast<char*>(output), part, static_cast<char*>(workspace) + worker * WorkerBytes());
      });
      return nullptr;
    }
    RunParts(params_, shape_, batch, pool, [&](int worker, std::int64_t image, int begin, int end) {
      RunRows(input, static_cast<char*>(output), image, begin, end, static_cast<char*>(workspace) + worker * WorkerBytes());
    });
    return nullptr;
  }

 private:
  int AllLanes() const { return params_.groups * shape_.blocks * kernel_.lanes; }

  std::size_t CountBytes() const {
    return finish_ == Finish::kCounts ? RoundUp(std::size_t{4} * shape_.out_w * AllLanes(), kCacheLine) : 0;
  }

  std::size_t WorkerBytes() const {
    const std::size_t bytes =
        dense_ ? kernel_.workspace_bytes(DenseParams(params_), DenseShape(shape_, kDenseImages)) : kernel_.workspace_bytes(params_, shape_);
    return RoundUp(bytes, kCacheLine) + CountBytes();
  }

  std::size_t RowBytes() const {
    switch (params_.output) {
      case OutputType::kFloat:
        return std::size_t{4} * shape_.out_w * params_.channels_out;
      case OutputType::kPacked:
        return std::size_t{4} * shape_.out_w * WordsFor(params_.channels_out);
      case OutputType::kInt8:
        break;
    }
    return std::size_t{1} * shape_.out_w * params_.channels_out;
  }

  // The whole layer's.
  BconvJob Job() const {
    BconvJob job = {};
    job.params = &params_;
    job.shape = shape_;
    job.weights = weights_.as<void>();
    job.finish = finish_;
    job.multiplier = multiplier_.data();
    job.doubled = doubled_.empty() ? nullptr : doubled_.data();
    job.bias = bias_.data();
    job.thresholds = thresholds_.data();
    job.clamp_min = clamp_min_;
    job.clamp_max = clamp_max_;
    job.correction = corrected_ ? correction_.data() : nullptr;
    job.row_class = row_class_.data();
    job.column_class = column_class_.data();
    job.column_classes = column_classes_;
    return job;
  }

  void RunDensePart(const Word* input, char* output, const DensePart& part, char* workspace) const {
    BconvParams params;
    const BconvJob job = DenseJob(Job(), kernel_, part, &params);
    const std::size_t before = finish_ == Finish::kFloat ? part.channel : part.channel / kWordBits;
    kernel_.run(job, input + part.image * shape_.in_words, 0, 1, output + part.image * RowBytes() + 4 * before, workspace);
  }

  void RunRows(const Word* input, char* all, std::int64_t image, int begin, int end, char* workspace) const {
    const BconvJob job = Job();
    const Word* image_data = input + image * shape_.in_h * shape_.in_w * shape_.in_words;
    char* output = all + (image * shape_.out_h + begin) * RowBytes();
    if (finish_ != Finish::kCounts) {
      kernel_.run(job, image_data, begin, end, output, workspace);
      return;
    }
    auto* counts = reinterpret_cast<std::int32_t*>(workspace);
    for (int row = begin; row < end; ++row, output += RowBytes()) {
      kernel_.run(job, image_data, row, row + 1, counts, workspace + CountBytes());
      FinishRow(counts, output);
    }
  }

  // Finishes a row of counts for outputs that the kernels do not write themselves.
  void FinishRow(const std::int32_t* counts, char* output) const {
    const int words = WordsFor(params_.channels_out);
    auto* packed = reinterpret_cast<Word*>(output);
    auto* bytes = reinterpret_cast<std::int8_t*>(output);
    if (params_.output == OutputType::kPacked) std::fill(packed, packed + std::size_t{1} * shape_.out_w * words, Word{0});
    for (int x = 0; x < shape_.out_w; ++x, counts += AllLanes()) {
      for (int c = 0; c < params_.channels_out; ++c) {
        const int lane = LaneOf(c);
        if (params_.output == OutputType::kPacked) {
          packed[x * words + c / kWordBits] |= static_cast<Word>(counts[lane] > thresholds_[lane]) << (c % kWordBits);
        } else {
          const std::int32_t value = std::max(std::min(2 * counts[lane], clamp_max_), clamp_min_);
          const float scaled = static_cast<float>(value) * multiplier_[lane];
          bytes[std::size_t{1} * x * params_.channels_out + c] = ToInt8(scaled + bias_[lane]);
        }
      }
    }
  }

  int LaneOf(int channel) const {
    return channel / shape_.group_channels * shape_.blocks * kernel_.lanes + channel % shape_.group_channels;
  }

  void SetTransform(const BconvConstants& constants) {
    const int taps = static_cast<int>(TapsOf(params_));
    const auto [low, high] = ActivationRange(params_.activation);
    clamp_min_ = static_cast<std::int32_t>(taps - std::min<std::int64_t>(high, taps));
    clamp_max_ = static_cast<std::int32_t>(taps - std::max<std::int64_t>(low, -taps));
    multiplier_.assign(AllLanes(), 0);
    bias_.assign(AllLanes(), 0);
    thresholds_.assign(AllLanes(), INT_MAX);
    const bool int8 = params_.output == OutputType::kInt8;
    const double scale = int8 ? params_.output_scale : 1.0, zero_point = int8 ? params_.output_zero_point : 0.0;
    for (int c = 0; c < params_.channels_out; ++c) {
      const int lane = LaneOf(c);
      if (params_.output == OutputType::kPacked) {
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

  bool SetCorrection(std::string* error) {
    const BconvParams& p = params_;
    const auto rows = ClassesOf(shape_.out_h, shape_.in_h, p.kernel_h, p.stride_h, p.dilation_h, shape_.pad_top, &row_class_);
    const auto columns = ClassesOf(shape_.out_w, shape_.in_w, p.kernel_w, p.stride_w, p.dilation_w, shape_.pad_left, &column_class_);
    column_classes_ = static_cast<int>(columns.size());
    corrected_ = rows.size() * columns.size() > 1;
    if (!corrected_) return true;
    if (rows.size() * columns.size() > static_cast<std::size_t>(kLargestTotal) / AllLanes()) {
      *error = "its filter has too many ways to stand out of its input";
      return false;
    }
    correction_.assign(rows.size() * columns.size() * AllLanes(), 0);
    float* table = correction_.data();
    for (const auto& [top, bottom] : rows) {
      for (const auto& [left, right] : columns) {
        for (int c = 0; c < p.channels_out; ++c) {
          const std::int32_t* sums = &tap_sums_[std::size_t{1} * c * p.kernel_h * p.kernel_w];
          std::int64_t outside = 0;
          for (int ky = 0; ky < p.kernel_h; ++ky) {
            const bool row_outside = ky < top || ky >= p.kernel_h - bottom;
            for (int kx = 0; kx < p.kernel_w; ++kx) {
              if (row_outside || kx < left || kx >= p.kernel_w - right) outside += sums[ky * p.kernel_w + kx];
            }
          }
          table[LaneOf(c)] = -raw_multiplier_[c] * static_cast<float>(outside);
        }
        table += AllLanes();
      }
    }
    // The one number that changes no other one, not even -0.
    std::fill_n(correction_.begin(), AllLanes(), -0.0f);
    return true;
  }

  BconvParams params_;
  const BconvKernel& kernel_;
  BconvShape shape_ = {};
  AlignedBuffer weights_;
  Finish finish_;
  bool dense_ = false;
  std::vector<float> multiplier_, doubled_, bias_;
  std::vector<std::int32_t> thresholds_;
  std::int32_t clamp_min_, clamp_max_;
  // Zero padding only.
  std::vector<std::int32_t> tap_sums_;
  std::vector<float> raw_multiplier_;
  bool corrected_ = false;
  std::vector<float> correction_;
  std::vector<std::int32_t> row_class_, column_class_;
  int column_classes_ = 1;
};

}  // namespace

std::unique_ptr<Bconv> Bconv::Create(const BconvParams& params, const BconvConstants& constants, Level level, std::string* error) {
  if (const char* reason = Refusal(params, constants)) {
    *error = reason;
    return nullptr;
  }
  const BconvKernel* kernel = KernelFor(level, params);
  if (kernel == nullptr) {
    *error = std::string("this build or processor has no kernels for level ") + Name(level);
    return nullptr;
  }
  return std::make_unique<BconvImpl>(params, constants, *kernel);
}

}  // namespace fdabnn
