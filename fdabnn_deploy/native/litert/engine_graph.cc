#include "litert/engine_graph.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "engine/exact_means.h"
#include "litert/engine_nodes.h"
#include "litert/partition.h"

namespace fdabnn {
namespace {

// Trees by their last node, and all nodes that are inside of trees.
struct Trees {
  std::map<int, const ConvSumTree*> by_end;
  std::set<int> inside;

  explicit Trees(const std::vector<ConvSumTree>& trees) {
    for (const ConvSumTree& tree : trees) {
      by_end[tree.nodes.back()] = &tree;
      inside.insert(tree.nodes.begin(), tree.nodes.end());
    }
  }
};

void AddTo(EngineGraphBuilder* builder, const Trees& trees, int node) {
  const auto tree = trees.by_end.find(node);
  if (tree != trees.by_end.end()) {
    builder->Add(*tree->second);
  } else if (trees.inside.count(node) == 0) {
    builder->Add(node);
  }
}

// Tensors that hang on constants alone: they stay as they are where a batch is resized.
std::set<int> FindConstants(TfLiteContext* context, const std::vector<int>& plan) {
  std::set<int> found;
  for (const int index : plan) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, index, &node, &registration) != kTfLiteOk)
      throw Refusal("the runtime does not show a node");
    const std::vector<int> inputs = ToVector(node->inputs);
    const bool constant = std::all_of(inputs.begin(), inputs.end(), [&](int tensor) {
      return tensor < 0 || static_cast<std::size_t>(tensor) >= context->tensors_size || IsConstant(context->tensors[tensor]) ||
             found.count(tensor) != 0;
    });
    for (const int tensor : ToVector(node->outputs)) {
      if (constant) found.insert(tensor);
    }
  }
  return found;
}

// Whether a node is known alone.
bool IsKnown(TfLiteContext* context, const Trees& trees, const std::set<int>& constants, int node) {
  try {
    EngineGraphBuilder builder(context);
    AddTo(&builder, trees, node);
    const std::vector<int>& inputs = builder.inputs();
    return std::none_of(inputs.begin(), inputs.end(), [&](int tensor) { return constants.count(tensor) != 0; });
  } catch (const Refusal&) {
    return false;
  }
}

// The averages among the known nodes that are not proved exact.
std::vector<int> FindInexact(TfLiteContext* context, const std::vector<int>& plan, const Trees& trees, const std::set<int>& unknown) {
  EngineGraphBuilder builder(context);
  for (const int node : plan) {
    if (unknown.count(node) == 0) AddTo(&builder, trees, node);
  }
  const EngineGraph all = builder.Finish({});
  const std::vector<bool> exact = engine::FindExactMeans(all.graph);
  std::vector<int> found;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const auto* pool = std::get_if<engine::Pool>(&all.graph.nodes[i].what);
    if (pool != nullptr && pool->average && !exact[i]) found.push_back(all.nodes[i]);
  }
  return found;
}

}  // namespace

engine::Shape ReadEngineShape(const TfLiteTensor& tensor, engine::ElementType type) {
  using engine::ElementType;
  CheckType(tensor, {type == ElementType::kFloat ? kTfLiteFloat32 : type == ElementType::kBytes ? kTfLiteUInt8 : kTfLiteInt32});
  const int* dims = tensor.dims->data;
  const int rank = tensor.dims->size;
  if (rank != 2 && rank != 3) CheckRank(tensor, 4);
  engine::Shape shape = {dims[0], rank == 4 ? dims[1] : 1, rank == 2 ? 1 : dims[rank - 2], dims[rank - 1]};
  if (type == ElementType::kSigns) {
    if (shape.c > (1 << 24)) throw Refusal(Describe(tensor) + " is beyond memory");
    shape.c *= kWordBits;
  }
  return shape;
}

EngineGraph ReadEngineGraph(TfLiteContext* context, const std::vector<int>& nodes, const std::vector<int>& outputs) {
  const std::vector<ConvSumTree> found = FindConvSums(*context, nodes);
  const Trees trees(found);
  EngineGraphBuilder builder(context);
  for (const int node : nodes) AddTo(&builder, trees, node);
  return builder.Finish(outputs);
}

std::vector<int> FindEngineNodes(TfLiteContext* context, const std::vector<int>& plan, const std::vector<ConvSumTree>& found) {
  const Trees trees(found);
  const std::set<int> constants = FindConstants(context, plan);
  std::set<int> unknown;  // trees' last nodes among them
  for (const int node : plan) {
    if (!IsKnown(context, trees, constants, node)) unknown.insert(node);
  }
  for (const int node : FindInexact(context, plan, trees, unknown)) unknown.insert(node);
  for (const ConvSumTree& tree : found) {
    if (unknown.count(tree.nodes.back()) != 0) unknown.insert(tree.nodes.begin(), tree.nodes.end());
  }
  std::vector<int> known;
  std::copy_if(plan.begin(), plan.end(), std::back_inserter(known), [&](int node) { return unknown.count(node) == 0; });
  return known;
}

}  // namespace fdabnn
