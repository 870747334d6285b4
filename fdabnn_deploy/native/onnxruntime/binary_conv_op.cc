// BinaryConv: a convolution of packed signs and what follows it up to the next sign. Specification: docs/ops/binary-conv.md.
#include <memory>
#include <utility>
#include <vector>

#include "kernels/binary_layer.h"
#include "onnxruntime/ops.h"
#include "onnxruntime/sized_kernel.h"

namespace fdabnn::ort {
namespace {

enum Input { kSigns, kFilter, kSlope, kScale, kOffset, kResidual };
constexpr const char* kNames[] = {"S", "filter", "slope", "scale", "offset", "residual"};
enum Output { kValues, kNextSigns };

class BinaryConv : public Kernel {
 public:
  // constants: which of the inputs the layer holds already.
  BinaryConv(const BinaryLayerParams& params, std::unique_ptr<BinaryLayer> layer, std::vector<bool> constants)
      : params_(params), layer_(std::move(layer)), constants_(std::move(constants)) {}

  void Compute(const Call& call) override {
    for (std::size_t index : {kSlope, kScale, kOffset}) {
      if (!constants_[index] && call.Input(index).data != nullptr) throw Refusal(std::string(kNames[index]) + " is no constant");
    }
    const Tensor signs = call.Input(kSigns);
    const int words = WordsFor(params_.channels_in);
    if (signs.shape.size() != 4 || signs.shape[3] != words || signs.shape[0] > kLargest) {
      throw Refusal("S is " + ToText(signs.shape) + " and not [N, H, W, " + std::to_string(words) + "]");
    }
    for (std::size_t axis : {1, 2}) {
      if (signs.shape[axis] < 1 || signs.shape[axis] > kLargest) throw Refusal("S is " + ToText(signs.shape));
    }
    const std::int64_t batch = signs.shape[0];
    layer_.Run(call, batch, signs.shape[1], signs.shape[2], [&](std::int64_t out_h, std::int64_t out_w) {
      const Tensor residual = call.Input(kResidual);
      const Shape shape = {batch, params_.channels_out, out_h, out_w};
      if (residual.data != nullptr && residual.shape != shape) {
        throw Refusal("residual is " + ToText(residual.shape) + " and not " + ToText(shape));
      }
      BinaryLayerTensors tensors;
      tensors.input = static_cast<const Word*>(signs.data);
      tensors.residual = static_cast<const float*>(residual.data);
      tensors.values = static_cast<float*>(call.Output(kValues, shape));
      tensors.signs = static_cast<Word*>(call.Output(kNextSigns, {batch, out_h, out_w, WordsFor(params_.channels_out)}));
      return tensors;
    });
  }

 private:
  const BinaryLayerParams params_;
  SizedKernel<BinaryLayer> layer_;
  const std::vector<bool> constants_;
};

// One value per output channel, or one for all.
std::vector<float> PerChannel(const NodeInfo& node, Input index, int channels) {
  const Tensor tensor = node.Constant(index);
  if (tensor.data == nullptr) return {};
  const auto* values = static_cast<const float*>(tensor.data);
  if (tensor.shape == Shape{1}) return std::vector<float>(static_cast<std::size_t>(channels), values[0]);
  if (tensor.shape != Shape{channels}) {
    throw Refusal(std::string(kNames[index]) + " is " + ToText(tensor.shape) + " and not [" + std::to_string(channels) + "]");
  }
  return std::vector<float>(values, values + channels);
}

const float* Pointer(const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }

}  // namespace

std::unique_ptr<Kernel> MakeBinaryConv(const NodeInfo& node, Level level) {
  const Tensor filter = node.Constant(kFilter);
  if (filter.data == nullptr) throw Refusal("filter is no constant");
  BinaryLayerParams p;
  p.channels_in = node.Int("channels", 1, kLargest);
  p.groups = node.Int("group", 1, kLargest, 1);
  if (p.channels_in % p.groups != 0) throw Refusal("group does not divide channels");
  const int words = WordsFor(p.channels_in / p.groups);
  if (filter.shape.size() != 4 || filter.shape[3] != words) {
    throw Refusal("filter is " + ToText(filter.shape) + " and not [O, kernel height, kernel width, " + std::to_string(words) + "]");
  }
  for (int axis = 0; axis < 3; ++axis) {
    if (filter.shape[axis] < 1 || filter.shape[axis] > kLargest) throw Refusal("filter is " + ToText(filter.shape));
  }
  p.channels_out = static_cast<int>(filter.shape[0]);
  p.kernel_h = static_cast<int>(filter.shape[1]);
  p.kernel_w = static_cast<int>(filter.shape[2]);
  node.ReadWindows(&p);
  p.pad_value = node.Int("pad_value", 0, 1, 0);
  p.planes = true;
  const std::vector<float> slope = PerChannel(node, kSlope, p.channels_out);
  const std::vector<float> scale = PerChannel(node, kScale, p.channels_out);
  const std::vector<float> offset = PerChannel(node, kOffset, p.channels_out);
  const BinaryLayerConstants constants = {static_cast<const Word*>(filter.data), Pointer(slope), Pointer(scale), Pointer(offset)};
  std::unique_ptr<BinaryLayer> layer = CreateKernel<BinaryLayer>(p, constants, level);
  return std::make_unique<BinaryConv>(p, std::move(layer), std::vector<bool>{false, true, !slope.empty(), !scale.empty(), !offset.empty()});
}

}  // namespace fdabnn::ort
