// LceBconv2d: signs, int32 [N, H, W, words] -> float32, int8 or signs [N, H', W', ...].
#include <cmath>
#include <limits>
#include <tuple>

#include "kernels/bconv.h"
#include "litert/op.h"

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

int OutputWidth(const BconvParams& params) {
  return params.output == OutputType::kPacked ? WordsFor(params.channels_out) : params.channels_out;
}

const TfLiteTensor& PerChannel(const Tensors& tensors, std::size_t position, TfLiteType type, int channels_out) {
  const TfLiteTensor& tensor = tensors.Input(position);
  CheckType(tensor, {type});
  CheckRank(tensor, 1);
  if (tensor.dims->data[0] != channels_out) {
    throw Refusal(Describe(tensor) + " holds " + std::to_string(tensor.dims->data[0]) + " values for " + std::to_string(channels_out) +
                  " output channels");
  }
  return tensor;
}

class BconvOp : public Op {
 public:
  explicit BconvOp(const OpInfo& info) {
    constexpr int most = std::numeric_limits<int>::max();
    options_.channels_in = info.Option("channels_in", 1, most);
    options_.stride_h = info.Option("stride_height", 1, most);
    options_.stride_w = info.Option("stride_width", 1, most);
    options_.dilation_h = info.Option("dilation_height_factor", 1, most);
    options_.dilation_w = info.Option("dilation_width_factor", 1, most);
    options_.same_padding = info.Option("padding", 0, 1) == 0;
    options_.pad_value = info.Option("pad_values", 0, 1);
    // The file's numbers (none, ReLU, ReLU from -1 to 1, ReLU6) are those of the kernels.
    options_.activation = static_cast<Activation>(info.Option("fused_activation_function", 0, 3));
  }

  void Prepare(const Tensors& tensors, Session& session) override {
    tensors.CheckCounts(kInputs, 1);
    const BconvParams params = ReadParams(tensors);
    // Resizing an interpreter's inputs changes no constant: the weights are repacked once.
    if (!bconv_ || FromTensors(params) != FromTensors(params_)) {
      bconv_ = Create(tensors, params, session.level());
      params_ = params;
    }
    const int* in = tensors.Input(kInput).dims->data;
    in_height_ = in[1];
    in_width_ = in[2];
    std::string reason;
    if (!bconv_->Resize(in_height_, in_width_, &reason)) throw Refusal(reason);
    tensors.Resize(tensors.Output(0), {in[0], bconv_->out_height(), bconv_->out_width(), OutputWidth(params_)});
  }

  void Run(const Tensors& tensors, Session& session) override {
    const TfLiteTensor& input = tensors.Input(kInput);
    const TfLiteTensor& output = tensors.Output(0);
    const int* in = input.dims->data;
    const int* out = output.dims->data;
    if (input.dims->size != 4 || output.dims->size != 4 || in[0] != out[0] || in[1] != in_height_ || in[2] != in_width_ ||
        in[3] != WordsFor(params_.channels_in) || out[1] != bconv_->out_height() || out[2] != bconv_->out_width() ||
        out[3] != OutputWidth(params_)) {
      throw Refusal("shapes have changed without preparation");
    }
    const Word* words = Data<const Word>(input);
    void* result = AlignedBytes(output, params_.output == OutputType::kInt8 ? 1 : 4);
    if (in[0] == 0) return;
    ThreadPool& pool = session.Pool(tensors.recommended_threads());
    void* workspace = session.Workspace(bconv_->WorkspaceBytes(pool.threads()));
    if (const char* reason = bconv_->Run(words, in[0], result, pool, workspace)) throw Refusal(reason);
  }

 private:
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

  static std::unique_ptr<Bconv> Create(const Tensors& tensors, const BconvParams& params, Level level) {
    const auto constant = [](const TfLiteTensor& tensor) -> const TfLiteTensor& {
      if (!IsConstant(tensor)) throw Refusal(Describe(tensor) + " is no constant");
      return tensor;
    };
    const int channels = params.channels_out;
    const std::vector<Word> filter = Copy<Word>(constant(tensors.Input(kFilter)));
    std::vector<float> multiplier, bias;
    std::vector<std::int32_t> thresholds;
    if (params.output == OutputType::kPacked) {
      thresholds = Copy<std::int32_t>(constant(PerChannel(tensors, kThresholds, kTfLiteInt32, channels)));
    } else {
      multiplier = Copy<float>(constant(PerChannel(tensors, kMultiplier, kTfLiteFloat32, channels)));
      bias = Copy<float>(constant(PerChannel(tensors, kBias, kTfLiteFloat32, channels)));
    }
    std::string reason;
    std::unique_ptr<Bconv> bconv =
        Bconv::Create(params, {filter.data(), multiplier.data(), bias.data(), thresholds.data()}, level, &reason);
    if (!bconv) throw Refusal(reason);
    return bconv;
  }

  BconvParams options_;
  BconvParams params_;  // of bconv_
  std::unique_ptr<Bconv> bconv_;
  int in_height_ = 0;
  int in_width_ = 0;
};

}  // namespace

std::unique_ptr<Op> MakeBconv(const OpInfo& info) { return std::make_unique<BconvOp>(info); }

}  // namespace fdabnn
