// ConvDifference: the tree of differences of float convolutions that exact numerics makes of a layer. Specification:
// docs/ops/conv-difference.md.
#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/conv_sum.h"
#include "kernels/layer_finish.h"
#include "onnxruntime/ops.h"
#include "onnxruntime/sized_kernel.h"

namespace fdabnn::ort {
namespace {

constexpr int kFilters = 0, kBiases = 1, kFirstInput = 2, kMostInputs = 4;
constexpr int kMostTerms = 64;
constexpr int kMostExponent = 100;
constexpr int kMostClasses = 1 << 12;

class ConvDifference : public Kernel {
 public:
  ConvDifference(const ConvSumParams& params, int inputs, std::unique_ptr<ConvSum> sum)
      : channels_in_(params.channels_in),
        channels_out_(params.channels_out),
        inputs_(inputs),
        octets_(params.octets),
        sum_(std::move(sum)) {}

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
      if (tensor.type != (octets_ ? kOrtUint8 : kOrtFloat)) throw Refusal("its inputs are not of the type that pixel_input says");
      images.push_back(static_cast<const float*>(tensor.data));
    }
    sum_.Run(call, shape[0], shape[2], shape[3], [&](std::int64_t out_h, std::int64_t out_w) {
      return ConvSumTensors{images.data(), octets_ ? static_cast<const std::uint8_t*>(x[0].data) : nullptr,
                            static_cast<float*>(call.Output(0, {shape[0], channels_out_, out_h, out_w}))};
    });
  }

 private:
  const int channels_in_, channels_out_, inputs_;
  const bool octets_;
  SizedKernel<ConvSum> sum_;
};

std::int64_t Classes(const std::vector<int>& places) {
  return places.empty() ? 0 : 1 + std::int64_t{*std::max_element(places.begin(), places.end())};
}

// The filters OHWI as floats, each once. Integers are multiplied by a power of two for every filter and output channel.
std::vector<float> Transposed(const NodeInfo& node, const Tensor& filters, std::size_t taps, int channels, Level level) {
  const std::size_t area = taps / static_cast<std::size_t>(channels);
  std::vector<float> plain;
  const auto* from = static_cast<const float*>(filters.data);
  std::size_t rows = 1;
  for (std::size_t axis = 0; axis < 2; ++axis) rows *= static_cast<std::size_t>(filters.shape[axis]);
  if (filters.type == kOrtInt8) {
    const std::vector<int> exponents = node.List("exponents", rows, rows, -kMostExponent, kMostExponent);
    const auto* integers = static_cast<const std::int8_t*>(filters.data);
    plain.resize(rows * taps);
    for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = std::ldexp(static_cast<float>(integers[i]), exponents[i / taps]);
    from = plain.data();
  } else if (filters.type != kOrtFloat) {
    throw Refusal("filters are neither float32 nor int8");
  }
  std::vector<float> transposed(rows * taps);
  for (std::size_t block = 0; block < transposed.size(); block += taps) {
    const auto width = static_cast<std::size_t>(channels);
    LayerLoopsOf(level).transpose(from + block, area, width, area, transposed.data() + block, width);
  }
  return transposed;
}

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
  node.ReadWindows(&p);
  p.planes = true;
  p.octets = node.Int("pixel_input", 0, 1, 0) == 1;
  const std::vector<int> expression = node.List("expression", 1, 2 * kMostTerms, kSubtract, kMostTerms - 1);
  const std::vector<int> inputs = node.List("term_inputs", 1, kMostTerms, 0, kMostInputs - 1);
  const std::vector<int> chosen = node.List("term_filters", inputs.size(), inputs.size(), 0, count - 1);
  ConvSumBorder border;
  border.rows = node.OptionalList("border_rows", kLargest, 0, kMostClasses - 1);
  border.columns = node.OptionalList("border_columns", kLargest, 0, kMostClasses - 1);
  const auto terms = static_cast<std::int64_t>(inputs.size());
  const std::int64_t classes = Classes(border.rows) * Classes(border.columns);
  if (biases.shape != Shape{terms + classes, p.channels_out}) {
    throw Refusal("biases is " + ToText(biases.shape) + " and not " + ToText({terms + classes, p.channels_out}));
  }
  const float* offset = static_cast<const float*>(biases.data) + terms * p.channels_out;
  border.offset.assign(offset, offset + classes * p.channels_out);
  const std::size_t area = std::size_t{1} * p.kernel_h * p.kernel_w, filter = area * p.channels_in * p.channels_out;
  const std::vector<float> transposed = Transposed(node, filters, area * p.channels_in, p.channels_in, level);
  std::vector<ConvSumTerm> list;
  int last = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    list.push_back({inputs[i], transposed.data() + chosen[i] * filter, static_cast<const float*>(biases.data) + i * p.channels_out});
    last = std::max(last, inputs[i]);
  }
  std::unique_ptr<ConvSum> sum = CreateKernel<ConvSum>(p, list, expression, border, level);
  return std::make_unique<ConvDifference>(p, last + 1, std::move(sum));
}

}  // namespace fdabnn::ort
