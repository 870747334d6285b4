#include "kernels/thread_pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace fdabnn {
namespace {

// Waking a sleeping thread takes as long as half a layer, so whoever waits for the next layer or the last thread looks on for this long.
constexpr std::chrono::microseconds kPatience{50};

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int UsableProcessors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

// Waiting for a condition that another thread brings about: first awake, then asleep. The sequentially consistent order of "count
// myself as asleep, then look" here and "change, then look who sleeps" there leaves nobody asleep.
class Gate {
 public:
  template <class Condition>
  void Wait(bool patient, Condition condition) {
    if (patient) {
      const auto end = std::chrono::steady_clock::now() + kPatience;
      do {
        for (int i = 0; i < 16; ++i) {
          if (condition()) return;
          Pause();
        }
      } while (std::chrono::steady_clock::now() < end);
    }
    std::unique_lock<std::mutex> lock(mutex_);
    ++asleep_;
    wake_.wait(lock, condition);
    --asleep_;
  }

  void Notify() {
    if (asleep_ == 0) return;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    wake_.notify_all();
  }

 private:
  std::atomic<int> asleep_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace

struct ThreadPool::Shared {
  // A ticket carries the number of the call and, below, its count, so that a thread without a part reads nothing else: the next call may
  // be writing it. 0xffff is the order to end.
  static constexpr std::uint64_t kCountMask = 0xffff;
  static constexpr std::uint64_t kStop = kCountMask;

  std::atomic<std::uint64_t> ticket{0};
  std::atomic<int> unfinished{0};
  void (*body)(void* context, int index) = nullptr;
  void* context = nullptr;
  bool patient = true;
  Gate work;
  Gate done;
  std::vector<std::thread> workers;

  void Work(int index) {
    std::uint64_t seen = 0;
    for (;;) {
      work.Wait(patient, [&] { return ticket.load() != seen; });
      seen = ticket.load();
      const std::uint64_t count = seen & kCountMask;
      if (count == kStop) return;
      if (static_cast<std::uint64_t>(index) >= count) continue;
      body(context, index);
      if (unfinished.fetch_sub(1) == 1) done.Notify();
    }
  }

  void Issue(std::uint64_t count) {
    ticket.store((ticket.load() & ~kCountMask) + kCountMask + 1 + count);
    work.Notify();
  }
};

ThreadPool::ThreadPool(int threads) : threads_(1), shared_(nullptr) {
  if (threads <= 1) return;
  constexpr int kMost = static_cast<int>(Shared::kCountMask) - 1;
  if (threads > kMost) threads = kMost;
  shared_ = new Shared;
  // More threads than processors: one that waits awake would keep a working one from running.
  shared_->patient = threads <= UsableProcessors();
  try {
    shared_->workers.reserve(static_cast<std::size_t>(threads) - 1);
    for (; threads_ < threads; ++threads_) shared_->workers.emplace_back(&Shared::Work, shared_, threads_);
  } catch (const std::exception&) {  // fewer, then
  }
}

ThreadPool::~ThreadPool() {
  if (shared_ == nullptr) return;
  shared_->Issue(Shared::kStop);
  for (std::thread& worker : shared_->workers) worker.join();
  delete shared_;
}

void ThreadPool::Run(int count, void (*body)(void* context, int index), void* context) {
  if (count <= 1) {
    if (count == 1) body(context, 0);
    return;
  }
  shared_->body = body;
  shared_->context = context;
  shared_->unfinished = count - 1;
  shared_->Issue(static_cast<std::uint64_t>(count));
  body(context, 0);
  if (shared_->unfinished == 0) return;
  shared_->done.Wait(shared_->patient, [this] { return shared_->unfinished == 0; });
}

}  // namespace fdabnn
