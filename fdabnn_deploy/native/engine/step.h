// A group of nodes, planned: what an executor calls one after another.
#pragma once

#include <memory>
#include <vector>

#include "engine/graph.h"
#include "engine/groups.h"
#include "engine/tail_program.h"
#include "kernels/level.h"
#include "kernels/row_sink.h"
#include "kernels/thread_pool.h"

namespace fdabnn::engine {

// Where values are during a run: by value, null for those that are no tensors.
using Tensors = std::vector<void*>;

// The tools of a step beside its tensors.
struct Scratch {
  void* workspace = nullptr;  // of kernels
  char* workers = nullptr;    // of heads and tails: a part per worker
  std::size_t worker_bytes = 0;
};

// Runs the program behind a head on rows that it gets, and on whole tensors.
class Tail final : public RowSink {
 public:
  // head_tensor: whether the head's rows are a tensor. sink_rows: that the head gives at a time.
  Tail(TailProgram program, const Group& group, int head_value, bool head_tensor, int sink_rows);

  bool empty() const { return tail_.program.empty(); }
  std::size_t WorkerBytes() const { return RowsBytes() + scratches_ * tail_.program.Chunk() * Channels() * sizeof(float); }

  // Makes room for so many workers.
  void SetWorkers(int workers);

  // Of a run.
  void Begin(const Tensors& tensors, const Scratch& scratch) { tensors_ = &tensors, scratch_ = scratch; }

  float* Rows(int worker, std::int64_t image, int first) const override;
  void Take(int worker, std::int64_t image, int first, int rows) const override;

  // All pixels, of tensors only.
  void RunAll(ThreadPool& pool) const;

 private:
  std::size_t Channels() const { return static_cast<std::size_t>(shape_.c); }
  std::size_t RowsBytes() const;
  char* WorkerSpace(int worker) const { return scratch_.workers + static_cast<std::size_t>(worker) * scratch_.worker_bytes; }
  void RunPixels(int worker, std::size_t first, std::size_t count, float* head) const;

  const TailProgram tail_;
  const Shape shape_;
  const int head_value_;
  const bool head_tensor_;
  const int sink_rows_;
  const std::size_t scratches_;
  const Tensors* tensors_ = nullptr;
  Scratch scratch_;
  // By worker: the program's places.
  mutable std::vector<std::vector<float*>> places_;
  mutable std::vector<std::vector<Word*>> signs_;
};

// The part of the plan around a step that it needs.
struct StepContext {
  const Graph& graph;
  const std::vector<Shape>& shapes;  // by value
  const std::vector<bool>& tensors;  // likewise: whether it is one
  Level level;
};

class Step {
 public:
  Step(const StepContext& context, const Group& group, int sink_rows);
  virtual ~Step() = default;

  // Bytes of scratch memory that kernels want together, and that each worker wants.
  virtual std::size_t WorkspaceBytes(int threads) const;
  std::size_t WorkerBytes() const { return tail_.WorkerBytes(); }
  void SetWorkers(int workers) { tail_.SetWorkers(workers); }

  // Throws Refusal.
  void Run(const Tensors& tensors, const Scratch& scratch, ThreadPool& pool) {
    tail_.Begin(tensors, scratch);
    RunHead(tensors, scratch, pool);
  }

 protected:
  // Here: of a group without a head.
  virtual void RunHead(const Tensors& tensors, const Scratch& scratch, ThreadPool& pool);

  Tail& tail() { return tail_; }

 private:
  Tail tail_;
};

// Heads that are kernels, which outlive their steps. `whole`: the output is a tensor, on which the tail runs afterwards.
std::unique_ptr<Step> MakeBinaryConvStep(const StepContext& context, const Group& group, const Bconv& kernel, bool whole);
std::unique_ptr<Step> MakeFloatConvStep(const StepContext& context, const Group& group, const ConvSum& kernel);

// All others.
std::unique_ptr<Step> MakeRowStep(const StepContext& context, const Group& group);

// Calls body(worker, begin, end) for parts of [0, count), at most one per thread, none smaller than `least`.
template <class Body>
void ForParts(ThreadPool& pool, std::size_t count, std::size_t least, const Body& body) {
  struct Job {
    const Body& body;
    std::size_t count, parts;
  };
  const std::size_t most = count / (least > 0 ? least : 1), threads = static_cast<std::size_t>(pool.threads());
  Job job{body, count, most < 1 ? 1 : most < threads ? most : threads};
  pool.Run(
      static_cast<int>(job.parts),
      [](void* context, int index) {
        const Job& j = *static_cast<const Job*>(context);
        const auto part = static_cast<std::size_t>(index);
        j.body(index, j.count * part / j.parts, j.count * (part + 1) / j.parts);
      },
      &job);
}

}  // namespace fdabnn::engine
