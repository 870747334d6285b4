// Differences of convolutions: float32 [N, H, W, C] each -> float32 [N, H', W', C'].
#include <algorithm>

#include "kernels/conv_sum.h"
#include "litert/op.h"

namespace fdabnn {
namespace {

constexpr std::size_t kOfTerm = 3;  // input, filter, bias

class ConvSumOp : public Op {
 public:
  ConvSumOp(const OpInfo& info, const ConvSumParams& params, std::vector<int> expression)
      : params_(params), expression_(std::move(expression)) {
    std::vector<int> tensors;
    for (std::size_t i = 0; i + kOfTerm <= info.inputs.size(); i += kOfTerm) {
      const auto known = std::find(tensors.begin(), tensors.end(), info.inputs[i]);
      sources_.push_back(static_cast<int>(known - tensors.begin()));
      if (known != tensors.end()) continue;
      tensors.push_back(info.inputs[i]);
      positions_.push_back(i);
    }
  }

  void Prepare(const Tensors& tensors, Session& session) override {
    tensors.CheckCounts(kOfTerm * sources_.size(), 1);
    const TfLiteTensor& first = tensors.Input(0);
    for (const std::size_t position : positions_) {
      const TfLiteTensor& input = tensors.Input(position);
      CheckType(input, {kTfLiteFloat32});
      CheckRank(input, 4);
      if (!std::equal(input.dims->data, input.dims->data + 4, first.dims->data)) {
        throw Refusal(Describe(input) + " and " + Describe(first) + " differ in shape: load the delegate with the option fuse 0");
      }
    }
    CheckType(tensors.Output(0), {kTfLiteFloat32});
    const int* in = first.dims->data;
    if (in[3] != params_.channels_in) throw Refusal(Describe(first) + " has other channels than its filter");
    // Resizing an interpreter's inputs changes no constant: the weights are repacked once.
    if (!conv_) conv_ = Create(tensors, session.level());
    in_height_ = in[1];
    in_width_ = in[2];
    std::string reason;
    if (!conv_->Resize(in_height_, in_width_, &reason)) throw Refusal(reason);
    tensors.Resize(tensors.Output(0), {in[0], conv_->out_height(), conv_->out_width(), params_.channels_out});
  }

  void Run(const Tensors& tensors, Session& session) override {
    const TfLiteTensor& output = tensors.Output(0);
    const int batch = tensors.Input(0).dims->data[0];
    CheckShape(output, {batch, conv_->out_height(), conv_->out_width(), params_.channels_out});
    std::vector<const float*> inputs;
    for (const std::size_t position : positions_) {
      const TfLiteTensor& input = tensors.Input(position);
      CheckShape(input, {batch, in_height_, in_width_, params_.channels_in});
      inputs.push_back(Data<const float>(input));
    }
    auto* result = Data<float>(output);
    if (batch == 0) return;
    ThreadPool& pool = session.Pool(tensors.recommended_threads());
    conv_->Run(inputs.data(), batch, result, pool, session.Workspace(conv_->WorkspaceBytes(pool.threads())));
  }

 private:
  static void CheckShape(const TfLiteTensor& tensor, std::initializer_list<int> shape) {
    if (static_cast<std::size_t>(tensor.dims->size) != shape.size() || !std::equal(shape.begin(), shape.end(), tensor.dims->data)) {
      throw Refusal("shapes have changed without preparation");
    }
  }

  std::unique_ptr<ConvSum> Create(const Tensors& tensors, Level level) const {
    const ConvSumParams& p = params_;
    const auto constant = [&](std::size_t position, std::initializer_list<int> shape) {
      const TfLiteTensor& tensor = tensors.Input(position);
      CheckType(tensor, {kTfLiteFloat32});
      if (!IsConstant(tensor)) throw Refusal(Describe(tensor) + " is no constant");
      CheckShape(tensor, shape);
      return Copy<float>(tensor);
    };
    std::vector<std::vector<float>> copies;
    std::vector<ConvSumTerm> terms;
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      copies.push_back(constant(kOfTerm * i + 1, {p.channels_out, p.kernel_h, p.kernel_w, p.channels_in}));
      const float* filter = copies.back().data();
      copies.push_back(constant(kOfTerm * i + 2, {p.channels_out}));
      terms.push_back({sources_[i], filter, copies.back().data()});
    }
    std::string reason;
    std::unique_ptr<ConvSum> conv = ConvSum::Create(p, terms, expression_, level, &reason);
    if (!conv) throw Refusal(reason);
    return conv;
  }

  const ConvSumParams params_;
  const std::vector<int> expression_;
  std::vector<int> sources_;            // of a convolution: which of the inputs it has
  std::vector<std::size_t> positions_;  // of an input: where it stands among the operator's
  std::unique_ptr<ConvSum> conv_;
  int in_height_ = 0;
  int in_width_ = 0;
};

}  // namespace

std::unique_ptr<Op> MakeConvSum(const OpInfo& info, const ConvSumParams& params, const std::vector<int>& expression) {
  return std::make_unique<ConvSumOp>(info, params, expression);
}

}  // namespace fdabnn
