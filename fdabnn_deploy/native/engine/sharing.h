// When tensors live, and which of them take the place of another one.
#pragma once

#include <vector>

#include "engine/graph.h"
#include "engine/groups.h"
#include "engine/memory_plan.h"

namespace fdabnn::engine {

struct Sharing {
  std::vector<bool> placed;     // by value: whether it needs memory of its own
  std::vector<int> place;       // by value: the value whose memory it has; itself, mostly
  std::vector<Lifetime> lives;  // by value, of those that have memory; without bytes
};

// Inputs and outputs of the graph have memory elsewhere. A sum of a shortcut takes the shortcut's memory where it is read for the last
// time: every value is written where it has been read, and stays in the caches.
Sharing FindSharing(const Graph& graph, const std::vector<Group>& groups, const std::vector<bool>& tensors);

}  // namespace fdabnn::engine
