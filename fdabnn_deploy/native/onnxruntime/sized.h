// What operators need because calls may come at the same time: a kernel that stays at one size for the length of a call, and memory.
#pragma once

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "onnxruntime/node.h"

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

// A kernel with Resize(height, width, &reason), which no call may see while it goes on.
template <class T>
class Sized {
 public:
  explicit Sized(std::unique_ptr<T> kernel) : kernel_(std::move(kernel)) {}

  const T* operator->() const { return kernel_.get(); }

  // Keeps the kernel at this size while the lock is held; calls with the same size run at the same time. Throws Refusal.
  std::shared_lock<std::shared_mutex> Prepare(int height, int width) {
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

 private:
  const std::unique_ptr<T> kernel_;
  std::shared_mutex mutex_;
  int height_ = 0, width_ = 0;
};

}  // namespace fdabnn::ort
