#include "litert/conv_sum_graph.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include "litert/op.h"

namespace fdabnn {
namespace {

constexpr std::size_t kMostTerms = 256;  // more than numerics ever makes; parts of larger trees are trees too

// The kernel copies what lies between the taps of a window, so a runtime's own kernel is better at windows that are wider than this.
constexpr std::int64_t kWidestWindow = 1 << 10;

bool HasOptions(std::int32_t code) {
  return code != kTfLiteBuiltinDequantize && code != kTfLiteBuiltinCast && code != kTfLiteBuiltinMaximum;
}

struct Node {
  const TfLiteNode* node;
  const TfLiteRegistration* registration;

  bool IsBuiltin(std::int32_t code, int inputs) const {
    return registration->builtin_code == code && registration->custom_name == nullptr && node->delegate == nullptr &&
           (node->builtin_data != nullptr || !HasOptions(code)) && node->inputs != nullptr && node->inputs->size == inputs &&
           node->outputs != nullptr && node->outputs->size == 1;
  }
};

class Finder {
 public:
  Finder(const TfLiteContext& context, const std::vector<int>& plan) : context_(context), plan_(plan) {}

  std::vector<ConvSumTree> Find() {
    for (std::size_t i = 0; i < plan_.size(); ++i) {
      place_.emplace(plan_[i], i);
      Count(Get(plan_[i]));
    }
    for (const int index : plan_) {
      const Node node = Get(index);
      if (node.node == nullptr) continue;
      if (node.IsBuiltin(kTfLiteBuiltinDequantize, 1)) AddIntegers(*node.node, index);
      if (node.IsBuiltin(kTfLiteBuiltinCast, 1)) AddCast(*node.node, index);
      if (node.IsBuiltin(kTfLiteBuiltinAdd, 2)) AddCentre(*node.node, index);
      if (node.IsBuiltin(kTfLiteBuiltinMaximum, 2)) AddLimit(*node.node, index);
      if (node.IsBuiltin(kTfLiteBuiltinConv2d, 3)) AddConvolution(*node.node, index);
      if (node.IsBuiltin(kTfLiteBuiltinSub, 2)) AddDifference(*node.node, index);
      if (node.IsBuiltin(kTfLiteBuiltinGather, 2)) AddGather(*node.node, index);
      if (node.IsBuiltin(kTfLiteBuiltinAdd, 2)) AddBorder(*node.node, index, false);
      if (node.IsBuiltin(kTfLiteBuiltinSub, 2)) AddBorder(*node.node, index, true);
    }
    std::vector<ConvSumTree> found;
    for (auto& entry : trees_) {
      ConvSumTree& tree = entry.second.tree;
      if (entry.second.convolutions < 2) continue;
      TakePixels(entry.second);
      // Convolutions may share weights, and so the node that makes floats of them.
      std::sort(tree.nodes.begin(), tree.nodes.end(), [this](int a, int b) { return place_.at(a) < place_.at(b); });
      tree.nodes.erase(std::unique(tree.nodes.begin(), tree.nodes.end()), tree.nodes.end());
      tree.output = entry.first;
      found.push_back(std::move(tree));
    }
    return found;
  }

 private:
  struct Part {
    ConvSumTree tree;
    std::vector<int> in_shape;
    int convolutions = 0;
  };

  Node Get(int index) const {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    // The runtime's function takes the context as one that may change; this one does not change it.
    auto* context = const_cast<TfLiteContext*>(&context_);
    if (context_.GetNodeAndRegistration(context, index, &node, &registration) != kTfLiteOk) return {nullptr, nullptr};
    return {node, registration};
  }

  void Count(const Node& node) {
    if (node.node == nullptr) return;
    const auto each = [](const TfLiteIntArray* tensors, std::map<int, int>* counts) {
      for (int i = 0; tensors != nullptr && i < tensors->size; ++i) ++(*counts)[tensors->data[i]];
    };
    each(node.node->inputs, &uses_);
    each(node.node->outputs, &sources_);
  }

  // The tensor, if it is of this rank and float32.
  const TfLiteTensor* Floats(int index, int rank) const {
    if (index < 0 || static_cast<std::size_t>(index) >= context_.tensors_size) return nullptr;
    const TfLiteTensor& tensor = context_.tensors[index];
    const bool fits = tensor.type == kTfLiteFloat32 && tensor.dims != nullptr && tensor.dims->size == rank && !tensor.is_variable;
    return fits ? &tensor : nullptr;
  }

  const TfLiteTensor* Constant(int index, int rank) const {
    const TfLiteTensor* tensor = Floats(index, rank);
    return tensor != nullptr && IsConstant(*tensor) && tensor->sparsity == nullptr ? tensor : nullptr;
  }

  // Weights that the file keeps as integers: a constant int8 with scales, of which the node makes floats.
  void AddIntegers(const TfLiteNode& node, int index) {
    const int source = node.inputs->data[0], result = node.outputs->data[0];
    if (source < 0 || static_cast<std::size_t>(source) >= context_.tensors_size || Floats(result, 4) == nullptr) return;
    const TfLiteTensor& tensor = context_.tensors[source];
    if (tensor.type == kTfLiteInt8 && tensor.dims != nullptr && tensor.dims->size == 4 && IsConstant(tensor) &&
        tensor.sparsity == nullptr && !ScalesOf(tensor).empty()) {
      integers_[result] = {source, index};
    }
  }

  // The tensor with a convolution's filter, floats or integers; -1 where it is no constant. `node` is the node that makes floats of it.
  int Filter(int index, int* node) const {
    *node = -1;
    if (Constant(index, 4) != nullptr) return index;
    const auto found = integers_.find(index);
    if (found == integers_.end()) return -1;
    *node = found->second.second;
    return found->second.first;
  }

  bool IsResult(int index) const { return Floats(index, 4) != nullptr && sources_.at(index) == 1; }

  void AddConvolution(const TfLiteNode& node, int index) {
    const int* in = node.inputs->data;
    const TfLiteTensor* input = Floats(in[0], 4);
    int dequantize = -1;
    const int filter = Filter(in[1], &dequantize);
    const TfLiteTensor* bias = Constant(in[2], 1);
    if (input == nullptr || IsConstant(*input) || filter < 0 || bias == nullptr || !IsResult(node.outputs->data[0])) return;
    const auto& options = *static_cast<const TfLiteConvParams*>(node.builtin_data);
    const int* shape = context_.tensors[filter].dims->data;
    ConvSumParams p;
    p.channels_out = shape[0];
    p.kernel_h = shape[1];
    p.kernel_w = shape[2];
    p.channels_in = shape[3];
    p.stride_h = options.stride_height;
    p.stride_w = options.stride_width;
    p.dilation_h = options.dilation_height_factor;
    p.dilation_w = options.dilation_width_factor;
    p.same_padding = options.padding == kTfLitePaddingSame;
    if (options.activation != kTfLiteActNone || (!p.same_padding && options.padding != kTfLitePaddingValid)) return;
    if (std::min({p.channels_out, p.kernel_h, p.kernel_w, p.channels_in, p.stride_h, p.stride_w, p.dilation_h, p.dilation_w}) < 1) return;
    if (std::max(std::int64_t{p.kernel_h} * p.dilation_h, std::int64_t{p.kernel_w} * p.dilation_w) > kWidestWindow) return;
    if (input->dims->data[3] != p.channels_in || bias->dims->data[0] != p.channels_out) return;
    Part part;
    part.tree.params = p;
    part.tree.inputs = {in[0], filter, in[2]};
    part.tree.expression = {0};
    part.tree.nodes = {index};
    part.convolutions = 1;
    if (dequantize >= 0) part.tree.nodes.push_back(dequantize);
    part.in_shape.assign(input->dims->data, input->dims->data + 4);
    trees_[node.outputs->data[0]] = std::move(part);
  }

  static auto Geometry(const Part& part) {
    const ConvSumParams& p = part.tree.params;
    return std::tie(p.channels_in, p.channels_out, p.kernel_h, p.kernel_w, p.stride_h, p.stride_w, p.dilation_h, p.dilation_w,
                    p.same_padding, part.in_shape);
  }

  void AddDifference(const TfLiteNode& node, int index) {
    const int left = node.inputs->data[0], right = node.inputs->data[1];
    const auto a = trees_.find(left), b = trees_.find(right);
    if (left == right || a == trees_.end() || b == trees_.end() || !a->second.tree.border.empty() || !b->second.tree.border.empty()) return;
    if (uses_.at(left) != 1 || uses_.at(right) != 1) return;
    if (static_cast<const TfLiteSubParams*>(node.builtin_data)->activation != kTfLiteActNone) return;
    const int output = node.outputs->data[0];
    if (!IsResult(output) || output == left || output == right || Geometry(a->second) != Geometry(b->second)) return;
    const auto terms = static_cast<int>(a->second.tree.inputs.size() / 3);
    if (terms + b->second.tree.inputs.size() / 3 > kMostTerms) return;
    Part part = std::move(a->second);
    const ConvSumTree& other = b->second.tree;
    ConvSumTree& tree = part.tree;
    tree.inputs.insert(tree.inputs.end(), other.inputs.begin(), other.inputs.end());
    for (const int item : other.expression) tree.expression.push_back(item == kSubtract ? item : item + terms);
    tree.expression.push_back(kSubtract);
    tree.nodes.insert(tree.nodes.end(), other.nodes.begin(), other.nodes.end());
    tree.nodes.push_back(index);
    part.convolutions += b->second.convolutions;
    trees_.erase(a);
    trees_.erase(b);
    trees_[output] = std::move(part);
  }

  // Bytes as floats, less 128, limited where no value is: how exact numerics writes pixels in front of a layer.
  void AddCast(const TfLiteNode& node, int index) {
    const int source = node.inputs->data[0], result = node.outputs->data[0];
    if (source < 0 || static_cast<std::size_t>(source) >= context_.tensors_size || Floats(result, 4) == nullptr) return;
    const TfLiteTensor& tensor = context_.tensors[source];
    if (tensor.type != kTfLiteUInt8 || tensor.dims == nullptr || tensor.dims->size != 4 || IsConstant(tensor)) return;
    if (uses_.at(result) == 1 && sources_.at(result) == 1) pixels_[result] = {source, 0, {index}};
  }

  void AddCentre(const TfLiteNode& node, int index) {
    constexpr float kCentre = -128;
    if (static_cast<const TfLiteAddParams*>(node.builtin_data)->activation != kTfLiteActNone) return;
    Extend(node, index, 0, [](float constant) { return constant == kCentre; });
  }

  void AddLimit(const TfLiteNode& node, int index) {
    Extend(node, index, 1, [](float constant) { return constant <= -128; });
  }

  // Takes a step of the chain behind the pixels: an operator of them and one number.
  template <class Fits>
  void Extend(const TfLiteNode& node, int index, int step, const Fits& fits) {
    const auto before = pixels_.find(node.inputs->data[0]);
    const int result = node.outputs->data[0];
    if (before == pixels_.end() || before->second.steps != step || !IsResult(result)) return;
    const int constant = node.inputs->data[1];
    if (constant < 0 || static_cast<std::size_t>(constant) >= context_.tensors_size) return;
    const TfLiteTensor& number = context_.tensors[constant];
    if (number.type != kTfLiteFloat32 || !IsConstant(number) || number.bytes != sizeof(float) || number.data == nullptr) return;
    float value = 0;
    std::memcpy(&value, number.data, sizeof value);
    if (!fits(value) || (step == 0 && uses_.at(result) != 1)) return;
    Pixels pixels = before->second;
    ++pixels.steps;
    pixels.nodes.push_back(index);
    pixels_[result] = std::move(pixels);
  }

  // Lets a tree read the bytes themselves, where it alone reads what is made of them.
  void TakePixels(Part& part) {
    ConvSumTree& tree = part.tree;
    const int image = tree.inputs[0];
    const auto pixels = pixels_.find(image);
    if (pixels == pixels_.end() || pixels->second.steps != 2) return;
    for (std::size_t i = 0; i < tree.inputs.size(); i += 3) {
      if (tree.inputs[i] != image) return;
    }
    if (uses_.at(image) != part.convolutions) return;
    for (std::size_t i = 0; i < tree.inputs.size(); i += 3) tree.inputs[i] = pixels->second.source;
    tree.nodes.insert(tree.nodes.end(), pixels->second.nodes.begin(), pixels->second.nodes.end());
    tree.params.octets = true;
  }

  struct Pixels {
    int source = 0;  // tensor of bytes
    int steps = 0;   // of the chain behind the cast
    std::vector<int> nodes;
  };

  // A constant of rank 4 that is gathered along its rows, or such a one along its columns.
  void AddGather(const TfLiteNode& node, int index) {
    const int source = node.inputs->data[0], places = node.inputs->data[1], result = node.outputs->data[0];
    const auto& options = *static_cast<const TfLiteGatherParams*>(node.builtin_data);
    if (options.batch_dims != 0 || Floats(result, 4) == nullptr || sources_.at(result) != 1 || !IsPlaces(places)) return;
    const auto before = gathered_.find(source);
    if (options.axis == 1 && Constant(source, 4) != nullptr && context_.tensors[source].dims->data[0] == 1) {
      gathered_[result] = {{source, places}, {index}};
    } else if (options.axis == 2 && before != gathered_.end() && before->second.tensors.size() == 2 && uses_.at(source) == 1) {
      gathered_[result] = {{before->second.tensors[0], before->second.tensors[1], places}, {before->second.nodes[0], index}};
    }
  }

  bool IsPlaces(int index) const {
    if (index < 0 || static_cast<std::size_t>(index) >= context_.tensors_size) return false;
    const TfLiteTensor& tensor = context_.tensors[index];
    return tensor.type == kTfLiteInt32 && tensor.dims != nullptr && tensor.dims->size == 1 && IsConstant(tensor);
  }

  void AddBorder(const TfLiteNode& node, int index, bool subtracted) {
    const int output = node.outputs->data[0];
    const auto tree = trees_.find(node.inputs->data[0]);
    const auto border = gathered_.find(node.inputs->data[1]);
    if (tree == trees_.end() || border == gathered_.end() || border->second.tensors.size() != 3) return;
    if (uses_.at(node.inputs->data[0]) != 1 || uses_.at(node.inputs->data[1]) != 1 || !IsResult(output)) return;
    const TfLiteFusedActivation activation = subtracted ? static_cast<const TfLiteSubParams*>(node.builtin_data)->activation
                                                        : static_cast<const TfLiteAddParams*>(node.builtin_data)->activation;
    if (activation != kTfLiteActNone) return;
    Part part = std::move(tree->second);
    trees_.erase(tree);
    part.tree.border = border->second.tensors;
    part.tree.border_subtracted = subtracted;
    part.tree.nodes.insert(part.tree.nodes.end(), border->second.nodes.begin(), border->second.nodes.end());
    part.tree.nodes.push_back(index);
    trees_[output] = std::move(part);
  }

  struct Gathered {
    std::vector<int> tensors;  // the constant, and where it is gathered
    std::vector<int> nodes;
  };

  const TfLiteContext& context_;
  const std::vector<int>& plan_;
  std::map<int, std::size_t> place_;  // of a node in the plan
  std::map<int, int> uses_;           // of a tensor, by nodes
  std::map<int, int> sources_;
  std::map<int, Part> trees_;  // by output
  std::map<int, Gathered> gathered_;
  std::map<int, Pixels> pixels_;                 // by tensor of floats
  std::map<int, std::pair<int, int>> integers_;  // by tensor of floats: the tensor of integers, and the node between them
};

}  // namespace

std::vector<ConvSumTree> FindConvSums(const TfLiteContext& context, const std::vector<int>& plan) { return Finder(context, plan).Find(); }

}  // namespace fdabnn
