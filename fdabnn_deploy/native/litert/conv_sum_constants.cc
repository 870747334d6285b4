#include "litert/conv_sum_constants.h"

#include <algorithm>
#include <initializer_list>
#include <string>

namespace fdabnn {
namespace {

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

// The class of each row or column, below `count`.
std::vector<int> Classes(const TfLiteTensor& tensor, int count) {
  CheckType(tensor, {kTfLiteInt32});
  const std::vector<std::int32_t> values = CopyConstant<std::int32_t>(tensor);
  if (values.empty()) throw Refusal(Describe(tensor) + " is empty");
  for (const std::int32_t value : values) {
    if (value < 0 || value >= count) throw Refusal(Describe(tensor) + " holds " + std::to_string(value));
  }
  return std::vector<int>(values.begin(), values.end());
}

// first: the position of the offsets.
ConvSumBorder ReadBorder(const Tensors& tensors, const ConvSumParams& params, std::size_t first) {
  const TfLiteTensor& offset = tensors.Input(first);
  CheckType(offset, {kTfLiteFloat32});
  CheckRank(offset, 4);
  const int* dims = offset.dims->data;
  ConvSumBorder border;
  const std::vector<float> values = CopyConstant<float>(offset);
  border.rows = Classes(tensors.Input(first + 1), dims[1]);
  border.columns = Classes(tensors.Input(first + 2), dims[2]);
  if (dims[3] != params.channels_out) throw Refusal(Describe(offset) + " has other channels than the filters");
  // The kernel wants as many classes as the highest number says.
  const int row_classes = 1 + *std::max_element(border.rows.begin(), border.rows.end());
  const int column_classes = 1 + *std::max_element(border.columns.begin(), border.columns.end());
  for (int row = 0; row < row_classes; ++row) {
    const auto begin = values.begin() + std::ptrdiff_t{1} * row * dims[2] * dims[3];
    border.offset.insert(border.offset.end(), begin, begin + std::ptrdiff_t{1} * column_classes * dims[3]);
  }
  return border;
}

std::vector<float> ReadFloats(const TfLiteTensor& tensor, std::initializer_list<int> shape) {
  CheckType(tensor, {kTfLiteFloat32, kTfLiteInt8});
  std::vector<float> values = tensor.type == kTfLiteInt8 ? Scaled(tensor) : CopyConstant<float>(tensor);
  CheckShape(tensor, shape);
  return values;
}

}  // namespace

engine::FloatConv ReadFloatConv(const Tensors& tensors, const ConvSumParams& params, const std::vector<int>& expression,
                                const std::vector<int>& sources, Border border) {
  engine::FloatConv conv;
  conv.params = params;
  conv.expression = expression;
  conv.terms.reserve(sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    conv.terms.push_back(
        {sources[i],
         ReadFloats(tensors.Input(kOfTerm * i + 1), {params.channels_out, params.kernel_h, params.kernel_w, params.channels_in}),
         ReadFloats(tensors.Input(kOfTerm * i + 2), {params.channels_out})});
  }
  if (border != Border::kNone) conv.border = ReadBorder(tensors, params, kOfTerm * sources.size());
  // A difference is the sum with the negated number.
  for (float& offset : conv.border.offset) offset = border == Border::kSubtracted ? -offset : offset;
  return conv;
}

}  // namespace fdabnn
