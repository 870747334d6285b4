// From nodes of a file to a graph of the engine.
#pragma once

#include <memory>
#include <vector>

#include "engine/graph.h"
#include "litert/conv_sum_graph.h"
#include "litert/op.h"
#include "litert/tflite_abi.h"

namespace fdabnn {

struct EngineGraph {
  engine::Graph graph;
  std::vector<int> inputs;   // tensors, as the graph orders its inputs
  std::vector<int> outputs;  // likewise
  std::vector<int> ranks;    // of outputs
  std::vector<int> nodes;    // by node of the graph: the last one of the file that it stands for
};

// The graph of nodes, in the plan's order, that are all known. outputs: tensors that are read outside. Throws Refusal where a node is not
// known, or stands for other nodes than these.
EngineGraph ReadEngineGraph(TfLiteContext* context, const std::vector<int>& nodes, const std::vector<int>& outputs);

// The nodes of a plan that the engine knows: binary operators, the trees, and what stands between them; of averages those that are
// exact (engine/exact_means.h).
std::vector<int> FindEngineNodes(TfLiteContext* context, const std::vector<int>& plan, const std::vector<ConvSumTree>& trees);

// The shape of an input or output, [n, c], [n, pixels, c] or [n, h, w, c]. Of signs only the words are known: as many channels as they
// hold. Throws Refusal.
engine::Shape ReadEngineShape(const TfLiteTensor& tensor, engine::ElementType type);

// Its inputs and outputs are the graph's.
std::unique_ptr<Op> MakeEngine(EngineGraph graph);

}  // namespace fdabnn
