#include "engine/groups.h"

#include <algorithm>

namespace fdabnn::engine {
namespace {

bool IsTail(const Node& node) { return std::holds_alternative<Pointwise>(node.what) || std::holds_alternative<Signs>(node.what); }

// Whether tails can stand behind a head: it gives rows of floats.
bool TakesTail(const Graph& graph, const Group& group) {
  if (group.head < 0) return true;
  const Node& head = graph.nodes[static_cast<std::size_t>(group.head)];
  return graph.types[static_cast<std::size_t>(head.output)] == ElementType::kFloat;
}

}  // namespace

std::vector<Group> FormGroups(const Graph& graph, const std::vector<Shape>& shapes) {
  std::vector<Group> groups;
  std::vector<int> group_of(graph.types.size(), -1);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const Shape& shape = shapes[static_cast<std::size_t>(node.output)];
    int place = -1;
    if (IsTail(node)) {
      for (const int value : node.inputs) place = std::max(place, group_of[static_cast<std::size_t>(value)]);
      if (place >= 0 &&
          (groups[static_cast<std::size_t>(place)].shape != shape || !TakesTail(graph, groups[static_cast<std::size_t>(place)]))) {
        place = -1;
      }
    }
    if (place < 0) {
      place = static_cast<int>(groups.size());
      groups.push_back({-1, {}, shape});
    }
    Group& group = groups[static_cast<std::size_t>(place)];
    if (IsTail(node)) {
      group.tail.push_back(static_cast<int>(i));
    } else {
      group.head = static_cast<int>(i);
    }
    group_of[static_cast<std::size_t>(node.output)] = place;
  }
  return groups;
}

std::vector<int> NodesOf(const Group& group) {
  std::vector<int> nodes;
  if (group.head >= 0) nodes.push_back(group.head);
  nodes.insert(nodes.end(), group.tail.begin(), group.tail.end());
  return nodes;
}

std::vector<bool> FindTensors(const Graph& graph, const std::vector<Group>& groups) {
  std::vector<bool> tensors(graph.types.size(), false);
  for (const int value : graph.inputs) tensors[static_cast<std::size_t>(value)] = true;
  for (const int value : graph.outputs) tensors[static_cast<std::size_t>(value)] = true;
  std::vector<int> group_of(graph.types.size(), -1);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const int node : NodesOf(groups[g]))
      group_of[static_cast<std::size_t>(graph.nodes[static_cast<std::size_t>(node)].output)] = static_cast<int>(g);
  }
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const int node : NodesOf(groups[g])) {
      for (const int value : graph.nodes[static_cast<std::size_t>(node)].inputs) {
        if (group_of[static_cast<std::size_t>(value)] != static_cast<int>(g)) tensors[static_cast<std::size_t>(value)] = true;
      }
    }
  }
  return tensors;
}

}  // namespace fdabnn::engine
