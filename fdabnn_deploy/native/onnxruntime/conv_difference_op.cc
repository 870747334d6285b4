// ConvDifference: the tree of differences of float convolutions that exact numerics makes of a layer. Specification:
// docs/ops/conv-difference.md.
#include <climits>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/conv_sum.h"
#include "onnxruntime/ops.h"
#include "onnxruntime/session_threads.h"
#include "onnxruntime/sized.h"

namespace fdabnn::ort {
namespace {

constexpr int kFilters = 0, kBiases = 1, kFirstInput = 2, kMostInputs = 4;
constexpr int kMostTerms = 64;
constexpr std::int64_t kMostValues = 1 << 30;  // of a padded picture
constexpr int kSide = 8;                       // of the squares that are turned at a time

struct Pads {
  int top, left, bottom, right;
};

// values [channels, height, width] -> [height + top + bottom, width + left + right, channels], zeros around.
void ToPixels(const float* values, int channels, int height, int width, const Pads& pads, float* to) {
  const std::size_t row = std::size_t{1} * (width + pads.left + pads.right) * channels;
  std::memset(to, 0, sizeof(float) * row * (height + pads.top + pads.bottom));
  const std::size_t plane = std::size_t{1} * height * width;
  for (int y = 0; y < height; ++y) {
    float* begin = to + (y + pads.top) * row + std::size_t{1} * pads.left * channels;
    for (int first = 0; first < channels; first += kSide) {
      const int last = std::min(first + kSide, channels);
      const float* from = values + std::size_t{1} * y * width;
      for (int x = 0; x < width; ++x) {
        for (int c = first; c < last; ++c) begin[std::size_t{1} * x * channels + c] = from[c * plane + x];
      }
    }
  }
}

// values [pixels, channels] -> [channels, pixels].
void ToPlanes(const float* values, int channels, std::size_t pixels, float* to) {
  for (std::size_t first = 0; first < pixels; first += 2 * kSide) {
    const std::size_t last = std::min(first + 2 * kSide, pixels);
    for (int c = 0; c < channels; ++c) {
      for (std::size_t i = first; i < last; ++i) to[c * pixels + i] = values[i * channels + c];
    }
  }
}

class ConvDifference : public Kernel {
 public:
  ConvDifference(int channels_in, int channels_out, int inputs, const Pads& pads, std::unique_ptr<ConvSum> sum)
      : channels_in_(channels_in), channels_out_(channels_out), inputs_(inputs), pads_(pads), sum_(std::move(sum)) {}

  void Compute(const Call& call) override {
    std::vector<Tensor> x;
    for (int i = 0; i < inputs_; ++i) x.push_back(call.Input(kFirstInput + i));
    const Shape& shape = x[0].shape;
    bool fits = shape.size() == 4 && shape[1] == channels_in_ && shape[0] <= INT_MAX;
    for (std::size_t axis = 2; fits && axis < 4; ++axis) fits = shape[axis] >= 1 && shape[axis] <= kLargest;
    if (!fits) throw Refusal("X0 is " + ToText(shape) + " and not [N, " + std::to_string(channels_in_) + ", H, W]");
    for (const Tensor& tensor : x) {
      if (tensor.data == nullptr || tensor.shape != shape) throw Refusal("its inputs differ in shape, or one is missing");
    }
    const int height = static_cast<int>(shape[2]), width = static_cast<int>(shape[3]);
    const int padded_h = height + pads_.top + pads_.bottom, padded_w = width + pads_.left + pads_.right;
    if (std::int64_t{padded_h} * padded_w > kMostValues / channels_in_) throw Refusal("its input or padding is too large");
    const auto lock = sum_.Prepare(padded_h, padded_w);
    const std::int64_t out_h = sum_->out_height(), out_w = sum_->out_width();
    auto* y = static_cast<float*>(call.Output(0, {shape[0], channels_out_, out_h, out_w}));
    const std::size_t pixels = static_cast<std::size_t>(out_h * out_w), picture = std::size_t{1} * height * width * channels_in_;
    const std::size_t padded = RoundUp(std::size_t{1} * padded_h * padded_w * channels_in_, 16);
    const std::size_t result = RoundUp(pixels * channels_out_, 16);
    const int threads = threads_.count();
    Workspaces::Space space = workspaces_.Take(sizeof(float) * (padded * inputs_ + result) + sum_->WorkspaceBytes(threads));
    auto* memory = space.buffer.as<float>();
    for (std::int64_t image = 0; image < shape[0]; ++image) {
      std::vector<const float*> pictures;
      for (int i = 0; i < inputs_; ++i) {
        float* to = memory + i * padded;
        ToPixels(static_cast<const float*>(x[i].data) + image * picture, channels_in_, height, width, pads_, to);
        pictures.push_back(to);
      }
      float* out = memory + inputs_ * padded;
      threads_.Run(call, threads, [&](ThreadPool& pool) { sum_->Run(pictures.data(), 1, out, pool, out + result); });
      ToPlanes(out, channels_out_, pixels, y + image * pixels * channels_out_);
    }
    workspaces_.Return(std::move(space));
  }

 private:
  const int channels_in_, channels_out_, inputs_;
  const Pads pads_;
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
  const std::vector<int> strides = node.Ints("strides", 2, 1, kLargest, 1), dilations = node.Ints("dilations", 2, 1, kLargest, 1);
  const std::vector<int> pads = node.Ints("pads", 4, 0, kLargest, 0);
  p.stride_h = strides[0];
  p.stride_w = strides[1];
  p.dilation_h = dilations[0];
  p.dilation_w = dilations[1];
  for (int i = 0; i < 4; ++i) {
    const std::int64_t reach = i % 2 ? std::int64_t{p.kernel_w - 1} * p.dilation_w : std::int64_t{p.kernel_h - 1} * p.dilation_h;
    if (pads[i] > reach) throw Refusal("its padding is not smaller than its dilated filter");
  }
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
  for (std::size_t block = 0; block < std::size_t{1} * count * p.channels_out; ++block) {
    const float* from = static_cast<const float*>(filters.data) + block * area * p.channels_in;
    ToPixels(from, p.channels_in, p.kernel_h, p.kernel_w, {}, turned.data() + block * area * p.channels_in);
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
  return std::make_unique<ConvDifference>(p.channels_in, p.channels_out, last + 1, Pads{pads[0], pads[1], pads[2], pads[3]},
                                          std::move(sum));
}

}  // namespace fdabnn::ort
