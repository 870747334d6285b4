// The base of Bconv and BinaryLayer: a kernel of a level counts the taps that differ, by rows of an image or by images of a dense layer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/aligned_buffer.h"
#include "kernels/bconv_driver.h"
#include "kernels/dense.h"
#include "kernels/padding_correction.h"

namespace fdabnn {

// Interface: an ImageKernel whose `Params` are BinaryConvParams and more, and whose calls have an `input` of packed signs.
template <class Interface>
class CountedConv : public Interface {
 public:
  using Params = typename Interface::Params;
  using Tensors = typename Interface::CallTensors;

  const char* Run(const Tensors& tensors, int batch, ThreadPool& pool, void* workspace) const final {
    if (!OnlyChannels(tensors.input, std::size_t{1} * batch * shape_.in_h * shape_.in_w, params_.channels_in)) return kInputBits;
    if (dense_) {
      RunDense(params_, batch, DenseImages(), pool,
               [&](int worker, const DensePart& part) { RunDensePart(tensors, part, this->WorkerSpace(workspace, worker)); });
    } else {
      RunParts(params_, shape_, batch, pool, [&](int worker, std::int64_t image, int begin, int end) {
        RunRows(tensors, worker, image, begin, end, this->WorkerSpace(workspace, worker));
      });
    }
    return nullptr;
  }

 protected:
  CountedConv(const Params& params, const Word* filter, const BconvKernel& kernel)
      : Interface(params), params_(params), kernel_(kernel), padding_(params, filter) {
    shape_.words = WordsFor(params.channels_in / params.groups);
    shape_.in_words = shape_.words * params.groups;
    shape_.group_channels = params.channels_out / params.groups;
    shape_.blocks = (shape_.group_channels + kernel.lanes - 1) / kernel.lanes;
    shape_.counts = params.groups * shape_.blocks * kernel.lanes;
    weights_ = AlignedBuffer(kernel.weight_bytes(params, shape_));
    kernel.pack(params, shape_, filter, weights_.as<void>());
  }

  const Params& params() const { return params_; }
  const BconvKernel& kernel() const { return kernel_; }
  const BconvShape& shape() const { return shape_; }
  const PaddingCorrection& padding() const { return padding_; }
  bool dense() const { return dense_; }

  // Whether a pixel's counts stand as its channels do, without gaps behind those of a group.
  bool InOrder() const { return params_.groups == 1 || shape_.group_channels % kernel_.lanes == 0; }

  // The whole layer's, for counts.
  BconvJob CountJob() const {
    BconvJob job = {};
    job.params = &params_;
    job.shape = shape_;
    job.weights = weights_.as<void>();
    job.finish = Finish::kCounts;
    return job;
  }

  const Word* ImageOf(const Tensors& tensors, std::int64_t image) const {
    return tensors.input + image * shape_.in_h * shape_.in_w * shape_.in_words;
  }

 private:
  bool Fit(const ImageSize& size, std::string* error) final {
    static_cast<ImageSize&>(shape_) = size;
    const std::int64_t values = ValuesPerPixel();
    if (std::max(size.in_h, size.in_w) > kLargestSize || std::int64_t{size.in_h} * size.in_w > kLargestTotal / shape_.in_words ||
        std::int64_t{size.out_h} * size.out_w > kLargestTotal / values) {
      *error = "its input or output is too large";
      return false;
    }
    dense_ = SharesDense() && IsDense(params_, size.in_h, size.in_w);
    padding_.Resize(size);
    if (padding_.classes() > static_cast<std::size_t>(kLargestTotal / values)) {
      *error = "its filter has too many ways to stand out of its input";
      return false;
    }
    SetTables();
    return true;
  }

  std::size_t WorkerBytes() const final {
    const std::size_t bytes = dense_ ? kernel_.workspace_bytes(DenseParams(params_), DenseShape(shape_, DenseImages()))
                                     : kernel_.workspace_bytes(params_, shape_);
    return RoundUp(bytes, kCacheLine) + CountBytes();
  }

  // The larger of what a pixel has of counts and of constants.
  virtual std::int64_t ValuesPerPixel() const = 0;

  // Sets what depends on the size.
  virtual void SetTables() = 0;

  // Whether a dense layer's images may be counted together, and how many at a time.
  virtual bool SharesDense() const = 0;
  virtual int DenseImages() const = 0;

  // Of counts that a worker keeps at the beginning of its workspace, a multiple of the cache line.
  virtual std::size_t CountBytes() const = 0;

  virtual void RunDensePart(const Tensors& tensors, const DensePart& part, char* workspace) const = 0;

  // The rows [begin, end) of an image's output, by a worker.
  virtual void RunRows(const Tensors& tensors, int worker, std::int64_t image, int begin, int end, char* workspace) const = 0;

  const Params params_;
  const BconvKernel& kernel_;
  PaddingCorrection padding_;
  BconvShape shape_;
  AlignedBuffer weights_;
  bool dense_ = false;
};

}  // namespace fdabnn
