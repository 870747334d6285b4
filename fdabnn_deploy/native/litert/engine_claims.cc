#include "litert/engine_claims.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>
#include <variant>

#include "engine/groups.h"
#include "engine/shapes.h"
#include "litert/engine_graph.h"
#include "litert/partition.h"

namespace fdabnn {
namespace {

constexpr char kEngine[] = "FdabnnEngine";

bool HasBinaryConv(const engine::Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                     [](const engine::Node& node) { return std::holds_alternative<engine::BinaryConv>(node.what); });
}

const char* NameOf(const engine::Graph& graph, const engine::Group& group) {
  if (group.head < 0) return "FdabnnPointwise";
  const auto& what = graph.nodes[static_cast<std::size_t>(group.head)].what;
  if (std::holds_alternative<engine::BinaryConv>(what)) return "FdabnnBinaryBlock";
  if (std::holds_alternative<engine::FloatConv>(what)) return "FdabnnFloatConv";
  return std::holds_alternative<engine::Pool>(what) ? "FdabnnPool" : "FdabnnMove";
}

// The groups of a partition with the shapes that the file has; the whole partition where the runtime would divide one.
std::vector<EngineClaim> GroupClaims(TfLiteContext* context, const Partition& partition, const EngineGraph& part,
                                     const std::vector<ConvSumTree>& trees) {
  std::vector<engine::Shape> inputs;
  inputs.reserve(part.inputs.size());
  for (std::size_t i = 0; i < part.inputs.size(); ++i) {
    const auto value = static_cast<std::size_t>(part.graph.inputs[i]);
    inputs.push_back(ReadEngineShape(context->tensors[part.inputs[i]], part.graph.types[value]));
  }
  std::vector<EngineClaim> claims;
  for (const engine::Group& group : engine::FormGroups(part.graph, engine::InferShapes(part.graph, inputs))) {
    std::set<int> nodes;
    for (const int node : engine::NodesOf(group)) nodes.insert(part.nodes[static_cast<std::size_t>(node)]);
    for (const ConvSumTree& tree : trees) {
      if (nodes.count(tree.nodes.back()) != 0) nodes.insert(tree.nodes.begin(), tree.nodes.end());
    }
    std::vector<int> ordered;
    std::copy_if(partition.nodes.begin(), partition.nodes.end(), std::back_inserter(ordered),
                 [&](int node) { return nodes.count(node) != 0; });
    if (PreviewPartitions(context, ordered).size() != 1) return {{partition.nodes, kEngine}};
    claims.push_back({ordered, NameOf(part.graph, group)});
  }
  return claims;
}

// Nothing where the engine makes no plan of the partition, or none that pays.
std::vector<EngineClaim> ClaimsOf(TfLiteContext* context, const Partition& partition, const std::vector<ConvSumTree>& trees, bool groups) {
  try {
    const EngineGraph part = ReadEngineGraph(context, partition.nodes, partition.outputs);
    // An operator alone is as good as it is.
    if (part.graph.nodes.size() < 2 || !HasBinaryConv(part.graph)) return {};
    if (groups) return GroupClaims(context, partition, part, trees);
    return {{partition.nodes, kEngine}};
  } catch (const Refusal&) {
    return {};
  }
}

}  // namespace

std::vector<EngineClaim> FindEngineClaims(TfLiteContext* context, const std::vector<int>& plan, const std::vector<ConvSumTree>& trees,
                                          bool groups) {
  std::vector<EngineClaim> claims;
  try {
    for (const Partition& partition : PreviewPartitions(context, FindEngineNodes(context, plan, trees))) {
      for (EngineClaim& claim : ClaimsOf(context, partition, trees, groups)) claims.push_back(std::move(claim));
    }
  } catch (const Refusal&) {
    claims.clear();
  }
  return claims;
}

}  // namespace fdabnn
