// Access to a node of ONNX Runtime: its attributes and constants when a session is made, its tensors when it runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/windows.h"
#include "onnxruntime/ort_abi.h"
#include "refusal.h"

namespace fdabnn::ort {

constexpr int kLargest = 1 << 24;  // of a size; the kernels check what sizes make together

using Shape = std::vector<std::int64_t>;

// As messages call it: [1, 64, 7, 7].
std::string ToText(const Shape& shape);

struct Tensor {
  Shape shape;
  const void* data = nullptr;  // null: the node has no such input
  OrtElementType type{};
};

// Throws Refusal where the runtime gives back an error.
void Check(const OrtApi& api, OrtStatus* status);

// Null where the value is.
Tensor View(const OrtApi& api, const OrtValue* value);

// A node while its session is made.
class NodeInfo {
 public:
  NodeInfo(const OrtApi& api, const OrtKernelInfo* info) : api_(api), info_(info) {}

  const OrtApi& api() const { return api_; }

  // Throws Refusal outside of [low, high].
  int Int(const char* name, int low, int high) const;
  int Int(const char* name, int low, int high, int otherwise) const;
  // Of this length where it is there. Throws Refusal for another length, or values outside of [low, high].
  std::vector<int> Ints(const char* name, std::size_t length, int low, int high, int otherwise) const;
  // Empty where it is not there.
  std::vector<int> OptionalList(const char* name, std::size_t most, int low, int high) const;
  // That has to be there, of a length within [least, most].
  std::vector<int> List(const char* name, std::size_t least, std::size_t most, int low, int high) const;

  // `strides`, `dilations` and `pads` of windows. Throws Refusal where a number is out of range.
  void ReadWindows(Windows* windows) const;

  // An input that is an initialiser of the model; without data where it is none, or missing.
  Tensor Constant(std::size_t index) const;

 private:
  const OrtApi& api_;
  const OrtKernelInfo* info_;
};

// A node while it runs.
class Call {
 public:
  Call(const OrtApi& api, OrtKernelContext* context) : api_(api), context_(context) {}

  const OrtApi& api() const { return api_; }
  OrtKernelContext* context() const { return context_; }

  Tensor Input(std::size_t index) const;
  // Its memory, null where nobody wants this output.
  void* Output(std::size_t index, const Shape& shape) const;

 private:
  const OrtApi& api_;
  OrtKernelContext* context_;
};

// What an operator's kernel is to register.cc.
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Any number of calls at a time. Throws Refusal where tensors do not fit.
  virtual void Compute(const Call& call) = 0;
};

}  // namespace fdabnn::ort
