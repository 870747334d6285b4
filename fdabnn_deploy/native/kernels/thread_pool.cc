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

constexpr std::uint64_t kMostParts = 0xffff;

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
  // The number of the call, the count of its parts and the next one that nobody has taken, in 32, 16 and 16 bits. Who takes a part has
  // seen this call's body and context, and they stay until all parts are finished.
  std::atomic<std::uint64_t> call{0};
  std::atomic<int> unfinished{0};
  std::atomic<bool> stop{false};
  void (*body)(void* context, int index) = nullptr;
  void* context = nullptr;
  bool patient = true;
  Gate work;
  Gate done;
  std::vector<std::thread> workers;

  static bool HasParts(std::uint64_t call) { return (call & kMostParts) < (call >> 16 & kMostParts); }

  void DoParts() {
    std::uint64_t seen = call.load();
    while (HasParts(seen)) {
      if (!call.compare_exchange_weak(seen, seen + 1)) continue;
      body(context, static_cast<int>(seen & kMostParts));
      if (unfinished.fetch_sub(1) == 1) done.Notify();
      seen = call.load();
    }
  }

  void Work() {
    while (!stop) {
      work.Wait(patient, [this] { return stop || HasParts(call); });
      DoParts();
    }
  }
};

ThreadPool::ThreadPool(int threads) : threads_(1), shared_(nullptr) {
  if (threads <= 1) return;
  if (threads > static_cast<int>(kMostParts)) threads = static_cast<int>(kMostParts);
  shared_ = new Shared;
  // More threads than processors: one that waits awake would keep a working one from running.
  shared_->patient = threads <= UsableProcessors();
  try {
    shared_->workers.reserve(static_cast<std::size_t>(threads) - 1);
    for (; threads_ < threads; ++threads_) shared_->workers.emplace_back(&Shared::Work, shared_);
  } catch (const std::exception&) {  // fewer, then
  }
}

ThreadPool::~ThreadPool() {
  if (shared_ == nullptr) return;
  shared_->stop = true;
  shared_->work.Notify();
  for (std::thread& worker : shared_->workers) worker.join();
  delete shared_;
}

void ThreadPool::Run(int count, void (*body)(void* context, int index), void* context) {
  if (count <= 1) {
    if (count == 1) body(context, 0);
    return;
  }
  if (parallel_ != nullptr) {
    parallel_(scheduler_, count, body, context);
    return;
  }
  shared_->body = body;
  shared_->context = context;
  shared_->unfinished = count - 1;
  const std::uint64_t number = (shared_->call.load() >> 32) + 1;
  shared_->call = number << 32 | static_cast<std::uint64_t>(count) << 16 | 1;
  shared_->work.Notify();
  body(context, 0);
  // A processor that is busy with something else would let the others start late: what they have not begun is done here.
  shared_->DoParts();
  if (shared_->unfinished == 0) return;
  shared_->done.Wait(shared_->patient, [this] { return shared_->unfinished == 0; });
}

}  // namespace fdabnn
