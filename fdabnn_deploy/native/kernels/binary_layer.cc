#include "kernels/binary_layer.h"

#include <cstring>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/bconv_driver.h"
#include "kernels/dense.h"
#include "kernels/layer_finish.h"

namespace fdabnn {
namespace {

constexpr std::size_t kCountBytes = 48 << 10;  // of counts that wait for being finished: they stay in the caches

BconvParams ConvOf(const BinaryLayerParams& p) {
  BconvParams conv;
  conv.channels_in = p.channels_in;
  conv.channels_out = p.channels_out;
  conv.groups = p.groups;
  conv.kernel_h = p.kernel_h;
  conv.kernel_w = p.kernel_w;
  conv.stride_h = p.stride_h;
  conv.stride_w = p.stride_w;
  conv.dilation_h = p.dilation_h;
  conv.dilation_w = p.dilation_w;
  conv.pad_value = p.pad_value;
  return conv;
}

// Null, or why the parameters are refused.
const char* Refusal(const BinaryLayerParams& p, const BinaryLayerConstants& constants) {
  if (const char* refusal = RefuseShape(ConvOf(p))) return refusal;
  const std::int64_t reach_h = std::int64_t{p.kernel_h - 1} * p.dilation_h, reach_w = std::int64_t{p.kernel_w - 1} * p.dilation_w;
  for (int pad : {p.pad_top, p.pad_bottom}) {
    if (!Between(pad, 0, reach_h)) return "its padding is negative, or not smaller than its dilated filter";
  }
  for (int pad : {p.pad_left, p.pad_right}) {
    if (!Between(pad, 0, reach_w)) return "its padding is negative, or not smaller than its dilated filter";
  }
  if (!Between(p.pad_value, 0, 1)) return "its pad value is neither 0 nor 1";
  if (constants.filter == nullptr) return "its filter is missing";
  const std::size_t taps = std::size_t{1} * p.channels_out * p.kernel_h * p.kernel_w;
  return OnlyChannels(constants.filter, taps, p.channels_in / p.groups) ? nullptr : kFilterBits;
}

class BinaryLayerImpl : public BinaryLayer {
 public:
  BinaryLayerImpl(const BinaryLayerParams& params, const BinaryLayerConstants& constants, const BconvKernel& kernel,
                  const LayerLoops& loops)
      : params_(params), conv_(ConvOf(params)), kernel_(kernel), loops_(loops) {
    shape_.words = WordsFor(conv_.channels_in / conv_.groups);
    shape_.in_words = shape_.words * conv_.groups;
    shape_.group_channels = conv_.channels_out / conv_.groups;
    shape_.blocks = (shape_.group_channels + kernel_.lanes - 1) / kernel_.lanes;
    all_lanes_ = conv_.groups * shape_.blocks * kernel_.lanes;
    in_order_ = conv_.groups == 1 || shape_.group_channels % kernel_.lanes == 0;
    weights_ = AlignedBuffer(kernel_.weight_bytes(conv_, shape_));
    kernel_.pack(conv_, shape_, constants.filter, weights_.as<void>());
    if (conv_.pad_value == 0 && (params.pad_top | params.pad_left | params.pad_bottom | params.pad_right)) {
      tap_sums_ = SumTaps(conv_, constants.filter);
    }
    finish_.channels = conv_.channels_out;
    finish_.counts = all_lanes_;
    finish_.lanes = RoundUp(conv_.channels_out, kWordBits);
    finish_.planes = params.planes;
    finish_.slope = Copy(constants.slope, &slope_);
    finish_.scale = Copy(constants.scale, &scale_);
    offset_.assign(finish_.lanes, -0.0f);  // the one number that changes no other one
    finish_.offset = constants.offset ? Copy(constants.offset, &offset_) : offset_.data();
  }

  bool Resize(int in_height, int in_width, std::string* error) override {
    const BinaryLayerParams& p = params_;
    if (!Between(in_height, 1, kLargestSize) || !Between(in_width, 1, kLargestSize)) {
      *error = "its input's size is out of range";
      return false;
    }
    const std::int64_t rows = std::int64_t{in_height} + p.pad_top + p.pad_bottom - std::int64_t{p.kernel_h - 1} * p.dilation_h;
    const std::int64_t columns = std::int64_t{in_width} + p.pad_left + p.pad_right - std::int64_t{p.kernel_w - 1} * p.dilation_w;
    if (rows < 1 || columns < 1) {
      *error = "its input is smaller than its filter";
      return false;
    }
    const std::int64_t out_h = (rows - 1) / p.stride_h + 1, out_w = (columns - 1) / p.stride_w + 1;
    if (std::int64_t{in_height} * in_width > kLargestTotal / shape_.in_words ||
        out_h * out_w > kLargestTotal / std::max<std::int64_t>(all_lanes_, static_cast<std::int64_t>(finish_.lanes))) {
      *error = "its input or output is too large";
      return false;
    }
    shape_.in_h = in_height;
    shape_.in_w = in_width;
    shape_.out_h = static_cast<int>(out_h);
    shape_.out_w = static_cast<int>(out_w);
    shape_.pad_top = p.pad_top;
    shape_.pad_left = p.pad_left;
    finish_.pixels = static_cast<std::size_t>(out_h * out_w);
    dense_ = IsDense(conv_, in_height, in_width);
    return SetBase(error);
  }

  int out_height() const override { return shape_.out_h; }
  int out_width() const override { return shape_.out_w; }

  std::size_t WorkspaceBytes(int threads) const override { return WorkerBytes() * static_cast<std::size_t>(std::max(threads, 1)); }

  const char* Run(const BinaryLayerTensors& tensors, int batch, ThreadPool& pool, void* workspace) const override {
    if (!OnlyChannels(tensors.input, std::size_t{1} * batch * shape_.in_h * shape_.in_w, params_.channels_in)) return kInputBits;
    if (dense_) {
      RunDense(conv_, batch, DenseImages(), pool, [&](int worker, const DensePart& part) {
        RunDensePart(tensors, part, static_cast<char*>(workspace) + worker * WorkerBytes());
      });
      return nullptr;
    }
    RunParts(conv_, shape_, batch, pool, [&](int worker, std::int64_t image, int begin, int end) {
      RunRows(tensors, image, begin, end, static_cast<char*>(workspace) + worker * WorkerBytes());
    });
    return nullptr;
  }

 private:
  // Zeros behind the last channel.
  const float* Copy(const float* values, std::vector<float>* to) const {
    if (values == nullptr) return nullptr;
    to->assign(finish_.lanes, 0);
    std::memcpy(to->data(), values, sizeof(float) * conv_.channels_out);
    return to->data();
  }

  // Of a dense layer, that are counted together.
  int DenseImages() const {
    return static_cast<int>(std::clamp<std::size_t>(kCountBytes / (sizeof(std::int32_t) * all_lanes_), 4, kFinishPixels));
  }

  // What is counted together.
  BconvShape PartShape() const { return dense_ ? DenseShape(shape_, DenseImages()) : shape_; }

  // Rows whose counts are finished together, in pairs.
  int CountRows() const {
    const std::size_t pair = 2 * sizeof(std::int32_t) * shape_.out_w * all_lanes_;
    return static_cast<int>(std::min<std::size_t>(2 * std::max<std::size_t>(kCountBytes / pair, 1), shape_.out_h));
  }

  std::size_t CountBytes() const {
    // The loops look at whole words of channels.
    return RoundUp(sizeof(std::int32_t) * (std::size_t{1} * CountRows() * PartShape().out_w * all_lanes_ + kWordBits), kCacheLine);
  }

  std::size_t WorkerBytes() const {
    return RoundUp(kernel_.workspace_bytes(dense_ ? DenseParams(conv_) : conv_, PartShape()), kCacheLine) + CountBytes();
  }

  void RunDensePart(const BinaryLayerTensors& t, const DensePart& part, char* workspace) const {
    BconvJob whole = {};
    whole.params = &conv_;
    whole.shape = shape_;
    whole.weights = weights_.as<void>();
    whole.finish = Finish::kCounts;
    BconvParams params;
    const BconvJob job = DenseJob(whole, kernel_, part, &params);
    auto* counts = reinterpret_cast<std::int32_t*>(workspace);
    kernel_.run(job, t.input + part.image * shape_.in_words, 0, 1, counts, workspace + CountBytes());
    LayerFinish finish = finish_;
    finish.channels = part.channels;
    finish.counts = std::size_t{1} * job.shape.blocks * kernel_.lanes;
    finish.planes = false;  // one pixel: both layouts are the same, and this one has all images in a row
    finish.base += part.channel;
    finish.offset += part.channel;
    if (finish.slope) finish.slope += part.channel;
    if (finish.scale) finish.scale += part.channel;
    std::memset(counts + part.images * finish.counts, 0, sizeof(std::int32_t) * kWordBits);
    const std::size_t first = part.image * conv_.channels_out + part.channel;
    const std::size_t word = part.image * WordsFor(conv_.channels_out) + part.channel / kWordBits;
    loops_.finish(finish, counts, 0, part.images, t.residual ? t.residual + first : nullptr, t.values ? t.values + first : nullptr,
                  t.signs ? t.signs + word : nullptr);
  }

  void RunRows(const BinaryLayerTensors& t, std::int64_t image, int begin, int end, char* workspace) const {
    BconvJob job = {};
    job.params = &conv_;
    job.shape = shape_;
    job.weights = weights_.as<void>();
    job.finish = Finish::kCounts;
    auto* counts = reinterpret_cast<std::int32_t*>(workspace);
    const Word* image_data = t.input + image * shape_.in_h * shape_.in_w * shape_.in_words;
    const std::size_t values = image * finish_.pixels * conv_.channels_out;
    const std::size_t words = image * finish_.pixels * WordsFor(conv_.channels_out);
    for (int first = begin, last; first < end; first = last) {
      last = std::min(first + CountRows(), end);
      kernel_.run(job, image_data, first, last, counts, workspace + CountBytes());
      const int pixels = (last - first) * shape_.out_w;
      if (!in_order_) PutInOrder(counts, pixels);
      std::memset(counts + std::size_t{1} * pixels * all_lanes_, 0, sizeof(std::int32_t) * kWordBits);
      loops_.finish(finish_, counts, first * shape_.out_w, pixels, t.residual ? t.residual + values : nullptr,
                    t.values ? t.values + values : nullptr, t.signs ? t.signs + words : nullptr);
    }
  }

  // Closes the gaps behind the last channels of the groups.
  void PutInOrder(std::int32_t* counts, int pixels) const {
    const std::size_t padded = std::size_t{1} * shape_.blocks * kernel_.lanes, real = shape_.group_channels;
    for (int i = 0; i < pixels; ++i, counts += all_lanes_) {
      for (int g = 1; g < conv_.groups; ++g) std::memmove(counts + g * real, counts + g * padded, sizeof(std::int32_t) * real);
    }
  }

  // The sum of the products where no sign differs, less what taps outside of a zero-padded image count.
  bool SetBase(std::string* error) {
    const BinaryLayerParams& p = params_;
    const int area = p.kernel_h * p.kernel_w;
    const std::int32_t taps = static_cast<std::int32_t>(TapsOf(conv_));
    finish_.pixel_class = nullptr;
    base_.assign(finish_.lanes, taps);
    finish_.base = base_.data();
    if (tap_sums_.empty()) return true;
    std::vector<std::int32_t> row_class, column_class;
    const auto rows = ClassesOf(shape_.out_h, shape_.in_h, p.kernel_h, p.stride_h, p.dilation_h, p.pad_top, &row_class);
    const auto columns = ClassesOf(shape_.out_w, shape_.in_w, p.kernel_w, p.stride_w, p.dilation_w, p.pad_left, &column_class);
    if (rows.size() * columns.size() > static_cast<std::size_t>(kLargestTotal) / finish_.lanes) {
      *error = "its filter has too many ways to stand out of its input";
      return false;
    }
    base_.assign(rows.size() * columns.size() * finish_.lanes, taps);
    std::int32_t* base = base_.data();
    for (const auto& [top, bottom] : rows) {
      for (const auto& [left, right] : columns) {
        for (int c = 0; c < conv_.channels_out; ++c) {
          const std::int32_t* sums = &tap_sums_[std::size_t{1} * c * area];
          for (int ky = 0; ky < p.kernel_h; ++ky) {
            const bool row_outside = ky < top || ky >= p.kernel_h - bottom;
            for (int kx = 0; kx < p.kernel_w; ++kx) {
              if (row_outside || kx < left || kx >= p.kernel_w - right) base[c] -= sums[ky * p.kernel_w + kx];
            }
          }
        }
        base += finish_.lanes;
      }
    }
    pixel_class_.resize(finish_.pixels);
    for (std::size_t i = 0; i < finish_.pixels; ++i) {
      pixel_class_[i] = row_class[i / shape_.out_w] * static_cast<std::int32_t>(columns.size()) + column_class[i % shape_.out_w];
    }
    finish_.base = base_.data();
    finish_.pixel_class = pixel_class_.data();
    return true;
  }

  const BinaryLayerParams params_;
  const BconvParams conv_;
  const BconvKernel& kernel_;
  const LayerLoops& loops_;
  BconvShape shape_{};
  int all_lanes_;
  bool dense_ = false;
  bool in_order_;  // a pixel's counts stand as its channels do
  AlignedBuffer weights_;
  LayerFinish finish_{};
  std::vector<float> slope_, scale_, offset_;
  std::vector<std::int32_t> tap_sums_, base_, pixel_class_;
};

}  // namespace

std::unique_ptr<BinaryLayer> BinaryLayer::Create(const BinaryLayerParams& params, const BinaryLayerConstants& constants, Level level,
                                                 std::string* error) {
  if (const char* reason = Refusal(params, constants)) {
    *error = reason;
    return nullptr;
  }
  const BconvKernel* kernel = KernelFor(level, ConvOf(params));
  if (kernel == nullptr) {
    *error = std::string("this build or processor has no kernels for level ") + Name(level);
    return nullptr;
  }
  return std::make_unique<BinaryLayerImpl>(params, constants, *kernel, LayerLoopsOf(level));
}

void PackPlanes(const float* values, int batch, int channels, std::size_t pixels, Word* words, Level level, ThreadPool& pool) {
  struct Job {
    const float* values;
    int batch, channels;
    std::size_t pixels;
    Word* words;
    const LayerLoops& loops;
    int threads;
  };
  constexpr std::size_t kValuesPerThread = 1 << 13;  // fewer cost more than they save
  const std::size_t all = pixels * batch * channels;
  const int threads = static_cast<int>(std::clamp<std::size_t>(all / kValuesPerThread, 1, pool.threads()));
  Job job = {values, batch, channels, pixels, words, LayerLoopsOf(level), threads};
  pool.Run(
      threads,
      [](void* context, int index) {
        const Job& j = *static_cast<const Job*>(context);
        const std::size_t begin = j.pixels * index / j.threads, count = j.pixels * (index + 1) / j.threads - begin;
        for (int image = 0; image < j.batch; ++image) {
          j.loops.pack_planes(j.values + image * j.channels * j.pixels, j.channels, j.pixels, begin, count,
                              j.words + image * j.pixels * WordsFor(j.channels));
        }
      },
      &job);
}

}  // namespace fdabnn
