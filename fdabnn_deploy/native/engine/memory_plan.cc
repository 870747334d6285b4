#include "engine/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "kernels/aligned_buffer.h"

namespace fdabnn::engine {

MemoryPlan PlanMemory(const std::vector<Lifetime>& tensors) {
  std::vector<std::size_t> order(tensors.size()), placed;
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return tensors[a].bytes > tensors[b].bytes; });
  MemoryPlan plan;
  plan.offsets.resize(tensors.size());
  for (const std::size_t tensor : order) {
    const Lifetime& life = tensors[tensor];
    std::size_t offset = 0;
    for (const std::size_t other : placed) {  // by offset
      const Lifetime& taken = tensors[other];
      if (taken.last < life.first || life.last < taken.first) continue;
      if (plan.offsets[other] >= offset + life.bytes) break;
      offset = std::max(offset, RoundUp(plan.offsets[other] + taken.bytes, kCacheLine));
    }
    plan.offsets[tensor] = offset;
    plan.bytes = std::max(plan.bytes, RoundUp(offset + life.bytes, kCacheLine));
    const auto behind = std::upper_bound(placed.begin(), placed.end(), offset,
                                         [&](std::size_t value, std::size_t other) { return value < plan.offsets[other]; });
    placed.insert(behind, tensor);
  }
  return plan;
}

}  // namespace fdabnn::engine
