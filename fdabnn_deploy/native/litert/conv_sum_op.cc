// Differences of convolutions: float32 [N, H, W, C] each -> float32 [N, H', W', C'].
#include <algorithm>
#include <utility>

#include "kernels/conv_sum.h"
#include "litert/image_op.h"

namespace fdabnn {
namespace {

constexpr std::size_t kOfTerm = 3;    // input, filter, bias
constexpr std::size_t kOfBorder = 3;  // offsets, classes of rows, of columns

// The inputs of the convolutions.
std::size_t Terms(const OpInfo& info, bool border) { return info.inputs.size() - (border ? kOfBorder : 0); }

// The tensors that are images, each once.
std::vector<std::size_t> Images(const OpInfo& info, bool border) {
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i + kOfTerm <= Terms(info, border); i += kOfTerm) {
    const auto same = [&](std::size_t position) { return info.inputs[position] == info.inputs[i]; };
    if (std::none_of(positions.begin(), positions.end(), same)) positions.push_back(i);
  }
  return positions;
}

// Integers times their scales.
std::vector<float> Scaled(const TfLiteTensor& tensor) {
  const std::vector<std::int8_t> integers = CopyConstant<std::int8_t>(tensor);
  const std::vector<float> scales = ScalesOf(tensor);
  if (scales.empty() || integers.empty()) throw Refusal(Describe(tensor) + " has no scales");
  const std::size_t row = integers.size() / scales.size();
  std::vector<float> values(integers.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(integers[i]) * scales[i / row];
  return values;
}

class ConvSumOp : public ImageOp<ConvSum> {
 public:
  ConvSumOp(const OpInfo& info, const ConvSumParams& params, std::vector<int> expression, bool border)
      : ImageOp(Images(info, border)), params_(params), expression_(std::move(expression)), border_(border), inputs_(images().size()) {
    for (std::size_t i = 0; i + kOfTerm <= Terms(info, border); i += kOfTerm) {
      const auto same = [&](std::size_t position) { return info.inputs[position] == info.inputs[i]; };
      sources_.push_back(static_cast<int>(std::find_if(images().begin(), images().end(), same) - images().begin()));
    }
  }

 private:
  bool Read(const Tensors& tensors) override {
    tensors.CheckCounts(kOfTerm * sources_.size() + (border_ ? kOfBorder : 0), 1);
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
    const ConvSumParams& p = params_;
    const auto constant = [&](std::size_t position, std::initializer_list<int> shape) {
      const TfLiteTensor& tensor = tensors.Input(position);
      CheckType(tensor, {kTfLiteFloat32, kTfLiteInt8});
      std::vector<float> values = tensor.type == kTfLiteInt8 ? Scaled(tensor) : CopyConstant<float>(tensor);
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
    return ConvSum::Create(p, terms, expression_, Border(tensors), level, reason);
  }

  ConvSumBorder Border(const Tensors& tensors) const {
    if (!border_) return {};
    const std::size_t first = kOfTerm * sources_.size();
    const TfLiteTensor& offset = tensors.Input(first);
    CheckType(offset, {kTfLiteFloat32});
    CheckRank(offset, 4);
    const int* dims = offset.dims->data;
    ConvSumBorder border;
    const std::vector<float> values = CopyConstant<float>(offset);
    border.rows = Classes(tensors.Input(first + 1), dims[1]);
    border.columns = Classes(tensors.Input(first + 2), dims[2]);
    if (dims[3] != params_.channels_out) throw Refusal(Describe(offset) + " has other channels than the filters");
    // The kernel wants as many classes as the highest number says.
    const int row_classes = 1 + *std::max_element(border.rows.begin(), border.rows.end());
    const int column_classes = 1 + *std::max_element(border.columns.begin(), border.columns.end());
    for (int row = 0; row < row_classes; ++row) {
      const auto begin = values.begin() + std::ptrdiff_t{1} * row * dims[2] * dims[3];
      border.offset.insert(border.offset.end(), begin, begin + std::ptrdiff_t{1} * column_classes * dims[3]);
    }
    return border;
  }

  // The class of each row or column, below `count`.
  static std::vector<int> Classes(const TfLiteTensor& tensor, int count) {
    CheckType(tensor, {kTfLiteInt32});
    const std::vector<std::int32_t> values = CopyConstant<std::int32_t>(tensor);
    if (values.empty()) throw Refusal(Describe(tensor) + " is empty");
    for (const std::int32_t value : values) {
      if (value < 0 || value >= count) throw Refusal(Describe(tensor) + " holds " + std::to_string(value));
    }
    return std::vector<int>(values.begin(), values.end());
  }

  const ConvSumParams params_;
  const std::vector<int> expression_;
  const bool border_;
  std::vector<int> sources_;          // of a convolution: which of the images it has
  std::vector<const float*> inputs_;  // of a call
};

}  // namespace

std::unique_ptr<Op> MakeConvSum(const OpInfo& info, const ConvSumParams& params, const std::vector<int>& expression, bool border) {
  return std::make_unique<ConvSumOp>(info, params, expression, border);
}

}  // namespace fdabnn
