// A graph that runs as one plan: groups of nodes one after another, in memory of its own.
#pragma once

#include <memory>
#include <vector>

#include "engine/graph.h"
#include "engine/shapes.h"
#include "kernels/level.h"
#include "kernels/thread_pool.h"

namespace fdabnn::engine {

class Network {
 public:
  // Takes a graph over. Kernels are made at the first Prepare.
  static std::unique_ptr<Network> Create(Graph graph, Level level);

  virtual ~Network() = default;
  Network() = default;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // Plans for inputs of these shapes and at most so many threads. Has to be called before the first Run, and again for other shapes or
  // more threads. Throws Refusal, then nothing may be run.
  virtual void Prepare(const std::vector<Shape>& inputs, int threads) = 0;

  // Of the outputs.
  virtual const std::vector<Shape>& OutputShapes() const = 0;

  virtual int threads() const = 0;

  // Allocates nothing. One run at a time. inputs and outputs: dense, in the graph's order. Throws Refusal where an input is refused.
  virtual void Run(const void* const* inputs, void* const* outputs, ThreadPool& pool) = 0;
};

}  // namespace fdabnn::engine
