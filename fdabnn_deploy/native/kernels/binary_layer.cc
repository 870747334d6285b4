#include "kernels/binary_layer.h"

#include <cstring>
#include <vector>

#include "kernels/counted_conv.h"
#include "kernels/layer_finish.h"

namespace fdabnn {
namespace {

constexpr std::size_t kCountBytes = 48 << 10;  // of counts that wait for being finished: they stay in the caches

class BinaryLayerImpl : public CountedConv<BinaryLayer> {
 public:
  BinaryLayerImpl(const BinaryLayerParams& params, const BinaryLayerConstants& constants, const BconvKernel& kernel,
                  const LayerLoops& loops)
      : CountedConv(params, constants.filter, kernel), loops_(loops) {
    finish_.channels = params.channels_out;
    finish_.counts = static_cast<std::size_t>(shape().counts);
    finish_.lanes = RoundUp(params.channels_out, kWordBits);
    finish_.planes = params.planes;
    finish_.slope = Copy(constants.slope, &slope_);
    finish_.scale = Copy(constants.scale, &scale_);
    offset_.assign(finish_.lanes, -0.0f);  // the one number that changes no other one
    finish_.offset = constants.offset ? Copy(constants.offset, &offset_) : offset_.data();
  }

 private:
  // Zeros behind the last channel.
  const float* Copy(const float* values, std::vector<float>* to) const {
    if (values == nullptr) return nullptr;
    to->assign(finish_.lanes, 0);
    std::memcpy(to->data(), values, sizeof(float) * params().channels_out);
    return to->data();
  }

  std::int64_t ValuesPerPixel() const override { return static_cast<std::int64_t>(std::max(finish_.counts, finish_.lanes)); }

  bool SharesDense() const override { return true; }

  int DenseImages() const override {
    return static_cast<int>(std::clamp<std::size_t>(kCountBytes / (sizeof(std::int32_t) * finish_.counts), 4, kFinishPixels));
  }

  // Rows whose counts are finished together, in pairs.
  int CountRows() const {
    const std::size_t pair = 2 * sizeof(std::int32_t) * shape().out_w * shape().counts;
    return static_cast<int>(std::min<std::size_t>(2 * std::max<std::size_t>(kCountBytes / pair, 1), shape().out_h));
  }

  std::size_t CountBytes() const override {
    const int columns = dense() ? DenseImages() : shape().out_w;
    // The loops look at whole words of channels.
    return RoundUp(sizeof(std::int32_t) * (std::size_t{1} * CountRows() * columns * shape().counts + kWordBits), kCacheLine);
  }

  void RunDensePart(const BinaryLayerTensors& t, const DensePart& part, char* workspace) const override {
    BinaryConvParams part_params;
    const BconvJob job = DenseJob(CountJob(), kernel(), part, &part_params);
    auto* counts = reinterpret_cast<std::int32_t*>(workspace);
    kernel().run(job, ImageOf(t, part.image), 0, 1, counts, workspace + CountBytes());
    LayerFinish finish = finish_;
    finish.channels = part.channels;
    finish.counts = static_cast<std::size_t>(job.shape.counts);
    finish.planes = false;  // one pixel: both layouts are the same, and this one has all images in a row
    finish.base += part.channel;
    finish.offset += part.channel;
    if (finish.slope) finish.slope += part.channel;
    if (finish.scale) finish.scale += part.channel;
    std::memset(counts + part.images * finish.counts, 0, sizeof(std::int32_t) * kWordBits);
    const std::size_t first = part.image * params().channels_out + part.channel;
    const std::size_t word = part.image * WordsFor(params().channels_out) + part.channel / kWordBits;
    loops_.finish(finish, counts, 0, part.images, t.residual ? t.residual + first : nullptr, t.values ? t.values + first : nullptr,
                  t.signs ? t.signs + word : nullptr);
  }

  void RunRows(const BinaryLayerTensors& t, int, std::int64_t image, int begin, int end, char* workspace) const override {
    const BconvJob job = CountJob();
    auto* counts = reinterpret_cast<std::int32_t*>(workspace);
    const Word* image_data = ImageOf(t, image);
    const std::size_t values = image * finish_.pixels * params().channels_out;
    const std::size_t words = image * finish_.pixels * WordsFor(params().channels_out);
    for (int first = begin, last; first < end; first = last) {
      last = std::min(first + CountRows(), end);
      kernel().run(job, image_data, first, last, counts, workspace + CountBytes());
      const int pixels = (last - first) * shape().out_w;
      if (!InOrder()) PutInOrder(counts, pixels);
      std::memset(counts + std::size_t{1} * pixels * shape().counts, 0, sizeof(std::int32_t) * kWordBits);
      loops_.finish(finish_, counts, first * shape().out_w, pixels, t.residual ? t.residual + values : nullptr,
                    t.values ? t.values + values : nullptr, t.signs ? t.signs + words : nullptr);
    }
  }

  // Closes the gaps behind the last channels of the groups.
  void PutInOrder(std::int32_t* counts, int pixels) const {
    const std::size_t padded = std::size_t{1} * shape().blocks * kernel().lanes, real = shape().group_channels;
    for (int i = 0; i < pixels; ++i, counts += shape().counts) {
      for (int g = 1; g < params().groups; ++g) std::memmove(counts + g * real, counts + g * padded, sizeof(std::int32_t) * real);
    }
  }

  // The sum of the products where no sign differs, less what taps outside of a zero-padded image count.
  void SetTables() override {
    finish_.pixels = std::size_t{1} * shape().out_h * shape().out_w;
    finish_.pixel_class = nullptr;
    base_.assign(padding().classes() * finish_.lanes, static_cast<std::int32_t>(TapsOf(params())));
    finish_.base = base_.data();
    if (padding().empty()) return;
    for (std::size_t number = 0; number < padding().classes(); ++number) {
      std::int32_t* base = &base_[number * finish_.lanes];
      for (int c = 0; c < params().channels_out; ++c) base[c] -= padding().Outside(number, c);
    }
    pixel_class_.resize(finish_.pixels);
    for (std::size_t i = 0; i < finish_.pixels; ++i) {
      pixel_class_[i] = padding().row_class()[i / shape().out_w] * padding().column_classes() + padding().column_class()[i % shape().out_w];
    }
    finish_.pixel_class = pixel_class_.data();
  }

  const LayerLoops& loops_;
  LayerFinish finish_{};
  std::vector<float> slope_, scale_, offset_;
  std::vector<std::int32_t> base_, pixel_class_;
};

}  // namespace

std::unique_ptr<BinaryLayer> BinaryLayer::Create(const BinaryLayerParams& params, const BinaryLayerConstants& constants, Level level,
                                                 std::string* error) {
  if (const char* reason = RefuseConv(params, constants.filter)) {
    *error = reason;
    return nullptr;
  }
  const BconvKernel* kernel = KernelFor(level, params, error);
  return kernel == nullptr ? nullptr : std::make_unique<BinaryLayerImpl>(params, constants, *kernel, LayerLoopsOf(level));
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
