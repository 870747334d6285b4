// A fixed number of threads that work on one loop at a time: its own, or those of the runtime around it.
#pragma once

namespace fdabnn {

class ThreadPool {
 public:
  // `threads` counts the calling thread; 1 starts none. Values below 1 count as 1. Where the system refuses a thread, there are fewer.
  explicit ThreadPool(int threads);
  // Threads of somebody else: parallel(scheduler, ...) does what Run does. `threads`: the most that are of use; fewer may be there.
  using Parallel = void (*)(void* scheduler, int count, void (*body)(void* context, int index), void* context);
  ThreadPool(int threads, Parallel parallel, void* scheduler)
      : threads_(threads < 1 ? 1 : threads), shared_(nullptr), parallel_(parallel), scheduler_(scheduler) {}
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls body(context, i) for i in [0, count), count <= threads(), at the same time as far as the threads are free, in the caller's too;
  // returns when all have ended. One call at a time.
  void Run(int count, void (*body)(void* context, int index), void* context);

 private:
  struct Shared;
  int threads_;
  Shared* shared_;
  Parallel parallel_ = nullptr;
  void* scheduler_ = nullptr;
};

}  // namespace fdabnn
