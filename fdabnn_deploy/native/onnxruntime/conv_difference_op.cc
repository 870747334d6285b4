// ConvDifference: the tree of differences of float convolutions that exact numerics makes of a layer. Specification:
// docs/ops/conv-difference.md.
#include <climits>
#include <memory>
#include <vector>

#include "kernels/conv_sum.h"
#include "kernels/layer_finish.h"
#include "onnxruntime/ops.h"
#include "onnxruntime/session_threads.h"
#include "onnxruntime/sized.h"

namespace fdabnn::ort {
namespace {

constexpr int kFilters = 0, kBiases = 1, kFirstInput = 2, kMostInputs = 4;
constexpr int kMostTerms = 64;

class ConvDifference : public Kernel {
 public:
  ConvDifference(int channels_in, int channels_out, int inputs, std::unique_ptr<ConvSum> sum)
      : channels_in_(channels_in), channels_out_(channels_out), inputs_(inputs), sum_(std::move(sum)) {}

  void Compute(const Call& call) override {
    std::vector<Tensor> x;
    x.reserve(static_cast<std::size_t>(inputs_));
    for (int i = 0; i < inputs_; ++i) x.push_back(call.Input(kFirstInput + i));
    const Shape& shape = x[0].shape;
    bool fits = shape.size() == 4 && shape[1] == channels_in_ && shape[0] <= INT_MAX;
    for (std::size_t axis = 2; fits && axis < 4; ++axis) fits = shape[axis] >= 1 && shape[axis] <= kLargest;
    if (!fits) throw Refusal("X0 is " + ToText(shape) + " and not [N, " + std::to_string(channels_in_) + ", H, W]");
    std::vector<const float*> images;
    for (const Tensor& tensor : x) {
      if (tensor.data == nullptr || tensor.shape != shape) throw Refusal("its inputs differ in shape, or one is missing");
      images.push_back(static_cast<const float*>(tensor.data));
    }
    const auto lock = sum_.Prepare(static_cast<int>(shape[2]), static_cast<int>(shape[3]));
    auto* y = static_cast<float*>(call.Output(0, {shape[0], channels_out_, sum_->out_height(), sum_->out_width()}));
    const int threads = threads_.count();
    Workspaces::Space space = workspaces_.Take(sum_->WorkspaceBytes(threads));
    threads_.Run(call, threads,
                 [&](ThreadPool& pool) { sum_->Run(images.data(), static_cast<int>(shape[0]), y, pool, space.buffer.as<void>()); });
    workspaces_.Return(std::move(space));
  }

 private:
  const int channels_in_, channels_out_, inputs_;
  Sized<ConvSum> sum_;
  Workspaces workspaces_;
  SessionThreads threads_;
};

}  // namespace

std::unique_ptr<Kernel> MakeConvDifference(const NodeInfo& node, Level level) {
  const Tensor filters = node.Constant(kFilters), biases = node.Constant(kBiases);
  if (filters.data == nullptr || biases.data == nullptr) throw Refusal("filters or biases are no constants");
  if (filters.shape.size() != 5) throw Refusal("filters is " + ToText(filters.shape) + " and not [F, O, C, kernel height, kernel width]");
  for (std::int64_t size : filters.shape) {
    if (size < 1 || size > kLargest) throw Refusal("filters is " + ToText(filters.shape));
  }
  const int count = static_cast<int>(filters.shape[0]);
  ConvSumParams p;
  p.channels_out = static_cast<int>(filters.shape[1]);
  p.channels_in = static_cast<int>(filters.shape[2]);
  p.kernel_h = static_cast<int>(filters.shape[3]);
  p.kernel_w = static_cast<int>(filters.shape[4]);
  node.Windows(&p);
  p.planes = true;
  const std::vector<int> expression = node.List("expression", 1, 2 * kMostTerms, kSubtract, kMostTerms - 1);
  const std::vector<int> inputs = node.List("term_inputs", 1, kMostTerms, 0, kMostInputs - 1);
  const std::vector<int> chosen = node.List("term_filters", inputs.size(), inputs.size(), 0, count - 1);
  const auto terms = static_cast<std::int64_t>(inputs.size());
  if (biases.shape != Shape{terms, p.channels_out}) {
    throw Refusal("biases is " + ToText(biases.shape) + " and not " + ToText({terms, p.channels_out}));
  }
  // OIHW -> OHWI, each filter once.
  const std::size_t area = std::size_t{1} * p.kernel_h * p.kernel_w, filter = area * p.channels_in * p.channels_out;
  std::vector<float> turned(filter * count);
  for (std::size_t block = 0; block < turned.size(); block += area * p.channels_in) {
    const float* from = static_cast<const float*>(filters.data) + block;
    LayerLoopsOf(level).turn(from, area, p.channels_in, area, turned.data() + block, p.channels_in);
  }
  std::vector<ConvSumTerm> list;
  int last = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    list.push_back({inputs[i], turned.data() + chosen[i] * filter, static_cast<const float*>(biases.data) + i * p.channels_out});
    last = std::max(last, inputs[i]);
  }
  std::string reason;
  std::unique_ptr<ConvSum> sum = ConvSum::Create(p, list, expression, level, &reason);
  if (sum == nullptr) throw Refusal(reason);
  return std::make_unique<ConvDifference>(p.channels_in, p.channels_out, last + 1, std::move(sum));
}

}  // namespace fdabnn::ort
