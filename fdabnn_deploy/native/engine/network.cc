#include "engine/network.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/groups.h"
#include "engine/memory_plan.h"
#include "engine/sharing.h"
#include "engine/step.h"
#include "kernels/aligned_buffer.h"
#include "refusal.h"

namespace fdabnn::engine {
namespace {

// The kernels of a graph's convolutions, made once.
struct Kernels {
  std::vector<std::unique_ptr<Bconv>> binary;  // by node
  std::vector<std::unique_ptr<ConvSum>> floats;
};

// Constants are copied by the kernels, and no longer needed here.
std::unique_ptr<Bconv> MakeKernel(BinaryConv& conv, Level level) {
  std::string error;
  auto kernel =
      Bconv::Create(conv.params, {conv.filter.data(), conv.multiplier.data(), conv.bias.data(), conv.thresholds.data()}, level, &error);
  if (!kernel) throw Refusal(error);
  const BconvParams params = conv.params;
  conv = BinaryConv();
  conv.params = params;
  return kernel;
}

std::unique_ptr<ConvSum> MakeKernel(FloatConv& conv, Level level) {
  std::string error;
  std::vector<ConvSumTerm> terms;
  terms.reserve(conv.terms.size());
  for (const FloatConv::Term& term : conv.terms) terms.push_back({term.input, term.filter.data(), term.bias.data()});
  auto kernel = ConvSum::Create(conv.params, terms, conv.expression, conv.border, level, &error);
  if (!kernel) throw Refusal(error);
  const ConvSumParams params = conv.params;
  conv = FloatConv();
  conv.params = params;
  return kernel;
}

class NetworkImpl final : public Network {
 public:
  NetworkImpl(Graph graph, Level level) : graph_(std::move(graph)), level_(level) {}

  void Prepare(const std::vector<Shape>& inputs, int threads) override {
    prepared_ = false;
    MakeKernels();
    shapes_ = InferShapes(graph_, inputs);
    output_shapes_.clear();
    output_shapes_.reserve(graph_.outputs.size());
    for (const int value : graph_.outputs) output_shapes_.push_back(shapes_[static_cast<std::size_t>(value)]);
    const std::vector<Group> groups = FormGroups(graph_, shapes_);
    is_tensor_ = FindTensors(graph_, groups);
    steps_.clear();
    steps_.reserve(groups.size());
    for (const Group& group : groups) steps_.push_back(MakeStep(group));
    PlaceTensors(groups);
    threads_ = std::max(threads, 1);
    PlaceScratch();
    prepared_ = true;
  }

  const std::vector<Shape>& OutputShapes() const override { return output_shapes_; }

  int threads() const override { return threads_; }

  void Run(const void* const* inputs, void* const* outputs, ThreadPool& pool) override {
    if (!prepared_ || pool.threads() > threads_) throw Refusal("run without preparation");
    // Inputs are not written: only a step's own values are.
    for (std::size_t i = 0; i < graph_.inputs.size(); ++i)
      tensors_[static_cast<std::size_t>(graph_.inputs[i])] = const_cast<void*>(inputs[i]);
    for (std::size_t i = 0; i < graph_.outputs.size(); ++i) tensors_[static_cast<std::size_t>(graph_.outputs[i])] = outputs[i];
    for (const auto& step : steps_) step->Run(tensors_, scratch_, pool);
  }

 private:
  void MakeKernels() {
    if (!kernels_.binary.empty()) return;
    Kernels kernels;
    kernels.binary.resize(graph_.nodes.size());
    kernels.floats.resize(graph_.nodes.size());
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (auto* conv = std::get_if<BinaryConv>(&graph_.nodes[i].what)) kernels.binary[i] = MakeKernel(*conv, level_);
      if (auto* conv = std::get_if<FloatConv>(&graph_.nodes[i].what)) kernels.floats[i] = MakeKernel(*conv, level_);
    }
    kernels_ = std::move(kernels);
  }

  template <class Kernel>
  const Kernel& Sized(Kernel& kernel, int value) const {
    const Shape& in = shapes_[static_cast<std::size_t>(value)];
    std::string error;
    if (!kernel.Resize(in.h, in.w, &error)) throw Refusal(error);
    return kernel;
  }

  std::unique_ptr<Step> MakeStep(const Group& group) {
    const StepContext context{graph_, shapes_, is_tensor_, level_};
    if (group.head < 0) return MakeRowStep(context, group);
    const auto head = static_cast<std::size_t>(group.head);
    const Node& node = graph_.nodes[head];
    // Whatever no tail takes is a tensor, even where nobody reads it.
    if (group.tail.empty()) is_tensor_[static_cast<std::size_t>(node.output)] = true;
    if (kernels_.floats[head]) return MakeFloatConvStep(context, group, Sized(*kernels_.floats[head], node.inputs[0]));
    if (!kernels_.binary[head]) return MakeRowStep(context, group);
    const Bconv& kernel = Sized(*kernels_.binary[head], node.inputs[0]);
    if (kernel.IsWhole()) is_tensor_[static_cast<std::size_t>(node.output)] = true;
    return MakeBinaryConvStep(context, group, kernel, kernel.IsWhole());
  }

  // Gives the tensors that are neither inputs nor outputs their memory.
  void PlaceTensors(const std::vector<Group>& groups) {
    const Sharing sharing = FindSharing(graph_, groups, is_tensor_);
    std::vector<Lifetime> lives = sharing.lives;
    for (std::size_t i = 0; i < lives.size(); ++i) {
      if (sharing.placed[i]) lives[i].bytes = BytesOf(graph_.types[i], shapes_[i]);
    }
    const MemoryPlan plan = PlanMemory(lives);
    memory_ = AlignedBuffer();  // gone before the next one comes
    memory_ = AlignedBuffer(plan.bytes);
    tensors_.assign(graph_.types.size(), nullptr);
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const auto place = static_cast<std::size_t>(sharing.place[i]);
      if (lives[place].bytes > 0) tensors_[i] = memory_.as<char>() + plan.offsets[place];
    }
  }

  void PlaceScratch() {
    std::size_t workspace = 0, worker = 0;
    for (const auto& step : steps_) {
      step->SetWorkers(threads_);
      workspace = std::max(workspace, RoundUp(step->WorkspaceBytes(threads_), kCacheLine));
      worker = std::max(worker, RoundUp(step->WorkerBytes(), kCacheLine));
    }
    scratch_memory_ = AlignedBuffer();
    scratch_memory_ = AlignedBuffer(workspace + worker * static_cast<std::size_t>(threads_));
    scratch_ = {scratch_memory_.as<void>(), scratch_memory_.as<char>() + workspace, worker};
  }

  Graph graph_;
  const Level level_;
  Kernels kernels_;
  bool prepared_ = false;
  int threads_ = 0;
  std::vector<Shape> shapes_;
  std::vector<Shape> output_shapes_;
  std::vector<bool> is_tensor_;
  std::vector<std::unique_ptr<Step>> steps_;
  Tensors tensors_;
  AlignedBuffer memory_;
  AlignedBuffer scratch_memory_;
  Scratch scratch_;
};

}  // namespace

std::unique_ptr<Network> Network::Create(Graph graph, Level level) { return std::make_unique<NetworkImpl>(std::move(graph), level); }

}  // namespace fdabnn::engine
