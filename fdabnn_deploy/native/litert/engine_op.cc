// A part of a file that runs as one plan of the engine.
#include <memory>
#include <string>
#include <utility>

#include "engine/network.h"
#include "litert/engine_graph.h"

namespace fdabnn {
namespace {

using engine::ElementType;
using engine::Shape;

class EngineOp : public Op {
 public:
  explicit EngineOp(EngineGraph graph)
      : graph_(std::move(graph)), sent_(graph_.inputs.size()), got_(graph_.outputs.size()), shapes_(graph_.inputs.size()) {
    input_types_.reserve(sent_.size());
    output_types_.reserve(got_.size());
    for (const int value : graph_.graph.inputs) input_types_.push_back(TypeOf(value));
    for (const int value : graph_.graph.outputs) output_types_.push_back(TypeOf(value));
  }

  void Prepare(const Tensors& tensors, Session& session) override {
    tensors.CheckCounts(sent_.size(), got_.size());
    for (std::size_t i = 0; i < sent_.size(); ++i) shapes_[i] = ReadEngineShape(tensors.Input(i), input_types_[i]);
    if (!network_) network_ = engine::Network::Create(std::move(graph_.graph), session.level());
    try {
      network_->Prepare(shapes_, session.Pool(tensors.recommended_threads()).threads());
    } catch (const Refusal& error) {
      throw Refusal(std::string(error.what()) + ": load the delegate with the option engine 0");
    }
    const std::vector<Shape> shapes = network_->OutputShapes();
    for (std::size_t i = 0; i < got_.size(); ++i) {
      const std::int64_t last = output_types_[i] == ElementType::kSigns ? WordsFor(shapes[i].c) : shapes[i].c;
      std::vector<std::int64_t> dims = {shapes[i].n, shapes[i].h, shapes[i].w, last};
      if (graph_.ranks[i] == 2) dims = {shapes[i].n, last};
      if (graph_.ranks[i] == 3) dims = {shapes[i].n, shapes[i].w, last};
      tensors.Resize(tensors.Output(i), dims);
    }
  }

  void Run(const Tensors& tensors, Session& session) override {
    for (std::size_t i = 0; i < sent_.size(); ++i) {
      const TfLiteTensor& tensor = tensors.Input(i);
      if (ReadEngineShape(tensor, input_types_[i]) != shapes_[i]) throw Refusal("shapes have changed without preparation");
      sent_[i] = Memory(tensor, input_types_[i]);
    }
    const std::vector<Shape>& shapes = network_->OutputShapes();
    for (std::size_t i = 0; i < got_.size(); ++i) {
      const TfLiteTensor& tensor = tensors.Output(i);
      if (ReadEngineShape(tensor, output_types_[i]).pixels() != shapes[i].pixels())
        throw Refusal("shapes have changed without preparation");
      got_[i] = Memory(tensor, output_types_[i]);
      if (tensor.bytes < engine::BytesOf(output_types_[i], shapes[i])) throw Refusal(Describe(tensor) + " holds less than its shape says");
    }
    ThreadPool& pool = session.Pool(tensors.recommended_threads());
    // The interpreter may have got more threads since.
    if (pool.threads() > network_->threads()) network_->Prepare(shapes_, pool.threads());
    network_->Run(sent_.data(), got_.data(), pool);
  }

 private:
  ElementType TypeOf(int value) const { return graph_.graph.types[static_cast<std::size_t>(value)]; }

  static void* Memory(const TfLiteTensor& tensor, ElementType type) {
    return AlignedBytes(tensor, type == ElementType::kBytes ? 1 : sizeof(float));
  }

  EngineGraph graph_;
  std::unique_ptr<engine::Network> network_;
  std::vector<ElementType> input_types_, output_types_;
  std::vector<const void*> sent_;
  std::vector<void*> got_;
  std::vector<Shape> shapes_;
};

}  // namespace

std::unique_ptr<Op> MakeEngine(EngineGraph graph) { return std::make_unique<EngineOp>(std::move(graph)); }

}  // namespace fdabnn
