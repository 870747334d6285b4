#include "tests/custom_ops_case.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <list>
#include <vector>

#include "tests/custom_ops_runtime.h"

namespace fdabnn {
namespace {

constexpr std::int64_t kMostValues = 1 << 18;  // of a tensor whose shape is damaged

// Choices from bytes.
class Draw {
 public:
  Draw(const std::uint8_t* data, std::size_t size) : data_(data), end_(data + size) {}

  int Byte() { return data_ == end_ ? 0 : *data_++; }
  std::int64_t Of(int count) { return Byte() % count; }
  // Everything that can be damaged asks whether it is.
  bool Asks() {
    const bool asked = Byte() % 16 == 15;
    damaged_ = damaged_ || asked;
    return asked;
  }
  bool damaged() const { return damaged_; }
  void Bits(OrtValue* value) {
    const std::size_t count = OrtValue::Count(value->shape);
    for (std::size_t i = 0; i < count; ++i) value->data[i] = 0x9e3779b9u * static_cast<std::uint32_t>(i + seed_);
  }
  void set_seed(int seed) { seed_ = seed; }

 private:
  const std::uint8_t* data_;
  const std::uint8_t* end_;
  int seed_ = 1;
  bool damaged_ = false;
};

// An operator with its attributes and tensors.
struct Node {
  const char* op = "";
  OrtKernelInfo info;
  OrtKernelContext context;
  std::list<OrtValue> tensors;

  OrtValue* Add(Draw& draw, std::size_t index, std::vector<std::int64_t> shape, bool constant) {
    if (draw.Asks() && !shape.empty()) {
      std::vector<std::int64_t> damaged = shape;
      if (draw.Of(4) == 0) {
        damaged.pop_back();
      } else {
        damaged[draw.Of(static_cast<int>(damaged.size()))] = std::vector<std::int64_t>{0, 1, 2, 3, 33, 1000}[draw.Of(6)];
      }
      std::int64_t count = 1;
      for (std::int64_t size : damaged) count = std::min(count * size, kMostValues + 1);
      if (count <= kMostValues) shape = damaged;
    }
    OrtValue* value = &tensors.emplace_back(std::move(shape));
    draw.Bits(value);
    if (constant && !draw.Asks()) info.constants[index] = value;
    context.inputs[index] = value;
    return value;
  }

  void Damage(Draw& draw) {
    static const std::int64_t kValues[] = {-1, 0, 1, 2, 31, 1 << 24, INT64_C(1) << 40, INT64_MIN};
    for (auto& [name, value] : info.ints) {
      if (draw.Asks()) value = kValues[draw.Of(8)];
    }
    for (auto& [name, values] : info.lists) {
      if (!draw.Asks() || values.empty()) continue;
      if (draw.Of(4) == 0) {
        values.pop_back();
      } else {
        values[draw.Of(static_cast<int>(values.size()))] = kValues[draw.Of(8)];
      }
    }
  }
};

std::int64_t Words(std::int64_t channels) { return (channels + 31) / 32; }

// Bits behind the last channel.
void ClearBehind(std::int64_t channels, OrtValue* packed) {
  const std::size_t words = static_cast<std::size_t>(Words(channels));
  if (channels % 32 == 0) return;
  for (std::size_t i = words - 1; i < OrtValue::Count(packed->shape); i += words) packed->data[i] &= (1u << channels % 32) - 1;
}

void MakePackSigns(Draw& draw, Node* node) {
  node->op = "PackSigns";
  std::vector<std::int64_t> shape = {draw.Of(3), 1 + draw.Of(70)};
  for (std::int64_t i = draw.Of(3); i > 0; --i) shape.push_back(1 + draw.Of(9));
  node->Add(draw, 0, shape, false);
  node->context.outputs[0] = nullptr;
}

void MakeDigits(Draw& draw, Node* node) {
  node->op = "Digits";
  std::vector<std::int64_t> shape = {draw.Of(3)}, exponents;
  for (std::int64_t i = draw.Of(3); i > 0; --i) shape.push_back(1 + draw.Of(40));
  for (std::int64_t i = draw.Of(4); i >= 0; --i) exponents.push_back(draw.Of(40) - 20);
  node->Add(draw, 0, shape, false);
  if (draw.Of(2)) {
    OrtValue* limits = node->Add(draw, 1, {2}, true);
    const float values[] = {static_cast<float>(-draw.Of(9)), 4};
    if (OrtValue::Count(limits->shape) == 2) std::memcpy(limits->data.get(), values, sizeof values);
  }
  for (std::size_t k = 0; k <= exponents.size(); ++k) {
    if (k == 0 || draw.Of(3)) node->context.outputs[k] = nullptr;
  }
  node->info.lists["exponents"] = exponents;
}

struct Geometry {
  std::int64_t channels, outputs, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, batch, height, width, out_h, out_w;
  std::vector<std::int64_t> pads;
};

Geometry DrawGeometry(Draw& draw, Node* node) {
  Geometry g;
  g.channels = 1 + draw.Of(70);
  g.outputs = 1 + draw.Of(70);
  g.kernel_h = 1 + draw.Of(3);
  g.kernel_w = 1 + draw.Of(3);
  g.stride_h = 1 + draw.Of(3);
  g.stride_w = 1 + draw.Of(3);
  g.dilation_h = 1 + draw.Of(2);
  g.dilation_w = 1 + draw.Of(2);
  const std::int64_t reach_h = (g.kernel_h - 1) * g.dilation_h, reach_w = (g.kernel_w - 1) * g.dilation_w;
  for (std::int64_t reach : {reach_h, reach_w, reach_h, reach_w}) g.pads.push_back(draw.Of(static_cast<int>(reach + 1)));
  g.batch = draw.Of(3);
  g.height = reach_h + 1 + draw.Of(7);
  g.width = reach_w + 1 + draw.Of(12);
  g.out_h = (g.height + g.pads[0] + g.pads[2] - reach_h - 1) / g.stride_h + 1;
  g.out_w = (g.width + g.pads[1] + g.pads[3] - reach_w - 1) / g.stride_w + 1;
  node->info.lists = {{"strides", {g.stride_h, g.stride_w}}, {"dilations", {g.dilation_h, g.dilation_w}}, {"pads", g.pads}};
  return g;
}

void MakeBinaryConv(Draw& draw, Node* node) {
  node->op = "BinaryConv";
  Geometry g = DrawGeometry(draw, node);
  const std::int64_t groups = draw.Of(4) == 3 ? 2 : 1;
  if (groups == 2) g.channels = 64, g.outputs *= 2;
  node->info.ints = {{"channels", g.channels}, {"group", groups}, {"pad_value", draw.Of(2)}};
  OrtValue* signs = node->Add(draw, 0, {g.batch, g.height, g.width, Words(g.channels)}, false);
  OrtValue* filter = node->Add(draw, 1, {g.outputs, g.kernel_h, g.kernel_w, Words(g.channels / groups)}, true);
  if (!draw.Asks()) ClearBehind(g.channels, signs);
  if (!draw.Asks()) ClearBehind(g.channels / groups, filter);
  for (std::size_t index : {2, 3, 4}) {
    if (draw.Of(2)) node->Add(draw, index, {draw.Of(3) ? g.outputs : 1}, true);
  }
  if (draw.Of(2)) node->Add(draw, 5, {g.batch, g.outputs, g.out_h, g.out_w}, false);
  const std::int64_t wanted = draw.Of(3);
  if (wanted != 1) node->context.outputs[0] = nullptr;
  if (wanted != 2) node->context.outputs[1] = nullptr;
}

void MakeConvDifference(Draw& draw, Node* node) {
  node->op = "ConvDifference";
  const Geometry g = DrawGeometry(draw, node);
  const std::int64_t terms = 1 + draw.Of(5), inputs = 1 + draw.Of(3), filters = 1 + draw.Of(3);
  std::vector<std::int64_t> expression, term_inputs, term_filters;
  for (std::int64_t t = 0; t < terms; ++t) {
    term_inputs.push_back(t == 0 ? inputs - 1 : draw.Of(static_cast<int>(inputs)));
    term_filters.push_back(draw.Of(static_cast<int>(filters)));
    expression.push_back(t);
    if (t > 0 && draw.Of(2)) expression.push_back(-1);
  }
  for (std::int64_t left = 2 * terms - 1 - static_cast<std::int64_t>(expression.size()); left > 0; --left) expression.push_back(-1);
  node->info.lists["expression"] = expression;
  node->info.lists["term_inputs"] = term_inputs;
  node->info.lists["term_filters"] = term_filters;
  node->Add(draw, 0, {filters, g.outputs, g.channels, g.kernel_h, g.kernel_w}, true);
  node->Add(draw, 1, {terms, g.outputs}, true);
  for (std::int64_t i = 0; i < inputs; ++i) {
    node->Add(draw, static_cast<std::size_t>(2 + i), {g.batch, g.channels, g.height, g.width}, false);
  }
  node->context.outputs[0] = nullptr;
}

// Gives a ConvDifference filters of 8 bits, bytes of pixels, or both, and then no bias. Drawn behind all else, so that a kept input, whose
// bytes are used up by then, stays the case that it was.
void Narrow(Draw& draw, Node* node) {
  const std::int64_t kind = draw.Of(4);
  std::vector<OrtValue*> values;
  values.reserve(node->tensors.size());
  for (OrtValue& value : node->tensors) values.push_back(&value);
  OrtValue *filters = values[0], *biases = values[1];
  if (kind & 2 && values.size() == 3) {
    node->info.ints["pixel_input"] = draw.Asks() ? 2 : 1;
    if (!draw.Asks()) values[2]->Narrow(kOrtUint8);
    if (kind == 3) std::fill_n(biases->data.get(), OrtValue::Count(biases->shape), 0);
  }
  if (kind & 1) {
    const std::size_t rows = filters->shape.size() < 2 ? 1 : static_cast<std::size_t>(filters->shape[0] * filters->shape[1]);
    std::vector<std::int64_t>& exponents = node->info.lists["exponents"];
    if (draw.Asks()) exponents.push_back(0);
    for (std::size_t i = 0; i < rows; ++i) exponents.push_back(draw.Of(9) - 4);
    filters->Narrow(kOrtInt8);
  }
}

std::string Release(OrtStatus* status) {
  const std::string message = status->message;
  CustomOpsApi()->ReleaseStatus(status);
  return message;
}

}  // namespace

CustomOpsResult RunCustomOpsCase(const std::uint8_t* data, std::size_t size) {
  Draw draw(data, size);
  Node node;
  const std::int64_t kind = draw.Of(4);
  draw.set_seed(draw.Byte() + 1);
  (kind == 0 ? MakeBinaryConv : kind == 1 ? MakeConvDifference : kind == 2 ? MakePackSigns : MakeDigits)(draw, &node);
  node.Damage(draw);
  if (kind == 1) Narrow(draw, &node);
  CustomOpsResult result;
  result.damaged = draw.damaged();
  const OrtCustomOp* op = FindCustomOp(node.op);
  void* kernel = nullptr;
  if (OrtStatus* status = op->CreateKernelV2(op, CustomOpsApi(), &node.info, &kernel)) {
    result.message = Release(status);
    return result;
  }
  // Twice: the second call finds what the first one has prepared.
  for (int call = 0; call < 2 && result.message.empty(); ++call) {
    if (OrtStatus* status = op->KernelComputeV2(kernel, &node.context)) result.message = Release(status);
  }
  op->KernelDestroy(kernel);
  result.ran = result.message.empty();
  return result;
}

}  // namespace fdabnn
