// Digits: what exact numerics does to the input of a float layer. Specification: docs/ops/digits.md.
#include <algorithm>
#include <cmath>
#include <memory>

#include "kernels/layer_finish.h"
#include "onnxruntime/ops.h"
#include "onnxruntime/session_threads.h"

namespace fdabnn::ort {
namespace {

constexpr int kLargestExponent = 100;  // units and steps are normal numbers
constexpr std::size_t kValuesPerThread = 1 << 14;

class DigitsKernel : public Kernel {
 public:
  DigitsKernel(const Digits& digits, bool constant, Level level) : digits_(digits), constant_(constant), loops_(LayerLoopsOf(level)) {}

  void Compute(const Call& call) override {
    if (!constant_ && call.Input(1).data != nullptr) throw Refusal("limits is no constant");
    const Tensor x = call.Input(0);
    std::size_t count = 1;
    for (std::int64_t size : x.shape) count *= static_cast<std::size_t>(size);
    float* outputs[kMostDigits + 1] = {};
    for (int k = 0; k <= digits_.count; ++k) outputs[k] = static_cast<float*>(call.Output(k, x.shape));
    const int threads = static_cast<int>(std::clamp<std::size_t>(count / kValuesPerThread, 1, threads_.count()));
    Job job = {*this, static_cast<const float*>(x.data), outputs, count, threads};
    threads_.Run(call, threads, [&](ThreadPool& pool) { pool.Run(threads, RunPart, &job); });
  }

 private:
  struct Job {
    const DigitsKernel& kernel;
    const float* x;
    float* const* outputs;
    std::size_t count;
    int threads;
  };

  static void RunPart(void* context, int index) {
    const Job& j = *static_cast<const Job*>(context);
    const std::size_t begin = j.count * index / j.threads, end = j.count * (index + 1) / j.threads;
    float* outputs[kMostDigits + 1] = {};
    for (int k = 0; k <= j.kernel.digits_.count; ++k) outputs[k] = j.outputs[k] ? j.outputs[k] + begin : nullptr;
    j.kernel.loops_.digits(j.kernel.digits_, j.x + begin, end - begin, outputs);
  }

  const Digits digits_;
  const bool constant_;
  const LayerLoops& loops_;
  SessionThreads threads_;
};

}  // namespace

std::unique_ptr<Kernel> MakeDigits(const NodeInfo& node, Level level) {
  Digits digits = {};
  for (int exponent : node.List("exponents", 1, kMostDigits, -kLargestExponent, kLargestExponent)) {
    digits.units[digits.count++] = std::ldexp(1.0f, exponent);
  }
  const Tensor limits = node.Constant(1);
  if (limits.data != nullptr) {
    if (limits.shape != Shape{2}) throw Refusal("limits is " + ToText(limits.shape) + " and not [2]");
    digits.limited = true;
    digits.low = static_cast<const float*>(limits.data)[0];
    digits.high = static_cast<const float*>(limits.data)[1];
    if (!(digits.low <= digits.high)) throw Refusal("limits is not in order");
  }
  return std::make_unique<DigitsKernel>(digits, limits.data != nullptr, level);
}

}  // namespace fdabnn::ort
