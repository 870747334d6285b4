// Steps whose heads are convolutions.
#include <utility>

#include "engine/step.h"
#include "refusal.h"

namespace fdabnn::engine {
namespace {

const Node& HeadOf(const StepContext& context, const Group& group) { return context.graph.nodes[static_cast<std::size_t>(group.head)]; }

template <class Kernel>
class ConvStep : public Step {
 public:
  using CallTensors = typename Kernel::CallTensors;

  ConvStep(const StepContext& context, const Group& group, const Kernel& kernel, bool whole)
      : Step(context, group, kernel.SinkRows()),
        kernel_(kernel),
        output_(HeadOf(context, group).output),
        batch_(context.shapes[static_cast<std::size_t>(output_)].n),
        has_tail_(!group.tail.empty()),
        whole_(whole) {}

  std::size_t WorkspaceBytes(int threads) const override { return kernel_.WorkspaceBytes(threads); }

 protected:
  void RunKernel(CallTensors call, const Tensors& tensors, const Scratch& scratch, ThreadPool& pool) {
    if (has_tail_ && !whole_) {
      call.sink = &tail();
    } else {
      call.output = static_cast<decltype(call.output)>(tensors[static_cast<std::size_t>(output_)]);
    }
    if (batch_ == 0) return;
    if (const char* reason = kernel_.Run(call, batch_, pool, scratch.workspace)) throw Refusal(reason);
    if (has_tail_ && whole_) tail().RunAll(pool);
  }

 private:
  const Kernel& kernel_;
  const int output_;
  const int batch_;
  const bool has_tail_;
  const bool whole_;
};

class BinaryConvStep final : public ConvStep<Bconv> {
 public:
  BinaryConvStep(const StepContext& context, const Group& group, const Bconv& kernel, bool whole)
      : ConvStep(context, group, kernel, whole), input_(HeadOf(context, group).inputs[0]) {}

 private:
  void RunHead(const Tensors& tensors, const Scratch& scratch, ThreadPool& pool) override {
    BconvTensors call;
    call.input = static_cast<const Word*>(tensors[static_cast<std::size_t>(input_)]);
    RunKernel(call, tensors, scratch, pool);
  }

  const int input_;
};

class FloatConvStep final : public ConvStep<ConvSum> {
 public:
  FloatConvStep(const StepContext& context, const Group& group, const ConvSum& kernel)
      : ConvStep(context, group, kernel, false),
        values_(HeadOf(context, group).inputs),
        octets_(std::get<FloatConv>(HeadOf(context, group).what).params.octets),
        inputs_(values_.size()) {}

 private:
  void RunHead(const Tensors& tensors, const Scratch& scratch, ThreadPool& pool) override {
    ConvSumTensors call;
    if (octets_) {
      call.octets = static_cast<const std::uint8_t*>(tensors[static_cast<std::size_t>(values_[0])]);
    } else {
      for (std::size_t i = 0; i < values_.size(); ++i)
        inputs_[i] = static_cast<const float*>(tensors[static_cast<std::size_t>(values_[i])]);
      call.inputs = inputs_.data();
    }
    RunKernel(call, tensors, scratch, pool);
  }

  const std::vector<int> values_;
  const bool octets_;
  std::vector<const float*> inputs_;
};

}  // namespace

std::unique_ptr<Step> MakeBinaryConvStep(const StepContext& context, const Group& group, const Bconv& kernel, bool whole) {
  return std::make_unique<BinaryConvStep>(context, group, kernel, whole);
}

std::unique_ptr<Step> MakeFloatConvStep(const StepContext& context, const Group& group, const ConvSum& kernel) {
  return std::make_unique<FloatConvStep>(context, group, kernel);
}

}  // namespace fdabnn::engine
