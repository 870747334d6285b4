#include "litert/engine_nodes.h"

#include <algorithm>
#include <array>
#include <climits>
#include <string>
#include <utility>

#include "kernels/bconv_driver.h"
#include "litert/bconv_constants.h"
#include "litert/conv_sum_constants.h"
#include "litert/partition.h"

namespace fdabnn {
namespace {

using engine::ElementType;
using Operator = engine::Pointwise::Operator;

const TfLiteTensor& TensorAt(const TfLiteContext& context, int index) {
  if (index < 0 || static_cast<std::size_t>(index) >= context.tensors_size) throw Refusal("a tensor's index is out of range");
  const TfLiteTensor& tensor = context.tensors[index];
  if (tensor.dims == nullptr || tensor.is_variable) throw Refusal(Describe(tensor) + " has no shape, or is a variable");
  return tensor;
}

template <class Params>
const Params& ParamsOf(const TfLiteNode& node) {
  if (node.builtin_data == nullptr) throw Refusal("its options are missing");
  return *static_cast<const Params*>(node.builtin_data);
}

ElementType TypeOf(const TfLiteTensor& tensor) {
  CheckType(tensor, {kTfLiteFloat32, kTfLiteInt32});
  return tensor.type == kTfLiteFloat32 ? ElementType::kFloat : ElementType::kSigns;
}

void CheckPlainFloat(const TfLiteTensor& tensor) {
  CheckType(tensor, {kTfLiteFloat32});
  if (tensor.dims->size != 4 && tensor.dims->size != 2) throw Refusal(Describe(tensor) + " is neither an image nor a vector");
}

// A constant of one value, or of one per channel, the last axis.
std::vector<float> ReadConstant(const TfLiteTensor& tensor, int channels) {
  CheckType(tensor, {kTfLiteFloat32});
  if (tensor.sparsity != nullptr) throw Refusal(Describe(tensor) + " is sparse");
  std::vector<float> values = CopyConstant<float>(tensor);
  const int rank = tensor.dims->size;
  const bool per_channel = rank > 0 && tensor.dims->data[rank - 1] == channels && values.size() == static_cast<std::size_t>(channels);
  if (rank > 4 || (!per_channel && values.size() != 1)) throw Refusal(Describe(tensor) + " is no constant per channel");
  return values;
}

std::vector<int> ReadInts(const TfLiteTensor& tensor, std::initializer_list<int> shape) {
  CheckType(tensor, {kTfLiteInt32});
  CheckShape(tensor, shape);
  const std::vector<std::int32_t> values = CopyConstant<std::int32_t>(tensor);
  return std::vector<int>(values.begin(), values.end());
}

// The numbers of the inputs of a tree's convolutions among its images.
std::vector<int> SourcesOf(const ConvSumTree& tree, std::vector<int>* images) {
  std::vector<int> sources;
  for (std::size_t i = 0; i + kOfTerm <= tree.inputs.size(); i += kOfTerm) {
    const auto found = std::find(images->begin(), images->end(), tree.inputs[i]);
    sources.push_back(static_cast<int>(found - images->begin()));
    if (found == images->end()) images->push_back(tree.inputs[i]);
  }
  return sources;
}

}  // namespace

void EngineGraphBuilder::Add(int index) {
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  if (context_->GetNodeAndRegistration(context_, index, &node, &registration) != kTfLiteOk || node->delegate != nullptr) {
    throw Refusal("the runtime does not show the node");
  }
  index_ = index;
  Source source{*node, *registration, {}};
  source.info.inputs = ToVector(node->inputs);
  source.info.outputs = ToVector(node->outputs);
  if (source.info.inputs.empty() || source.info.outputs.size() != 1) throw Refusal("it has no inputs, or other than one output");
  registration->custom_name != nullptr ? AddCustom(source) : AddBuiltin(source);
}

void EngineGraphBuilder::Add(const ConvSumTree& tree) {
  index_ = tree.nodes.back();
  std::vector<int> images;
  const std::vector<int> sources = SourcesOf(tree, &images);
  OpInfo info;
  info.inputs = tree.inputs;
  info.inputs.insert(info.inputs.end(), tree.border.begin(), tree.border.end());
  info.outputs = {tree.output};
  engine::FloatConv conv = ReadFloatConv(Tensors(context_, info), tree.params, tree.expression, sources, BorderOf(tree));
  std::vector<int> inputs;
  inputs.reserve(images.size());
  for (const int image : images) inputs.push_back(Input(image, tree.params.octets ? ElementType::kBytes : ElementType::kFloat));
  AddNode(std::move(conv), std::move(inputs), Output(tree.output, ElementType::kFloat, 4));
}

EngineGraph EngineGraphBuilder::Finish(const std::vector<int>& outputs) {
  for (const int tensor : outputs) {
    const auto found = values_.find(tensor);
    if (found == values_.end()) throw Refusal("an output is inside of an operator");
    result_.outputs.push_back(tensor);
    result_.graph.outputs.push_back(found->second);
    result_.ranks.push_back(ranks_[static_cast<std::size_t>(found->second)]);
  }
  return std::move(result_);
}

void EngineGraphBuilder::AddCustom(const Source& source) {
  const std::string name = source.registration.custom_name;
  const int result = source.info.outputs[0];
  if (name == "LceQuantize") {
    const int value = FloatInput(source, 0);
    CheckType(TensorAt(*context_, result), {kTfLiteInt32});
    AddNode(engine::Signs(), {value}, Output(result, ElementType::kSigns, ranks_[static_cast<std::size_t>(value)]));
  } else if (name == "LceBconv2d") {
    OpInfo info = source.info;
    info.options = static_cast<const std::uint8_t*>(source.node.custom_initial_data);
    info.options_size = source.node.custom_initial_data_size > 0 ? static_cast<std::size_t>(source.node.custom_initial_data_size) : 0;
    const Tensors tensors(context_, info);
    engine::BinaryConv conv = ReadBinaryConv(ReadBconvOptions(info), tensors);
    // Damaged operators are left to the operator alone, which says so.
    if (const char* reason = RefuseConv(conv.params, conv.filter.data())) throw Refusal(reason);
    const TfLiteTensor& image = tensors.Input(kBconvInput);
    CheckType(image, {kTfLiteInt32});
    const ElementType type = TypeOf(tensors.Output(0));
    AddNode(std::move(conv), {Input(info.inputs[kBconvInput], ElementType::kSigns)}, Output(result, type, 4));
  } else {
    throw Refusal("the engine does not know the operator");
  }
}

void EngineGraphBuilder::AddBuiltin(const Source& source) {
  const int result = source.info.outputs[0];
  if (source.registration.builtin_code == kTfLiteBuiltinReshape) return AddReshape(source);
  if (source.registration.builtin_code == kTfLiteBuiltinReverseV2) return AddReverse(source);
  CheckPlainFloat(TensorAt(*context_, result));
  switch (source.registration.builtin_code) {
    case kTfLiteBuiltinAdd:
      return AddArithmetic(source, Operator::kAdd, ParamsOf<TfLiteAddParams>(source.node).activation);
    case kTfLiteBuiltinSub:
      return AddArithmetic(source, Operator::kSubtract, ParamsOf<TfLiteSubParams>(source.node).activation);
    case kTfLiteBuiltinMul:
      return AddArithmetic(source, Operator::kMultiply, ParamsOf<TfLiteMulParams>(source.node).activation);
    case kTfLiteBuiltinMinimum:
      return AddArithmetic(source, Operator::kMinimum, kTfLiteActNone);
    case kTfLiteBuiltinMaximum:
      return AddArithmetic(source, Operator::kMaximum, kTfLiteActNone);
    case kTfLiteBuiltinPrelu:
      return AddArithmetic(source, Operator::kPrelu, kTfLiteActNone);
    case kTfLiteBuiltinRelu:
      return AddActivation(kTfLiteActRelu, FloatInput(source, 0), result);
    case kTfLiteBuiltinRelu6:
      return AddActivation(kTfLiteActRelu6, FloatInput(source, 0), result);
    case kTfLiteBuiltinRound:
    case kTfLiteBuiltinLeakyRelu: {
      const bool round = source.registration.builtin_code == kTfLiteBuiltinRound;
      engine::Pointwise pointwise;
      pointwise.op = round ? Operator::kRound : Operator::kPrelu;
      if (!round) pointwise.constant = {ParamsOf<TfLiteLeakyReluParams>(source.node).alpha};
      const int value = FloatInput(source, 0);
      return AddNode(std::move(pointwise), {value}, Output(result, ElementType::kFloat, ranks_[static_cast<std::size_t>(value)]));
    }
    case kTfLiteBuiltinMaxPool2d:
      return AddPool(source, false);
    case kTfLiteBuiltinAveragePool2d:
      return AddPool(source, true);
    case kTfLiteBuiltinStridedSlice:
      return AddSlice(source);
    case kTfLiteBuiltinPad:
      return AddPad(source);
    default:
      throw Refusal("the engine does not know the operator");
  }
}

void EngineGraphBuilder::AddArithmetic(const Source& source, Operator op, TfLiteFusedActivation activation) {
  if (source.info.inputs.size() != 2) throw Refusal("it has other than two inputs");
  const TfLiteTensor &first = TensorAt(*context_, source.info.inputs[0]), &second = TensorAt(*context_, source.info.inputs[1]);
  engine::Pointwise pointwise;
  pointwise.op = op;
  std::vector<int> inputs;
  if (IsConstant(first) || IsConstant(second)) {
    if (IsConstant(first) && (IsConstant(second) || op == Operator::kPrelu)) throw Refusal("its input is a constant");
    pointwise.constant_first = IsConstant(first);
    inputs = {FloatInput(source, IsConstant(first) ? 1 : 0)};
    const TfLiteTensor& image = IsConstant(first) ? second : first;
    pointwise.constant = ReadConstant(IsConstant(first) ? first : second, image.dims->data[image.dims->size - 1]);
    // A constant of higher rank would give the result its own.
    if ((IsConstant(first) ? first : second).dims->size > image.dims->size) throw Refusal("its constant has more axes than its input");
  } else {
    // Shapes that differ are repeated by the runtime.
    const bool same =
        first.dims->size == second.dims->size && std::equal(first.dims->data, first.dims->data + first.dims->size, second.dims->data);
    if (op == Operator::kPrelu || !same) throw Refusal("its inputs differ in shape");
    inputs = {FloatInput(source, 0), FloatInput(source, 1)};
  }
  const int rank = ranks_[static_cast<std::size_t>(inputs[0])];
  const int result = source.info.outputs[0];
  const bool activated = activation != kTfLiteActNone;
  const int value = activated ? Inner(ElementType::kFloat, rank) : Output(result, ElementType::kFloat, rank);
  AddNode(std::move(pointwise), std::move(inputs), value);
  if (activated) AddActivation(activation, value, result);
}

void EngineGraphBuilder::AddActivation(TfLiteFusedActivation activation, int from, int tensor) {
  const int rank = ranks_[static_cast<std::size_t>(from)];
  if (activation != kTfLiteActRelu && activation != kTfLiteActRelu6 && activation != kTfLiteActReluN1To1) {
    throw Refusal("the engine does not know its activation");
  }
  const bool limited = activation != kTfLiteActRelu;
  engine::Pointwise low, high;
  low.op = Operator::kMaximum;
  low.constant = {activation == kTfLiteActReluN1To1 ? -1.0f : 0.0f};
  const int above = limited ? Inner(ElementType::kFloat, rank) : Output(tensor, ElementType::kFloat, rank);
  AddNode(std::move(low), {from}, above);
  if (!limited) return;
  high.op = Operator::kMinimum;
  high.constant = {activation == kTfLiteActReluN1To1 ? 1.0f : 6.0f};
  AddNode(std::move(high), {above}, Output(tensor, ElementType::kFloat, rank));
}

void EngineGraphBuilder::AddPool(const Source& source, bool average) {
  constexpr int kMostSize = 64;  // of a window
  const auto& params = ParamsOf<TfLitePoolParams>(source.node);
  engine::Pool pool;
  pool.average = average;
  pool.windows.kernel_h = params.filter_height;
  pool.windows.kernel_w = params.filter_width;
  pool.windows.stride_h = params.stride_height;
  pool.windows.stride_w = params.stride_width;
  pool.windows.same_padding = params.padding == kTfLitePaddingSame;
  const auto [least, most] = std::minmax({params.filter_height, params.filter_width, params.stride_height, params.stride_width});
  if (least < 1 || most > kMostSize || params.activation != kTfLiteActNone ||
      (params.padding != kTfLitePaddingSame && params.padding != kTfLitePaddingValid)) {
    throw Refusal("the engine does not know such a pool");
  }
  // Of others the runtime counts what is inside the image.
  if (average && pool.windows.same_padding) throw Refusal("the engine does not know averages at borders");
  const int value = FloatInput(source, 0);
  if (ranks_[static_cast<std::size_t>(value)] != 4) throw Refusal("it pools no image");
  AddNode(pool, {value}, Output(source.info.outputs[0], ElementType::kFloat, 4));
}

void EngineGraphBuilder::AddSlice(const Source& source) {
  const auto& params = ParamsOf<TfLiteStridedSliceParams>(source.node);
  if (source.info.inputs.size() != 4 || params.ellipsis_mask != 0 || params.new_axis_mask != 0 || params.shrink_axis_mask != 0) {
    throw Refusal("the engine does not know such a slice");
  }
  const TfLiteTensor& image = TensorAt(*context_, source.info.inputs[0]);
  CheckRank(image, 4);
  const int channels = image.dims->data[3];
  const auto ints = [&](std::size_t position) { return ReadInts(TensorAt(*context_, source.info.inputs[position]), {4}); };
  std::vector<int> begin = ints(1), end = ints(2), stride = ints(3);
  for (std::size_t axis = 0; axis < 4; ++axis) {
    if ((params.begin_mask >> axis & 1) != 0) begin[axis] = 0;
    if ((params.end_mask >> axis & 1) != 0) end[axis] = engine::Slice::kToEnd;
    // An offset counts from the beginning.
    if (params.offset && end[axis] != engine::Slice::kToEnd) throw Refusal("the engine does not know such a slice");
    if (begin[axis] < 0 || stride[axis] < 1 || begin[axis] > INT_MAX / 4 || stride[axis] > INT_MAX / 4)
      throw Refusal("it counts from the end");
    const bool to_end = end[axis] == engine::Slice::kToEnd || (axis == 3 && end[axis] == channels);
    const bool whole = begin[axis] == 0 && stride[axis] == 1 && to_end;
    if ((axis == 0 || axis == 3) && !whole) throw Refusal("it slices images or channels");
  }
  engine::Slice slice;
  for (std::size_t i = 0; i < 2; ++i) slice.begin[i] = begin[i + 1], slice.end[i] = end[i + 1], slice.stride[i] = stride[i + 1];
  const int value = FloatInput(source, 0);
  AddNode(slice, {value}, Output(source.info.outputs[0], ElementType::kFloat, 4));
}

void EngineGraphBuilder::AddPad(const Source& source) {
  if (source.info.inputs.size() != 2) throw Refusal("it has other than two inputs");
  const std::vector<int> sizes = ReadInts(TensorAt(*context_, source.info.inputs[1]), {4, 2});
  if (sizes[0] != 0 || sizes[1] != 0) throw Refusal("it pads the batch");
  engine::Pad pad;
  for (std::size_t i = 0; i < 3; ++i) pad.before[i] = sizes[2 * i + 2], pad.after[i] = sizes[2 * i + 3];
  const int value = FloatInput(source, 0);
  if (ranks_[static_cast<std::size_t>(value)] != 4) throw Refusal("it pads no image");
  AddNode(pad, {value}, Output(source.info.outputs[0], ElementType::kFloat, 4));
}

// Of bytes, between images and rows of pixels [n, pixels, c], with a free batch.
void EngineGraphBuilder::AddReshape(const Source& source) {
  if (source.info.inputs.size() != 2) throw Refusal("it has other than two inputs");
  CheckType(TensorAt(*context_, source.info.outputs[0]), {kTfLiteUInt8});
  const TfLiteTensor& sizes = TensorAt(*context_, source.info.inputs[1]);
  CheckRank(sizes, 1);
  const int rank = sizes.dims->data[0];
  const std::vector<int> shape = ReadInts(sizes, {rank});
  if ((rank != 3 && rank != 4) || shape[0] != -1 || *std::min_element(shape.begin() + 1, shape.end()) < 1) {
    throw Refusal("the engine does not know such a shape");
  }
  const engine::Reshape reshape = {rank == 3 ? 1 : shape[1], rank == 3 ? shape[1] : shape[2], shape.back()};
  const int value = BytesInput(source);
  AddNode(reshape, {value}, Output(source.info.outputs[0], ElementType::kBytes, rank));
}

// Of rows of pixels, or of the columns of images.
void EngineGraphBuilder::AddReverse(const Source& source) {
  if (source.info.inputs.size() != 2) throw Refusal("it has other than two inputs");
  CheckType(TensorAt(*context_, source.info.outputs[0]), {kTfLiteUInt8});
  const int value = BytesInput(source);
  const int rank = ranks_[static_cast<std::size_t>(value)];
  if (ReadInts(TensorAt(*context_, source.info.inputs[1]), {1})[0] != rank - 2) throw Refusal("it reverses other than columns");
  AddNode(engine::Reverse(), {value}, Output(source.info.outputs[0], ElementType::kBytes, rank));
}

int EngineGraphBuilder::BytesInput(const Source& source) {
  const TfLiteTensor& tensor = TensorAt(*context_, source.info.inputs[0]);
  CheckType(tensor, {kTfLiteUInt8});
  if (tensor.dims->size != 3 && tensor.dims->size != 4) throw Refusal(Describe(tensor) + " is no image");
  return Input(source.info.inputs[0], ElementType::kBytes);
}

int EngineGraphBuilder::Input(int tensor, ElementType type) {
  const TfLiteTensor& known = TensorAt(*context_, tensor);
  const auto found = values_.find(tensor);
  if (found != values_.end()) {
    if (result_.graph.types[static_cast<std::size_t>(found->second)] != type) throw Refusal(Describe(known) + " is of another type");
    return found->second;
  }
  if (IsConstant(known)) throw Refusal("its input is a constant");
  CheckType(known, {type == ElementType::kFloat ? kTfLiteFloat32 : type == ElementType::kBytes ? kTfLiteUInt8 : kTfLiteInt32});
  const int value = Output(tensor, type, known.dims->size);
  result_.inputs.push_back(tensor);
  result_.graph.inputs.push_back(value);
  return value;
}

int EngineGraphBuilder::FloatInput(const Source& source, std::size_t position) {
  const TfLiteTensor& tensor = TensorAt(*context_, source.info.inputs[position]);
  CheckType(tensor, {kTfLiteFloat32});
  const int value = Input(source.info.inputs[position], ElementType::kFloat);
  const int rank = ranks_[static_cast<std::size_t>(value)];
  if (rank != 2 && rank != 4) throw Refusal(Describe(tensor) + " is neither an image nor a vector");
  return value;
}

int EngineGraphBuilder::Output(int tensor, ElementType type, int rank) {
  const int value = Inner(type, rank);
  if (!values_.emplace(tensor, value).second) throw Refusal("a tensor is written twice");
  return value;
}

int EngineGraphBuilder::Inner(ElementType type, int rank) {
  result_.graph.types.push_back(type);
  ranks_.push_back(rank);
  return static_cast<int>(ranks_.size()) - 1;
}

void EngineGraphBuilder::AddNode(decltype(engine::Node::what) what, std::vector<int> inputs, int output) {
  result_.graph.nodes.push_back({std::move(what), std::move(inputs), output});
  result_.nodes.push_back(index_);
}

}  // namespace fdabnn
