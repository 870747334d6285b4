// A fixed number of threads that work on one loop at a time.
#pragma once

namespace fdabnn {

class ThreadPool {
 public:
  // `threads` counts the calling thread; 1 starts none. Values below 1 count as 1. Where the system refuses a thread, there are fewer.
  explicit ThreadPool(int threads);
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
};

}  // namespace fdabnn
