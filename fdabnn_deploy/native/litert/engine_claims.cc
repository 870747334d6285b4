#include "litert/engine_claims.h"

#include <algorithm>

#include "litert/engine_graph.h"
#include "litert/partition.h"
#include "refusal.h"

namespace fdabnn {
namespace {

// Whether the engine makes a plan of a partition that pays.
bool IsClaimed(TfLiteContext* context, const Partition& partition) {
  try {
    const EngineGraph graph = ReadEngineGraph(context, partition.nodes, partition.outputs);
    return std::any_of(graph.graph.nodes.begin(), graph.graph.nodes.end(),
                       [](const engine::Node& node) { return std::holds_alternative<engine::BinaryConv>(node.what); });
  } catch (const Refusal&) {
    return false;
  }
}

}  // namespace

std::vector<EngineClaim> FindEngineClaims(TfLiteContext* context, const std::vector<int>& plan, const std::vector<ConvSumTree>& trees,
                                          bool groups) {
  static_cast<void>(groups);
  std::vector<EngineClaim> claims;
  try {
    for (const Partition& partition : PreviewPartitions(context, FindEngineNodes(context, plan, trees))) {
      if (IsClaimed(context, partition)) claims.push_back({partition.nodes, "FdabnnEngine"});
    }
  } catch (const Refusal&) {
    claims.clear();
  }
  return claims;
}

}  // namespace fdabnn
