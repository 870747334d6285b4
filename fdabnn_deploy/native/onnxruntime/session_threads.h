// The threads of a session, for the kernels. ONNX Runtime runs loops on them and does not say how many there are.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "kernels/thread_pool.h"
#include "onnxruntime/node.h"

namespace fdabnn::ort {

// Of one kernel. A loop has twice as many parts as threads have been seen to take some, so that the number is found within a few calls
// and one thread does not work through the parts of many.
class SessionThreads {
 public:
  static constexpr int kMost = 128;

  // Those that loops of the next call are for.
  int count() const { return std::min(2 * seen_.load(), kMost); }

  // work(pool), with a pool of so many threads.
  template <class Work>
  void Run(const Call& call, int count, const Work& work) {
    Loop loop;
    loop.threads = this;
    loop.call = &call;
    ThreadPool pool(count, RunLoop, &loop);
    work(pool);
  }

 private:
  struct Loop {
    SessionThreads* threads = nullptr;
    const Call* call = nullptr;
    void (*body)(void* context, int index) = nullptr;
    void* context = nullptr;
    std::vector<std::thread::id> workers;
  };

  static void RunLoop(void* scheduler, int count, void (*body)(void* context, int index), void* context) {
    Loop& loop = *static_cast<Loop*>(scheduler);
    loop.body = body;
    loop.context = context;
    loop.workers.assign(static_cast<std::size_t>(count), {});
    const OrtApi& api = loop.call->api();
    Check(api, api.KernelContext_ParallelFor(
                   loop.call->context(),
                   [](void* data, std::size_t index) {
                     Loop& l = *static_cast<Loop*>(data);
                     l.workers[index] = std::this_thread::get_id();
                     l.body(l.context, static_cast<int>(index));
                   },
                   static_cast<std::size_t>(count), static_cast<std::size_t>(count), &loop));
    std::sort(loop.workers.begin(), loop.workers.end());
    const int found = static_cast<int>(std::unique(loop.workers.begin(), loop.workers.end()) - loop.workers.begin());
    int seen = loop.threads->seen_;
    while (seen < found && !loop.threads->seen_.compare_exchange_weak(seen, found)) {
    }
  }

  std::atomic<int> seen_{1};
};

}  // namespace fdabnn::ort
