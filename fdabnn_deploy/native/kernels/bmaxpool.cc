#include "kernels/bmaxpool.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/padding.h"

namespace fdabnn {
namespace {

// Below this many input words a second thread costs more than it takes over.
constexpr std::size_t kWordsPerThread = 1 << 14;

struct Job {
  BmaxpoolParams params;
  BmaxpoolSize size;
  const Word* input;
  Word* output;
  std::int64_t pad_h, pad_w;
  std::size_t rows;  // of the output, over the whole batch
  int threads;
};

void PoolRow(const Job& job, std::size_t row) {
  const BmaxpoolSize& size = job.size;
  const std::size_t words = static_cast<std::size_t>(size.words);
  const std::size_t image = row / static_cast<std::size_t>(size.out_height);
  const std::int64_t top = static_cast<std::int64_t>(row % static_cast<std::size_t>(size.out_height)) * job.params.stride_h - job.pad_h;
  const std::int64_t y0 = std::max<std::int64_t>(top, 0);
  const std::int64_t y1 = std::min<std::int64_t>(top + job.params.kernel_h, size.in_height);
  const Word* image_data = job.input + image * static_cast<std::size_t>(size.in_height) * static_cast<std::size_t>(size.in_width) * words;
  Word* out = job.output + row * static_cast<std::size_t>(size.out_width) * words;

  for (int x = 0; x < size.out_width; ++x, out += words) {
    const std::int64_t left = static_cast<std::int64_t>(x) * job.params.stride_w - job.pad_w;
    const std::int64_t x0 = std::max<std::int64_t>(left, 0);
    const std::int64_t x1 = std::min<std::int64_t>(left + job.params.kernel_w, size.in_width);
    std::fill(out, out + words, ~Word{0});
    for (std::int64_t y = y0; y < y1; ++y) {
      const Word* in = image_data + static_cast<std::size_t>(y * size.in_width + x0) * words;
      for (std::int64_t i = x0; i < x1; ++i, in += words) {
        for (std::size_t w = 0; w < words; ++w) out[w] &= in[w];
      }
    }
  }
}

void PoolPart(void* context, int index) {
  const Job& job = *static_cast<const Job*>(context);
  const std::size_t threads = static_cast<std::size_t>(job.threads);
  const std::size_t part = static_cast<std::size_t>(index);
  for (std::size_t row = job.rows * part / threads; row < job.rows * (part + 1) / threads; ++row) PoolRow(job, row);
}

}  // namespace

bool ResizeBmaxpool(const BmaxpoolParams& params, BmaxpoolSize* size, std::string* error) {
  if (params.kernel_h < 1 || params.kernel_w < 1) {
    *error = "a window of " + std::to_string(params.kernel_h) + " x " + std::to_string(params.kernel_w);
  } else if (params.stride_h < 1 || params.stride_w < 1) {
    *error = "strides " + std::to_string(params.stride_h) + ", " + std::to_string(params.stride_w);
  } else if (size->in_height < 1 || size->in_width < 1 || size->words < 1) {
    *error = "an input of " + std::to_string(size->in_height) + " x " + std::to_string(size->in_width) + " x " +
             std::to_string(size->words) + " words";
  } else {
    const std::int64_t height = PadAxis(size->in_height, params.kernel_h, params.stride_h, 1, params.same_padding).out;
    const std::int64_t width = PadAxis(size->in_width, params.kernel_w, params.stride_w, 1, params.same_padding).out;
    if (height >= 1 && width >= 1) {
      size->out_height = static_cast<int>(height);
      size->out_width = static_cast<int>(width);
      return true;
    }
    *error = "a window of " + std::to_string(params.kernel_h) + " x " + std::to_string(params.kernel_w) + " on an input of " +
             std::to_string(size->in_height) + " x " + std::to_string(size->in_width);
  }
  return false;
}

// Plain C++ at every level: it moves as much memory as it computes.
void RunBmaxpool(const BmaxpoolParams& params, const BmaxpoolSize& size, const Word* input, int batch, Word* output, Level /*level*/,
                 ThreadPool& pool) {
  Job job = {params, size, input, output, 0, 0, static_cast<std::size_t>(batch) * static_cast<std::size_t>(size.out_height), 1};
  job.pad_h = PadAxis(size.in_height, params.kernel_h, params.stride_h, 1, params.same_padding).before;
  job.pad_w = PadAxis(size.in_width, params.kernel_w, params.stride_w, 1, params.same_padding).before;
  const std::size_t words = job.rows * static_cast<std::size_t>(size.out_width) * static_cast<std::size_t>(size.words) *
                            static_cast<std::size_t>(std::min(params.kernel_h, size.in_height)) *
                            static_cast<std::size_t>(std::min(params.kernel_w, size.in_width));
  const std::size_t most = std::min(job.rows, std::max<std::size_t>(words / kWordsPerThread, 1));
  job.threads = static_cast<int>(std::min(most, static_cast<std::size_t>(pool.threads())));
  pool.Run(job.threads, PoolPart, &job);
}

}  // namespace fdabnn
