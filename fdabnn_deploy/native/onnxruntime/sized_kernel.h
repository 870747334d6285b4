// What operators need that move windows over images, because calls may come at the same time: a kernel that stays at one size for the
// length of a call, memory, and threads.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "onnxruntime/node.h"
#include "onnxruntime/session_threads.h"

namespace fdabnn::ort {

// Memory that calls borrow, because a new page costs more than most layers.
class Workspaces {
 public:
  struct Space {
    AlignedBuffer buffer;
    std::size_t bytes = 0;
  };

  Space Take(std::size_t bytes) {
    Space space;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!free_.empty()) {
        space = std::move(free_.back());
        free_.pop_back();
      }
    }
    if (space.bytes < bytes) space = {AlignedBuffer(bytes), bytes};
    return space;
  }

  void Return(Space space) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(space));
  }

 private:
  std::mutex mutex_;
  std::vector<Space> free_;
};

// An ImageKernel for calls of any size.
template <class K>
class SizedKernel {
 public:
  explicit SizedKernel(std::unique_ptr<K> kernel) : kernel_(std::move(kernel)) {}

  // Runs the kernel at a size. gather(out_height, out_width) gives what it works on. Throws Refusal.
  template <class Gather>
  void Run(const Call& call, std::int64_t batch, std::int64_t height, std::int64_t width, const Gather& gather) {
    const auto lock = Resize(static_cast<int>(height), static_cast<int>(width));
    const typename K::CallTensors tensors = gather(std::int64_t{kernel_->out_height()}, std::int64_t{kernel_->out_width()});
    const int threads = threads_.count();
    Workspaces::Space space = workspaces_.Take(kernel_->WorkspaceBytes(threads));
    const char* reason = nullptr;
    threads_.Run(call, threads,
                 [&](ThreadPool& pool) { reason = kernel_->Run(tensors, static_cast<int>(batch), pool, space.buffer.as<void>()); });
    workspaces_.Return(std::move(space));
    if (reason != nullptr) throw Refusal(reason);
  }

 private:
  // Keeps the kernel at this size while the lock is held; calls with the same size run at the same time. Throws Refusal.
  std::shared_lock<std::shared_mutex> Resize(int height, int width) {
    for (;;) {
      std::shared_lock<std::shared_mutex> shared(mutex_);
      if (height_ == height && width_ == width) return shared;
      shared.unlock();
      const std::unique_lock<std::shared_mutex> alone(mutex_);
      if (height_ == height && width_ == width) continue;
      std::string reason;
      height_ = width_ = 0;
      if (!kernel_->Resize(height, width, &reason)) throw Refusal(reason);
      height_ = height;
      width_ = width;
    }
  }

  const std::unique_ptr<K> kernel_;
  std::shared_mutex mutex_;
  int height_ = 0, width_ = 0;
  Workspaces workspaces_;
  SessionThreads threads_;
};

// The kernel that K::Create makes of these arguments. Throws Refusal.
template <class K, class... Arguments>
std::unique_ptr<K> CreateKernel(const Arguments&... arguments) {
  std::string reason;
  std::unique_ptr<K> kernel = K::Create(arguments..., &reason);
  if (kernel == nullptr) throw Refusal(reason);
  return kernel;
}

}  // namespace fdabnn::ort
