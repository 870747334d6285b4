#include "onnxruntime/node.h"

#include <limits>

namespace fdabnn::ort {

std::string ToText(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

void Check(const OrtApi& api, OrtStatus* status) {
  if (status == nullptr) return;
  const std::string reason = api.GetErrorMessage(status);
  api.ReleaseStatus(status);
  throw Refusal(reason);
}

Tensor View(const OrtApi& api, const OrtValue* value) {
  Tensor tensor;
  if (value == nullptr) return tensor;
  OrtTensorTypeAndShapeInfo* info = nullptr;
  Check(api, api.GetTensorTypeAndShape(value, &info));
  std::size_t rank = 0;
  OrtStatus* status = api.GetDimensionsCount(info, &rank);
  if (status == nullptr) {
    tensor.shape.resize(rank);
    status = api.GetDimensions(info, tensor.shape.data(), rank);
  }
  if (status == nullptr) status = api.GetTensorElementType(info, &tensor.type);
  api.ReleaseTensorTypeAndShapeInfo(info);
  Check(api, status);
  void* data = nullptr;
  // The function's name speaks of writing; the data of inputs is only read here.
  Check(api, api.GetTensorMutableData(const_cast<OrtValue*>(value), &data));
  static char nothing;
  tensor.data = data ? data : &nothing;
  return tensor;
}

namespace {

int InRange(const char* name, std::int64_t value, int low, int high) {
  if (value < low || value > high) throw Refusal("attribute " + std::string(name) + " is " + std::to_string(value));
  return static_cast<int>(value);
}

}  // namespace

int NodeInfo::Int(const char* name, int low, int high) const {
  std::int64_t value = 0;
  Check(api_, api_.KernelInfoGetAttribute_int64(info_, name, &value));
  return InRange(name, value, low, high);
}

int NodeInfo::Int(const char* name, int low, int high, int otherwise) const {
  std::int64_t value = otherwise;
  if (OrtStatus* status = api_.KernelInfoGetAttribute_int64(info_, name, &value)) {
    api_.ReleaseStatus(status);
    value = otherwise;
  }
  return InRange(name, value, low, high);
}

std::vector<int> NodeInfo::Ints(const char* name, std::size_t length, int low, int high, int otherwise) const {
  std::size_t size = 0;
  if (OrtStatus* status = api_.KernelInfoGetAttributeArray_int64(info_, name, nullptr, &size)) {
    api_.ReleaseStatus(status);
    return std::vector<int>(length, otherwise);
  }
  return List(name, length, length, low, high);
}

std::vector<int> NodeInfo::OptionalList(const char* name, std::size_t most, int low, int high) const {
  std::size_t size = 0;
  if (OrtStatus* status = api_.KernelInfoGetAttributeArray_int64(info_, name, nullptr, &size)) {
    api_.ReleaseStatus(status);
    return {};
  }
  return List(name, 0, most, low, high);
}

std::vector<int> NodeInfo::List(const char* name, std::size_t least, std::size_t most, int low, int high) const {
  std::size_t size = 0;
  Check(api_, api_.KernelInfoGetAttributeArray_int64(info_, name, nullptr, &size));
  if (size < least || size > most) {
    const std::string wanted = std::to_string(least) + (least == most ? "" : " to " + std::to_string(most));
    throw Refusal("attribute " + std::string(name) + " has " + std::to_string(size) + " values instead of " + wanted);
  }
  std::vector<std::int64_t> values(size);
  Check(api_, api_.KernelInfoGetAttributeArray_int64(info_, name, values.data(), &size));
  std::vector<int> found;
  found.reserve(values.size());
  for (std::int64_t value : values) found.push_back(InRange(name, value, low, high));
  return found;
}

void NodeInfo::ReadWindows(Windows* windows) const {
  const std::vector<int> strides = Ints("strides", 2, 1, kLargest, 1), dilations = Ints("dilations", 2, 1, kLargest, 1);
  const std::vector<int> pads = Ints("pads", 4, 0, kLargest, 0);
  windows->stride_h = strides[0];
  windows->stride_w = strides[1];
  windows->dilation_h = dilations[0];
  windows->dilation_w = dilations[1];
  windows->pad_top = pads[0];
  windows->pad_left = pads[1];
  windows->pad_bottom = pads[2];
  windows->pad_right = pads[3];
}

Tensor NodeInfo::Constant(std::size_t index) const {
  int constant = 0;
  const OrtValue* value = nullptr;
  Check(api_, api_.KernelInfoGetConstantInput_tensor(info_, index, &constant, &value));
  return constant ? View(api_, value) : Tensor{};
}

Tensor Call::Input(std::size_t index) const {
  const OrtValue* value = nullptr;
  Check(api_, api_.KernelContext_GetInput(context_, index, &value));
  return View(api_, value);
}

void* Call::Output(std::size_t index, const Shape& shape) const {
  OrtValue* value = nullptr;
  Check(api_, api_.KernelContext_GetOutput(context_, index, shape.data(), shape.size(), &value));
  if (value == nullptr) return nullptr;
  void* data = nullptr;
  Check(api_, api_.GetTensorMutableData(value, &data));
  return data;
}

}  // namespace fdabnn::ort
