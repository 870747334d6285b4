// Shared by the drivers of binary convolutions, whatever becomes of the counts: counted_conv.h, dense.h and their users.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>

#include "kernels/bconv_kernel.h"
#include "kernels/level.h"
#include "kernels/thread_pool.h"

namespace fdabnn {

constexpr std::int64_t kLargestSize = 1 << 24;   // of one dimension
constexpr std::int64_t kLargestTaps = 1 << 29;   // 2p has to fit into an int32
constexpr std::int64_t kLargestTotal = 1 << 30;  // values of a tensor or table
constexpr std::int64_t kLeastMacs = 2 << 20;     // binary multiply-accumulates of a part, so that preparing it is little beside them
constexpr int kPartsPerThread = 4;

// A level's kernel for a convolution that is not refused; null and the reason where this build or processor has none.
const BconvKernel* KernelFor(Level level, const BinaryConvParams& p, std::string* error);

inline bool Between(std::int64_t value, std::int64_t low, std::int64_t high) { return low <= value && value <= high; }

inline std::int64_t TapsOf(const BinaryConvParams& p) { return std::int64_t{p.kernel_h} * p.kernel_w * (p.channels_in / p.groups); }

// Null, or why sizes, groups, strides, padding or the filter are refused.
const char* RefuseConv(const BinaryConvParams& p, const Word* filter);

// Whether packed signs [rows, WordsFor(channels)] have nothing but zeros behind the last channel. Some levels would count what is there,
// some not, so filters and inputs with more are refused.
bool OnlyChannels(const Word* words, std::size_t rows, int channels);
constexpr char kInputBits[] = "its input has bits behind its last channel, which have to be 0";

// Calls rows(worker, image, begin, end) for all rows of a batch's output, from the threads of the pool; worker < pool.threads(). Threads
// take the next part when they are done with one, because their processors may differ in speed or serve others. Parts are pairs of rows:
// some kernels work on two at a time.
template <class Rows>
void RunParts(const BinaryConvParams& p, const BconvShape& s, int batch, ThreadPool& pool, const Rows& rows) {
  struct Work {
    const Rows& rows;
    int height;
    std::int64_t all, parts;
    std::atomic<std::int64_t> next{0};

    void Do(int worker) {
      for (std::int64_t part = next++; part < parts; part = next++) {
        const std::int64_t pairs = (all + 1) / 2, end = std::min(all, 2 * (pairs * (part + 1) / parts));
        for (std::int64_t row = 2 * (pairs * part / parts); row < end;) {
          const int first = static_cast<int>(row % height);
          const int last = static_cast<int>(std::min<std::int64_t>(height, first + end - row));
          rows(worker, row / height, first, last);
          row += last - first;
        }
      }
    }
  };
  const std::int64_t all = std::int64_t{batch} * s.out_h, threads = std::min<std::int64_t>(pool.threads(), all);
  // Not a product of all sizes: that may not fit.
  const std::int64_t worth = all * s.out_w * p.channels_out / std::max<std::int64_t>(kLeastMacs / TapsOf(p), 1);
  const std::int64_t parts = threads > 1 ? std::min((all + 1) / 2, std::clamp(worth, threads, threads * kPartsPerThread)) : 1;
  Work work{rows, s.out_h, all, parts};
  pool.Run(static_cast<int>(threads), [](void* context, int index) { static_cast<Work*>(context)->Do(index); }, &work);
}

}  // namespace fdabnn
