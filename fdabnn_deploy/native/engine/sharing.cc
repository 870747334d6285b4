#include "engine/sharing.h"

#include <algorithm>
#include <numeric>

namespace fdabnn::engine {
namespace {

class Finder {
 public:
  Finder(const Graph& graph, const std::vector<Group>& groups, const std::vector<bool>& tensors) : graph_(graph), groups_(groups) {
    result_.placed = tensors;
    for (const std::vector<int>* values : {&graph.inputs, &graph.outputs}) {
      for (const int value : *values) result_.placed[static_cast<std::size_t>(value)] = false;
    }
    result_.place.resize(tensors.size());
    std::iota(result_.place.begin(), result_.place.end(), 0);
    result_.lives.resize(tensors.size());
  }

  Sharing Find() {
    for (std::size_t g = 0; g < groups_.size(); ++g) Live(static_cast<int>(g));
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (const int node : groups_[g].tail) Share(NodeAt(node), static_cast<int>(g));
    }
    return result_;
  }

 private:
  const Node& NodeAt(int node) const { return graph_.nodes[static_cast<std::size_t>(node)]; }
  Lifetime& LifeOf(int value) { return result_.lives[static_cast<std::size_t>(value)]; }

  void Live(int group) {
    for (const int node : NodesOf(groups_[static_cast<std::size_t>(group)])) {
      LifeOf(NodeAt(node).output) = {0, group, group};
      for (const int value : NodeAt(node).inputs) LifeOf(value).last = group;
    }
  }

  // How often the nodes of a group read a value.
  std::ptrdiff_t Reads(int group, int value) const {
    std::ptrdiff_t reads = 0;
    for (const int node : NodesOf(groups_[static_cast<std::size_t>(group)])) {
      reads += std::count(NodeAt(node).inputs.begin(), NodeAt(node).inputs.end(), value);
    }
    return reads;
  }

  // The node alone reads the value, in the step that writes the node's own.
  void Share(const Node& node, int group) {
    if (node.inputs.size() != 2 || !result_.placed[static_cast<std::size_t>(node.output)]) return;
    for (const int value : node.inputs) {
      const auto place = static_cast<std::size_t>(result_.place[static_cast<std::size_t>(value)]);
      Lifetime& life = result_.lives[place];
      if (!result_.placed[place] || LifeOf(value).last != group || LifeOf(value).first >= group || Reads(group, value) != 1) continue;
      result_.place[static_cast<std::size_t>(node.output)] = static_cast<int>(place);
      result_.placed[static_cast<std::size_t>(node.output)] = false;
      life.last = LifeOf(node.output).last;
      return;
    }
  }

  const Graph& graph_;
  const std::vector<Group>& groups_;
  Sharing result_;
};

}  // namespace

Sharing FindSharing(const Graph& graph, const std::vector<Group>& groups, const std::vector<bool>& tensors) {
  return Finder(graph, groups, tensors).Find();
}

}  // namespace fdabnn::engine
