// Dense layers: images of one pixel under a filter of one tap. The images of a batch are a row of pixels, which share what is read of
// the filter; where they are fewer than keep the threads busy, the threads share the output channels.
#pragma once

#include "kernels/bconv_driver.h"

namespace fdabnn {

constexpr int kDenseChannels = 64;  // every kernel's blocks begin at multiples of it

struct DensePart {
  std::int64_t image;
  int images;
  int channel;
  int channels;  // not all of them: of one image
};

inline bool IsDense(const BinaryConvParams& p, int in_height, int in_width) {
  return p.groups == 1 && p.kernel_h == 1 && p.kernel_w == 1 && in_height == 1 && in_width == 1;
}

// What a dense layer is to a kernel, for its workspace as for its jobs: neighbours in a row are images, whatever the layer's stride.
BinaryConvParams DenseParams(const BinaryConvParams& layer);

// What `images` of a dense layer are to a kernel; one image's shape becomes it.
BconvShape DenseShape(const BconvShape& one, int images);

// The job of a part; its parameters go to `params`. whole: that of one image. Constants begin at the part's first channel.
BconvJob DenseJob(const BconvJob& whole, const BconvKernel& kernel, const DensePart& part, BinaryConvParams* params);

// Calls run(worker, part) for parts that make up all channels of a batch, from the threads of the pool; worker < pool.threads().
// most: images of a part.
template <class Run>
void RunDense(const BinaryConvParams& p, int batch, int most, ThreadPool& pool, const Run& run) {
  struct Work {
    const Run& run;
    int batch, most, channels;
    std::int64_t parts;
    bool shared;  // channels are, else images
    std::atomic<std::int64_t> next{0};

    void Do(int worker) {
      const std::int64_t all = shared ? (channels + kDenseChannels - 1) / kDenseChannels : batch;
      for (std::int64_t part = next++; part < parts; part = next++) {
        const int begin = static_cast<int>(all * part / parts), end = static_cast<int>(all * (part + 1) / parts);
        if (shared) {
          const int first = begin * kDenseChannels, last = std::min(end * kDenseChannels, channels);
          for (int image = 0; image < batch; ++image) run(worker, DensePart{image, 1, first, last - first});
        } else {
          for (int image = begin; image < end; image += most) run(worker, DensePart{image, std::min(most, end - image), 0, channels});
        }
      }
    }
  };
  const std::int64_t threads = pool.threads();
  const auto worth = static_cast<std::int64_t>(std::min(1.0 * batch * TapsOf(p) * p.channels_out / kLeastMacs, 1e9));
  const bool shared = threads > 1 && batch < 2 * threads;
  const std::int64_t most_parts = shared ? (p.channels_out + kDenseChannels - 1) / kDenseChannels : batch;
  const std::int64_t parts = threads > 1 ? std::min(most_parts, std::clamp<std::int64_t>(worth, 1, threads * kPartsPerThread)) : 1;
  Work work{run, batch, most, p.channels_out, parts, shared && parts > 1};
  pool.Run(static_cast<int>(std::min(threads, parts)), [](void* context, int index) { static_cast<Work*>(context)->Do(index); }, &work);
}

}  // namespace fdabnn
