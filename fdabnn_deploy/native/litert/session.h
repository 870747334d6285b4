// What the delegate's operators share within one interpreter: they run one after another.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/aligned_buffer.h"
#include "kernels/level.h"
#include "kernels/thread_pool.h"

namespace fdabnn {

class Session {
 public:
  // `threads` overrides what the interpreter recommends; 0 does not.
  Session(Level level, int threads) : level_(level), threads_(threads) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Level level() const { return level_; }

  // The threads; they are started anew where another number is recommended. TensorFlow Lite says -1 for its default, which is 1.
  ThreadPool& Pool(int recommended);

  // Scratch memory, aligned to 64 bytes, until the next call.
  void* Workspace(std::size_t bytes);

 private:
  const Level level_;
  const int threads_;
  int asked_ = 0;
  std::unique_ptr<ThreadPool> pool_;
  AlignedBuffer workspace_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace fdabnn
