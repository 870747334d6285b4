// Single nodes of a file as nodes of the engine.
#pragma once

#include <map>
#include <vector>

#include "litert/conv_sum_graph.h"
#include "litert/engine_graph.h"
#include "litert/op.h"

namespace fdabnn {

// Adds nodes to a graph. Tensors that no node before them has written become its inputs.
class EngineGraphBuilder {
 public:
  explicit EngineGraphBuilder(TfLiteContext* context) : context_(context) {}

  // Throws Refusal where the engine does not know the node; the graph is then not to be used any more.
  void Add(int index);
  void Add(const ConvSumTree& tree);

  // Tensors that are inputs so far.
  const std::vector<int>& inputs() const { return result_.inputs; }

  // outputs: tensors that are read outside. Throws Refusal where no node writes one.
  EngineGraph Finish(const std::vector<int>& outputs);

 private:
  struct Source {
    const TfLiteNode& node;
    const TfLiteRegistration& registration;
    OpInfo info;
  };

  void AddCustom(const Source& source);
  void AddBuiltin(const Source& source);
  void AddArithmetic(const Source& source, engine::Pointwise::Operator op, TfLiteFusedActivation activation);
  void AddActivation(TfLiteFusedActivation activation, int from, int tensor);
  void AddPool(const Source& source, bool average);
  void AddSlice(const Source& source);
  void AddPad(const Source& source);
  void AddReshape(const Source& source);
  void AddReverse(const Source& source);

  // An input value, float32 of rank 2 or 4 if `type` says so.
  int Input(int tensor, engine::ElementType type);
  int FloatInput(const Source& source, std::size_t position);
  int BytesInput(const Source& source);
  // A new value; of a tensor, or none.
  int Output(int tensor, engine::ElementType type, int rank);
  int Inner(engine::ElementType type, int rank);
  void AddNode(decltype(engine::Node::what) what, std::vector<int> inputs, int output);

  TfLiteContext* context_;
  int index_ = -1;  // of the node that is added
  EngineGraph result_;
  std::map<int, int> values_;  // by tensor
  std::vector<int> ranks_;     // by value
};

}  // namespace fdabnn
