#include "kernels/bconv.h"

#include <algorithm>
#include <atomic>
#include <climits>
#include <cmath>
#include <new>
#include <utility>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/bconv_kernel.h"
#include "kernels/padding.h"

namespace fdabnn {
namespace {

constexpr std::int64_t kLargestSize = 1 << 24;   // of one dimension
constexpr std::int64_t kLargestTaps = 1 << 29;   // 2p has to fit into an int32
constexpr std::int64_t kLargestTotal = 1 << 30;  // values of a tensor or table
constexpr std::int64_t kLeastMacs = 2 << 20;     // binary multiply-accumulates of a part, so that preparing it is little beside them
constexpr int kPartsPerThread = 4;

const BconvKernel* KernelFor(Level level) {
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
  }
  return nullptr;
}

std::int64_t TapsOf(const BconvParams& p) { return std::int64_t{p.kernel_h} * p.kernel_w * (p.channels_in / p.groups); }

bool Between(std::int64_t value, std::int64_t low, std::int64_t high) { return low <= value && value <= high; }

// Null, or why the parameters are refused.
const char* Refusal(const BconvParams& p, const BconvConstants& constants) {
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
  if (!Between(p.pad_value, 0, 1)) return "its pad value is neither 0 nor 1";
  if (p.same_padding && p.pad_value == 0 && p.output != OutputType::kFloat) return "zero padding needs float output";
  if (p.same_padding && p.pad_value == 0 && p.activation != Activation::kNone) return "zero padding excludes an activation";
  if (constants.filter == nullptr) return "its filter is missing";
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

// Numbers the different pairs (taps before the picture, taps behind it) along an axis; (0, 0) is number 0.
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
    if (params.same_padding && params.pad_value == 0) SumTaps(constants);
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
    return tap_sums_.empty() || SetCorrection(error);
  }

  int out_height() const override { return shape_.out_h; }
  int out_width() const override { return shape_.out_w; }

  std::size_t WorkspaceBytes(int threads) const override { return WorkerBytes() * static_cast<std::size_t>(std::max(threads, 1)); }

  void Run(const Word* input, int batch, void* output, ThreadPool& pool, void* workspace) const override {
    const std::int64_t rows = std::int64_t{batch} * shape_.out_h;
    const std::int64_t threads = std::min<std::int64_t>(pool.threads(), rows);
    // Not a product of all sizes: that may not fit.
    const std::int64_t worth = rows * shape_.out_w * params_.channels_out / std::max<std::int64_t>(kLeastMacs / TapsOf(params_), 1);
    const std::int64_t parts = threads > 1 ? std::min(rows, std::clamp(worth, threads, threads * kPartsPerThread)) : 1;
    Work work{this, input, static_cast<char*>(output), static_cast<char*>(workspace), rows, parts};
    pool.Run(static_cast<int>(threads), [](void* context, int index) { static_cast<Work*>(context)->Do(index); }, &work);
  }

 private:
  // Threads take the next part of the rows when they are done with one, because their processors may differ in speed or serve others.
  struct Work {
    const BconvImpl* conv;
    const Word* input;
    char* output;
    char* workspace;
    std::int64_t rows, parts;
    std::atomic<std::int64_t> next{0};

    void Do(int worker) {
      for (std::int64_t part = next++; part < parts; part = next++) {
        DoRows(rows * part / parts, rows * (part + 1) / parts, workspace + worker * conv->WorkerBytes());
      }
    }

    void DoRows(std::int64_t begin, std::int64_t end, char* space) const {
      const int height = conv->shape_.out_h;
      for (std::int64_t row = begin; row < end;) {
        const std::int64_t image = row / height;
        const int first = static_cast<int>(row % height);
        const int last = static_cast<int>(std::min<std::int64_t>(height, first + end - row));
        conv->RunRows(*this, image, first, last, space);
        row += last - first;
      }
    }
  };

  int AllLanes() const { return params_.groups * shape_.blocks * kernel_.lanes; }

  std::size_t CountBytes() const {
    return finish_ == Finish::kCounts ? RoundUp(std::size_t{4} * shape_.out_w * AllLanes(), kCacheLine) : 0;
  }

  std::size_t WorkerBytes() const { return RoundUp(kernel_.workspace_bytes(params_, shape_), kCacheLine) + CountBytes(); }

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

  void RunRows(const Work& work, std::int64_t image, int begin, int end, char* workspace) const {
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
    const Word* picture = work.input + image * shape_.in_h * shape_.in_w * shape_.in_words;
    char* output = work.output + (image * shape_.out_h + begin) * RowBytes();
    if (finish_ != Finish::kCounts) {
      kernel_.run(job, picture, begin, end, output, workspace);
      return;
    }
    auto* counts = reinterpret_cast<std::int32_t*>(workspace);
    for (int row = begin; row < end; ++row, output += RowBytes()) {
      kernel_.run(job, picture, row, row + 1, counts, workspace + CountBytes());
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

  // The sum of the filter's values at every tap: [channels_out, kernel_h, kernel_w].
  void SumTaps(const BconvConstants& constants) {
    const std::size_t area = std::size_t{1} * params_.kernel_h * params_.kernel_w;
    tap_sums_.resize(area * params_.channels_out);
    const int channels = params_.channels_in / params_.groups;
    const Word* word = constants.filter;
    for (std::int32_t& sum : tap_sums_) {
      sum = channels;
      for (int w = 0; w < shape_.words; ++w) sum -= 2 * __builtin_popcount(*word++);
    }
    raw_multiplier_.assign(constants.multiplier, constants.multiplier + params_.channels_out);
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
  const BconvKernel* kernel = Supported(level) ? KernelFor(level) : nullptr;
  if (const char* reason = Refusal(params, constants)) {
    *error = reason;
  } else if (kernel == nullptr) {
    *error = std::string("this build or processor has no kernels for level ") + Name(level);
  } else {
    return std::make_unique<BconvImpl>(params, constants, TapsOf(params) <= kernel->max_taps ? *kernel : *BconvScalar());
  }
  return nullptr;
}

}  // namespace fdabnn
