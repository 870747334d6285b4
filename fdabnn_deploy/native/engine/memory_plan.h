// One block of memory for all tensors of a plan: tensors whose lives do not overlap may share bytes.
#pragma once

#include <cstddef>
#include <vector>

namespace fdabnn::engine {

struct Lifetime {
  std::size_t bytes = 0;
  int first = 0;  // step of the plan that writes it
  int last = 0;   // step that reads it last
};

struct MemoryPlan {
  std::vector<std::size_t> offsets;  // by tensor, multiples of a cache line
  std::size_t bytes = 0;
};

// The largest tensors first, each at the lowest place that is free during its life.
// Source: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, greedy by size.
MemoryPlan PlanMemory(const std::vector<Lifetime>& tensors);

}  // namespace fdabnn::engine
