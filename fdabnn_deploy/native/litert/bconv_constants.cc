#include "litert/bconv_constants.h"

#include <cmath>
#include <limits>
#include <string>

namespace fdabnn {
namespace {

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

const TfLiteTensor& PerChannel(const BconvParams& params, const Tensors& tensors, std::size_t position, TfLiteType type) {
  const TfLiteTensor& tensor = tensors.Input(position);
  CheckType(tensor, {type});
  CheckRank(tensor, 1);
  if (tensor.dims->data[0] != params.channels_out) {
    throw Refusal(Describe(tensor) + " holds " + std::to_string(tensor.dims->data[0]) + " values for " +
                  std::to_string(params.channels_out) + " output channels");
  }
  return tensor;
}

}  // namespace

BconvParams ReadBconvOptions(const OpInfo& info) {
  constexpr int most = std::numeric_limits<int>::max();
  BconvParams options;
  options.channels_in = info.Option("channels_in", 1, most);
  info.ReadStrides(&options);
  options.dilation_h = info.Option("dilation_height_factor", 1, most);
  options.dilation_w = info.Option("dilation_width_factor", 1, most);
  options.pad_value = info.Option("pad_values", 0, 1);
  // The file's numbers (none, ReLU, ReLU from -1 to 1, ReLU6) are those of the kernels.
  options.activation = static_cast<Activation>(info.Option("fused_activation_function", 0, 3));
  return options;
}

BconvParams ReadBconvParams(const BconvParams& options, const Tensors& tensors) {
  tensors.CheckCounts(kInputs, 1);
  const TfLiteTensor& filter = tensors.Input(kFilter);
  const TfLiteTensor& output = tensors.Output(0);
  CheckType(filter, {kTfLiteInt32});
  CheckRank(filter, 4);
  BconvParams params = options;
  const int words = WordsFor(params.channels_in);
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

engine::BinaryConv ReadBinaryConv(const BconvParams& options, const Tensors& tensors) {
  engine::BinaryConv conv;
  conv.params = ReadBconvParams(options, tensors);
  conv.filter = CopyConstant<Word>(tensors.Input(kFilter));
  if (conv.params.output == OutputType::kPacked) {
    conv.thresholds = CopyConstant<std::int32_t>(PerChannel(conv.params, tensors, kThresholds, kTfLiteInt32));
  } else {
    conv.multiplier = CopyConstant<float>(PerChannel(conv.params, tensors, kMultiplier, kTfLiteFloat32));
    conv.bias = CopyConstant<float>(PerChannel(conv.params, tensors, kBias, kTfLiteFloat32));
  }
  return conv;
}

}  // namespace fdabnn
