// Differences of convolutions: float32 [N, H, W, C] each -> float32 [N, H', W', C'].
#include <algorithm>
#include <string>
#include <utility>

#include "kernels/conv_sum.h"
#include "litert/conv_sum_constants.h"
#include "litert/image_op.h"

namespace fdabnn {
namespace {

// The inputs of the convolutions.
std::size_t Terms(const OpInfo& info, Border border) { return info.inputs.size() - (border == Border::kNone ? 0 : kOfBorder); }

// The tensors that are images, each once.
std::vector<std::size_t> Images(const OpInfo& info, Border border) {
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i + kOfTerm <= Terms(info, border); i += kOfTerm) {
    const auto same = [&](std::size_t position) { return info.inputs[position] == info.inputs[i]; };
    if (std::none_of(positions.begin(), positions.end(), same)) positions.push_back(i);
  }
  return positions;
}

class ConvSumOp : public ImageOp<ConvSum> {
 public:
  ConvSumOp(const OpInfo& info, const ConvSumParams& params, std::vector<int> expression, Border border)
      : ImageOp(Images(info, border)), params_(params), expression_(std::move(expression)), border_(border), inputs_(images().size()) {
    for (std::size_t i = 0; i + kOfTerm <= Terms(info, border); i += kOfTerm) {
      const auto same = [&](std::size_t position) { return info.inputs[position] == info.inputs[i]; };
      sources_.push_back(static_cast<int>(std::find_if(images().begin(), images().end(), same) - images().begin()));
    }
  }

 private:
  bool Read(const Tensors& tensors) override {
    tensors.CheckCounts(kOfTerm * sources_.size() + (border_ == Border::kNone ? 0 : kOfBorder), 1);
    const TfLiteTensor& first = tensors.Input(0);
    for (const std::size_t position : images()) {
      const TfLiteTensor& input = tensors.Input(position);
      CheckType(input, {params_.octets ? kTfLiteUInt8 : kTfLiteFloat32});
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
    float* output = Data<float>(tensors.Output(0));
    if (params_.octets) return {nullptr, Data<const std::uint8_t>(tensors.Input(images()[0])), output};
    for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i] = Data<const float>(tensors.Input(images()[i]));
    return {inputs_.data(), nullptr, output};
  }

  std::unique_ptr<ConvSum> Create(const Tensors& tensors, Level level, std::string* reason) const override {
    const engine::FloatConv conv = ReadFloatConv(tensors, params_, expression_, sources_, border_);
    std::vector<ConvSumTerm> terms;
    terms.reserve(conv.terms.size());
    for (const engine::FloatConv::Term& term : conv.terms) terms.push_back({term.input, term.filter.data(), term.bias.data()});
    return ConvSum::Create(params_, terms, expression_, conv.border, level, reason);
  }

  const ConvSumParams params_;
  const std::vector<int> expression_;
  const Border border_;
  std::vector<int> sources_;          // of a convolution: which of the images it has
  std::vector<const float*> inputs_;  // of a call
};

}  // namespace

std::unique_ptr<Op> MakeConvSum(const OpInfo& info, const ConvSumParams& params, const std::vector<int>& expression, Border border) {
  return std::make_unique<ConvSumOp>(info, params, expression, border);
}

}  // namespace fdabnn
