#include <algorithm>
#include <utility>

#include "engine/step.h"
#include "kernels/aligned_buffer.h"

namespace fdabnn::engine {
namespace {

constexpr std::size_t kValuesPerThread = 1 << 13;  // fewer cost more than they save

}  // namespace

Tail::Tail(TailProgram program, const Group& group, int head_value, bool head_tensor, int sink_rows)
    : tail_(std::move(program)),
      shape_(group.shape),
      head_value_(head_value),
      head_tensor_(head_tensor),
      sink_rows_(sink_rows),
      scratches_(static_cast<std::size_t>(tail_.scratches)) {}

std::size_t Tail::RowsBytes() const {
  if (head_tensor_ || head_value_ < 0) return 0;
  return RoundUp(sizeof(float) * static_cast<std::size_t>(sink_rows_) * static_cast<std::size_t>(shape_.w) * Channels(), kCacheLine);
}

void Tail::SetWorkers(int workers) {
  places_.assign(static_cast<std::size_t>(workers), std::vector<float*>(tail_.places.size()));
  signs_.assign(static_cast<std::size_t>(workers), std::vector<Word*>(tail_.places.size()));
}

float* Tail::Rows(int worker, std::int64_t image, int first) const {
  if (!head_tensor_) return reinterpret_cast<float*>(WorkerSpace(worker));
  const std::size_t row = static_cast<std::size_t>(image) * static_cast<std::size_t>(shape_.h) + static_cast<std::size_t>(first);
  return static_cast<float*>((*tensors_)[static_cast<std::size_t>(head_value_)]) + row * static_cast<std::size_t>(shape_.w) * Channels();
}

void Tail::Take(int worker, std::int64_t image, int first, int rows) const {
  const auto width = static_cast<std::size_t>(shape_.w);
  const std::size_t row = static_cast<std::size_t>(image) * static_cast<std::size_t>(shape_.h) + static_cast<std::size_t>(first);
  RunPixels(worker, row * width, static_cast<std::size_t>(rows) * width, Rows(worker, image, first));
}

void Tail::RunAll(ThreadPool& pool) const {
  const std::size_t least = std::max<std::size_t>(kValuesPerThread / Channels(), 1);
  ForParts(pool, shape_.pixels(), least,
           [this](int worker, std::size_t begin, std::size_t end) { RunPixels(worker, begin, end - begin, nullptr); });
}

// head: the first of the pixels, where the head's rows are no tensor.
void Tail::RunPixels(int worker, std::size_t first, std::size_t count, float* head) const {
  std::vector<float*>& places = places_[static_cast<std::size_t>(worker)];
  std::vector<Word*>& signs = signs_[static_cast<std::size_t>(worker)];
  const std::size_t chunk = tail_.program.Chunk(), words = static_cast<std::size_t>(WordsFor(shape_.c));
  auto* scratch = reinterpret_cast<float*>(WorkerSpace(worker) + RowsBytes());
  for (std::size_t done = 0; done < count; done += chunk) {
    const std::size_t pixel = first + done;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const TailProgram::Place& place = tail_.places[i];
      if (static_cast<int>(i) == tail_.head_place) {
        places[i] = head + done * Channels();
      } else if (place.scratch >= 0) {
        places[i] = scratch + static_cast<std::size_t>(place.scratch) * chunk * Channels();
      } else {
        void* tensor = (*tensors_)[static_cast<std::size_t>(place.value)];
        if (place.signs) {
          signs[i] = static_cast<Word*>(tensor) + pixel * words;
        } else {
          places[i] = static_cast<float*>(tensor) + pixel * Channels();
        }
      }
    }
    tail_.program.Run(places.data(), signs.data(), std::min(chunk, count - done));
  }
}

}  // namespace fdabnn::engine
