// LceBconv2d: signs, int32 [N, H, W, words] -> float32, int8 or signs [N, H', W', ...].
#include <cmath>
#include <limits>
#include <tuple>

#include "kernels/bconv.h"
#include "litert/image_op.h"

namespace fdabnn {
namespace {

constexpr std::size_t kInput = 0;
constexpr std::size_t kFilter = 1;
constexpr std::size_t kMultiplier = 2;
constexpr std::size_t kBias = 3;
constexpr std::size_t kThresholds = 4;
constexpr std::size_t kInputs = 5;

OutputType OutputTypeOf(const TfLiteTensor& output) {
  CheckType(output, {kTfLiteFloat32, kTfLiteInt32, kTfLiteInt8});
  if (output.type == kTfLiteFloat32) return OutputType::kFloat;
  return output.type == kTfLiteInt32 ? OutputType::kPacked : OutputType::kInt8;
}

// What does not stand in the options.
auto FromTensors(const BconvParams& params) {
  return std::tie(params.channels_out, params.groups, params.kernel_h, params.kernel_w, params.output, params.output_scale,
                  params.output_zero_point);
}

class BconvOp : public ImageOp<Bconv> {
 public:
  explicit BconvOp(const OpInfo& info) : ImageOp({kInput}) {
    constexpr int most = std::numeric_limits<int>::max();
    options_.channels_in = info.Option("channels_in", 1, most);
    info.ReadStrides(&options_);
    options_.dilation_h = info.Option("dilation_height_factor", 1, most);
    options_.dilation_w = info.Option("dilation_width_factor", 1, most);
    options_.pad_value = info.Option("pad_values", 0, 1);
    // The file's numbers (none, ReLU, ReLU from -1 to 1, ReLU6) are those of the kernels.
    options_.activation = static_cast<Activation>(info.Option("fused_activation_function", 0, 3));
  }

 private:
  bool Read(const Tensors& tensors) override {
    tensors.CheckCounts(kInputs, 1);
    const BconvParams params = ReadParams(tensors);
    const bool changed = FromTensors(params) != FromTensors(params_);
    params_ = params;
    return changed;
  }

  int InputDepth() const override { return WordsFor(params_.channels_in); }
  int OutputDepth() const override { return params_.output == OutputType::kPacked ? WordsFor(params_.channels_out) : params_.channels_out; }

  BconvTensors Gather(const Tensors& tensors) override {
    const Word* words = Data<const Word>(tensors.Input(kInput));
    return {words, AlignedBytes(tensors.Output(0), params_.output == OutputType::kInt8 ? 1 : 4)};
  }

  BconvParams ReadParams(const Tensors& tensors) const {
    const TfLiteTensor& input = tensors.Input(kInput);
    const TfLiteTensor& filter = tensors.Input(kFilter);
    const TfLiteTensor& output = tensors.Output(0);
    CheckType(input, {kTfLiteInt32});
    CheckType(filter, {kTfLiteInt32});
    CheckRank(input, 4);
    CheckRank(filter, 4);
    BconvParams params = options_;
    const int words = WordsFor(params.channels_in);
    if (input.dims->data[3] != words) {
      throw Refusal(Describe(input) + " holds " + std::to_string(input.dims->data[3]) + " words per pixel, but channels_in is " +
                    std::to_string(params.channels_in));
    }
    const int* shape = filter.dims->data;
    if (shape[3] < 1 || words % shape[3] != 0) {
      throw Refusal(Describe(filter) + " holds " + std::to_string(shape[3]) + " words per tap, but channels_in is " +
                    std::to_string(params.channels_in));
    }
    params.groups = words / shape[3];
    params.channels_out = shape[0];
    params.kernel_h = shape[1];
    params.kernel_w = shape[2];
    params.output = OutputTypeOf(output);
    if (params.output == OutputType::kInt8) {
      if (output.quantization.type != kTfLiteAffineQuantization || !(output.params.scale > 0) || !std::isfinite(output.params.scale)) {
        throw Refusal(Describe(output) + " has no scale");
      }
      params.output_scale = output.params.scale;
      params.output_zero_point = output.params.zero_point;
    }
    return params;
  }

  std::unique_ptr<Bconv> Create(const Tensors& tensors, Level level, std::string* reason) const override {
    const std::vector<Word> filter = CopyConstant<Word>(tensors.Input(kFilter));
    std::vector<float> multiplier, bias;
    std::vector<std::int32_t> thresholds;
    if (params_.output == OutputType::kPacked) {
      thresholds = CopyConstant<std::int32_t>(PerChannel(tensors, kThresholds, kTfLiteInt32));
    } else {
      multiplier = CopyConstant<float>(PerChannel(tensors, kMultiplier, kTfLiteFloat32));
      bias = CopyConstant<float>(PerChannel(tensors, kBias, kTfLiteFloat32));
    }
    return Bconv::Create(params_, {filter.data(), multiplier.data(), bias.data(), thresholds.data()}, level, reason);
  }

  const TfLiteTensor& PerChannel(const Tensors& tensors, std::size_t position, TfLiteType type) const {
    const TfLiteTensor& tensor = tensors.Input(position);
    CheckType(tensor, {type});
    CheckRank(tensor, 1);
    if (tensor.dims->data[0] != params_.channels_out) {
      throw Refusal(Describe(tensor) + " holds " + std::to_string(tensor.dims->data[0]) + " values for " +
                    std::to_string(params_.channels_out) + " output channels");
    }
    return tensor;
  }

  BconvParams options_;
  BconvParams params_;  // with what the tensors say
};

}  // namespace

std::unique_ptr<Op> MakeBconv(const OpInfo& info) { return std::make_unique<BconvOp>(info); }

}  // namespace fdabnn
