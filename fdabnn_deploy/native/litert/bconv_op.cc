// LceBconv2d: signs, int32 [N, H, W, words] -> float32, int8 or signs [N, H', W', ...].
#include <string>
#include <tuple>

#include "kernels/bconv.h"
#include "litert/bconv_constants.h"
#include "litert/image_op.h"

namespace fdabnn {
namespace {

// What does not stand in the options.
auto FromTensors(const BconvParams& params) {
  return std::tie(params.channels_out, params.groups, params.kernel_h, params.kernel_w, params.output, params.output_scale,
                  params.output_zero_point);
}

class BconvOp : public ImageOp<Bconv> {
 public:
  explicit BconvOp(const OpInfo& info) : ImageOp({kBconvInput}), options_(ReadBconvOptions(info)) {}

 private:
  bool Read(const Tensors& tensors) override {
    const BconvParams params = ReadBconvParams(options_, tensors);
    const TfLiteTensor& input = tensors.Input(kBconvInput);
    CheckType(input, {kTfLiteInt32});
    CheckRank(input, 4);
    const int words = WordsFor(params.channels_in);
    if (input.dims->data[3] != words) {
      throw Refusal(Describe(input) + " holds " + std::to_string(input.dims->data[3]) + " words per pixel, but channels_in is " +
                    std::to_string(params.channels_in));
    }
    const bool changed = FromTensors(params) != FromTensors(params_);
    params_ = params;
    return changed;
  }

  int InputDepth() const override { return WordsFor(params_.channels_in); }
  int OutputDepth() const override { return params_.output == OutputType::kPacked ? WordsFor(params_.channels_out) : params_.channels_out; }

  BconvTensors Gather(const Tensors& tensors) override {
    const Word* words = Data<const Word>(tensors.Input(kBconvInput));
    return {words, AlignedBytes(tensors.Output(0), params_.output == OutputType::kInt8 ? 1 : 4)};
  }

  std::unique_ptr<Bconv> Create(const Tensors& tensors, Level level, std::string* reason) const override {
    const engine::BinaryConv conv = ReadBinaryConv(options_, tensors);
    return Bconv::Create(params_, {conv.filter.data(), conv.multiplier.data(), conv.bias.data(), conv.thresholds.data()}, level, reason);
  }

  const BconvParams options_;
  BconvParams params_;  // with what the tensors say
};

}  // namespace

std::unique_ptr<Op> MakeBconv(const OpInfo& info) { return std::make_unique<BconvOp>(info); }

}  // namespace fdabnn
