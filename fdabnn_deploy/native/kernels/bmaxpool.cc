#include "kernels/bmaxpool.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace fdabnn {
namespace {

// Below this many input words a second thread costs more than it takes over.
constexpr std::size_t kWordsPerThread = 1 << 14;

std::string Refusal(const BmaxpoolParams& p) {
  if (std::min(p.kernel_h, p.kernel_w) < 1) return "a window of " + std::to_string(p.kernel_h) + " x " + std::to_string(p.kernel_w);
  if (std::min(p.stride_h, p.stride_w) < 1) return "strides " + std::to_string(p.stride_h) + ", " + std::to_string(p.stride_w);
  if (p.dilation_h != 1 || p.dilation_w != 1) return "its window is dilated";
  if (p.words < 1) return "an input of " + std::to_string(p.words) + " words a pixel";
  const char* padding = RefusePadding(p);
  return padding == nullptr ? "" : padding;
}

// Plain C++ at every level: it moves as much memory as it computes.
class BmaxpoolImpl : public Bmaxpool {
 public:
  explicit BmaxpoolImpl(const BmaxpoolParams& params) : Bmaxpool(params), params_(params) {}

  const char* Run(const BmaxpoolTensors& tensors, int batch, ThreadPool& pool, void*) const override {
    Job job = {*this, tensors, static_cast<std::size_t>(batch) * static_cast<std::size_t>(size().out_h), 1};
    const std::size_t words = job.rows * static_cast<std::size_t>(size().out_w) * static_cast<std::size_t>(params_.words) *
                              static_cast<std::size_t>(std::min(params_.kernel_h, size().in_h)) *
                              static_cast<std::size_t>(std::min(params_.kernel_w, size().in_w));
    const std::size_t most = std::min(job.rows, std::max<std::size_t>(words / kWordsPerThread, 1));
    job.threads = static_cast<int>(std::min(most, static_cast<std::size_t>(pool.threads())));
    pool.Run(job.threads, RunPart, &job);
    return nullptr;
  }

 private:
  struct Job {
    const BmaxpoolImpl& kernel;
    const BmaxpoolTensors& tensors;
    std::size_t rows;  // of the output, over the whole batch
    int threads;
  };

  bool Fit(const ImageSize&, std::string*) override { return true; }
  std::size_t WorkerBytes() const override { return 0; }

  static void RunPart(void* context, int index) {
    const Job& job = *static_cast<const Job*>(context);
    const std::size_t threads = static_cast<std::size_t>(job.threads);
    const std::size_t part = static_cast<std::size_t>(index);
    for (std::size_t row = job.rows * part / threads; row < job.rows * (part + 1) / threads; ++row) job.kernel.RunRow(job.tensors, row);
  }

  void RunRow(const BmaxpoolTensors& tensors, std::size_t row) const {
    const ImageSize& s = size();
    const std::size_t words = static_cast<std::size_t>(params_.words);
    const std::size_t image = row / static_cast<std::size_t>(s.out_h);
    const std::int64_t top = static_cast<std::int64_t>(row % static_cast<std::size_t>(s.out_h)) * params_.stride_h - s.pad_top;
    const std::int64_t y0 = std::max<std::int64_t>(top, 0);
    const std::int64_t y1 = std::min<std::int64_t>(top + params_.kernel_h, s.in_h);
    const Word* image_data = tensors.input + image * static_cast<std::size_t>(s.in_h) * static_cast<std::size_t>(s.in_w) * words;
    Word* out = tensors.output + row * static_cast<std::size_t>(s.out_w) * words;

    for (int x = 0; x < s.out_w; ++x, out += words) {
      const std::int64_t left = static_cast<std::int64_t>(x) * params_.stride_w - s.pad_left;
      const std::int64_t x0 = std::max<std::int64_t>(left, 0);
      const std::int64_t x1 = std::min<std::int64_t>(left + params_.kernel_w, s.in_w);
      std::fill(out, out + words, ~Word{0});
      for (std::int64_t y = y0; y < y1; ++y) {
        const Word* in = image_data + static_cast<std::size_t>(y * s.in_w + x0) * words;
        for (std::int64_t i = x0; i < x1; ++i, in += words) {
          for (std::size_t w = 0; w < words; ++w) out[w] &= in[w];
        }
      }
    }
  }

  const BmaxpoolParams params_;
};

}  // namespace

std::unique_ptr<Bmaxpool> Bmaxpool::Create(const BmaxpoolParams& params, std::string* error) {
  const std::string refusal = Refusal(params);
  if (refusal.empty()) return std::make_unique<BmaxpoolImpl>(params);
  *error = refusal;
  return nullptr;
}

}  // namespace fdabnn
