// Which nodes run together: a head, which moves windows or rows, and the operators of single values behind it, its tail. A tail runs on
// rows while they are in the caches; what only its own group reads never becomes a tensor.
#pragma once

#include <vector>

#include "engine/graph.h"
#include "kernels/pointwise.h"

namespace fdabnn::engine {

struct Group {
  int head = -1;          // node, or none
  std::vector<int> tail;  // nodes
  Shape shape;            // of all their outputs
};

// The groups in an order in which they can run. A tail's node stands in the last group that any of its inputs comes from, if that has its
// shape, else in one of its own without a head.
std::vector<Group> FormGroups(const Graph& graph, const std::vector<Shape>& shapes);

// The nodes of a group, head first.
std::vector<int> NodesOf(const Group& group);

// By value: whether it is a tensor, because the user wants it or a node of another group reads it.
std::vector<bool> FindTensors(const Graph& graph, const std::vector<Group>& groups);

}  // namespace fdabnn::engine
