// Differences of convolutions: float32 [N, H, W, C] each -> float32 [N, H', W', C'].
#include <algorithm>
#include <utility>

#include "kernels/conv_sum.h"
#include "litert/image_op.h"

namespace fdabnn {
namespace {

constexpr std::size_t kOfTerm = 3;  // input, filter, bias

// The tensors that are images, each once.
std::vector<std::size_t> Images(const OpInfo& info) {
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i + kOfTerm <= info.inputs.size(); i += kOfTerm) {
    const auto same = [&](std::size_t position) { return info.inputs[position] == info.inputs[i]; };
    if (std::none_of(positions.begin(), positions.end(), same)) positions.push_back(i);
  }
  return positions;
}

class ConvSumOp : public ImageOp<ConvSum> {
 public:
  ConvSumOp(const OpInfo& info, const ConvSumParams& params, std::vector<int> expression)
      : ImageOp(Images(info)), params_(params), expression_(std::move(expression)), inputs_(images().size()) {
    for (std::size_t i = 0; i + kOfTerm <= info.inputs.size(); i += kOfTerm) {
      const auto same = [&](std::size_t position) { return info.inputs[position] == info.inputs[i]; };
      sources_.push_back(static_cast<int>(std::find_if(images().begin(), images().end(), same) - images().begin()));
    }
  }

 private:
  bool Read(const Tensors& tensors) override {
    tensors.CheckCounts(kOfTerm * sources_.size(), 1);
    const TfLiteTensor& first = tensors.Input(0);
    for (const std::size_t position : images()) {
      const TfLiteTensor& input = tensors.Input(position);
      CheckType(input, {kTfLiteFloat32});
      CheckRank(input, 4);
      if (!std::equal(input.dims->data, input.dims->data + 4, first.dims->data)) {
        throw Refusal(Describe(input) + " and " + Describe(first) + " differ in shape: load the delegate with the option fuse 0");
      }
    }
    CheckType(tensors.Output(0), {kTfLiteFloat32});
    if (first.dims->data[3] != params_.channels_in) throw Refusal(Describe(first) + " has other channels than its filter");
    return false;
  }

  int InputDepth() const override { return params_.channels_in; }
  int OutputDepth() const override { return params_.channels_out; }

  ConvSumTensors Gather(const Tensors& tensors) override {
    for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i] = Data<const float>(tensors.Input(images()[i]));
    return {inputs_.data(), Data<float>(tensors.Output(0))};
  }

  std::unique_ptr<ConvSum> Create(const Tensors& tensors, Level level, std::string* reason) const override {
    const ConvSumParams& p = params_;
    const auto constant = [&](std::size_t position, std::initializer_list<int> shape) {
      const TfLiteTensor& tensor = tensors.Input(position);
      CheckType(tensor, {kTfLiteFloat32});
      std::vector<float> values = CopyConstant<float>(tensor);
      CheckShape(tensor, shape);
      return values;
    };
    std::vector<std::vector<float>> copies;
    std::vector<ConvSumTerm> terms;
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      copies.push_back(constant(kOfTerm * i + 1, {p.channels_out, p.kernel_h, p.kernel_w, p.channels_in}));
      const float* filter = copies.back().data();
      copies.push_back(constant(kOfTerm * i + 2, {p.channels_out}));
      terms.push_back({sources_[i], filter, copies.back().data()});
    }
    return ConvSum::Create(p, terms, expression_, level, reason);
  }

  const ConvSumParams params_;
  const std::vector<int> expression_;
  std::vector<int> sources_;          // of a convolution: which of the images it has
  std::vector<const float*> inputs_;  // of a call
};

}  // namespace

std::unique_ptr<Op> MakeConvSum(const OpInfo& info, const ConvSumParams& params, const std::vector<int>& expression) {
  return std::make_unique<ConvSumOp>(info, params, expression);
}

}  // namespace fdabnn
