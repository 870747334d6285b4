// An operator of the delegate, and its tensors, checked before they are used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "kernels/conv_sum.h"
#include "kernels/windows.h"
#include "litert/session.h"
#include "litert/tflite_abi.h"
#include "refusal.h"

namespace fdabnn {

// What the file says about an operator.
struct OpInfo {
  std::vector<int> inputs;  // indices of tensors
  std::vector<int> outputs;
  const std::uint8_t* options = nullptr;
  std::size_t options_size = 0;

  // The option's value. Throws Refusal where it is missing, no whole number, or outside [low, high].
  int Option(const char* name, int low, int high) const;

  // The options that all windows have: strides and padding. Throws Refusal.
  void ReadStrides(Windows* windows) const;
};

// Access to an operator's tensors.
class Tensors {
 public:
  Tensors(TfLiteContext* context, const OpInfo& info) : context_(context), info_(info) {}

  // Throws Refusal where the operator has other numbers of inputs or outputs.
  void CheckCounts(std::size_t inputs, std::size_t outputs) const;

  // The tensor. Throws Refusal where the index is out of range, or the tensor has no shape or a damaged one.
  TfLiteTensor& Input(std::size_t position) const { return At(info_.inputs[position]); }
  TfLiteTensor& Output(std::size_t position) const { return At(info_.outputs[position]); }

  // Gives a tensor a new shape. Throws Refusal where the runtime does not.
  void Resize(TfLiteTensor& tensor, const std::vector<std::int64_t>& shape) const;

  int recommended_threads() const { return context_->recommended_num_threads; }

 private:
  TfLiteTensor& At(int index) const;

  TfLiteContext* context_;
  const OpInfo& info_;
};

// The tensor as messages call it.
std::string Describe(const TfLiteTensor& tensor);

// Throws Refusal where the tensor's type, or its rank, is none of these.
void CheckType(const TfLiteTensor& tensor, std::initializer_list<TfLiteType> types);
void CheckRank(const TfLiteTensor& tensor, int rank);

// Whether the values stand in the file.
inline bool IsConstant(const TfLiteTensor& tensor) {
  return tensor.allocation_type == kTfLiteMmapRo || tensor.allocation_type == kTfLitePersistentRo;
}

// The scales of a tensor of integers, one for each place of its first dimension, powers of two; empty where it has others, or zero points.
std::vector<float> ScalesOf(const TfLiteTensor& tensor);

// The number of values in dimensions [first, last). Throws Refusal where it is beyond memory.
std::size_t Count(const TfLiteTensor& tensor, int first, int last);

// The values. Throws Refusal where the tensor does not hold as many bytes as its shape says.
void* Bytes(const TfLiteTensor& tensor, std::size_t value_size);

// Likewise; throws Refusal where they are not aligned, too.
void* AlignedBytes(const TfLiteTensor& tensor, std::size_t value_size);
template <typename T>
T* Data(const TfLiteTensor& tensor) {
  return static_cast<T*>(AlignedBytes(tensor, sizeof(T)));
}

// A copy of the values, which need not be aligned: not every tool that writes files aligns their constants.
template <typename T>
std::vector<T> Copy(const TfLiteTensor& tensor) {
  const void* bytes = Bytes(tensor, sizeof(T));
  std::vector<T> copy(Count(tensor, 0, tensor.dims->size));
  if (!copy.empty()) std::memcpy(copy.data(), bytes, copy.size() * sizeof(T));
  return copy;
}

// Likewise, of values that have to stand in the file. Throws Refusal where they do not.
template <typename T>
std::vector<T> CopyConstant(const TfLiteTensor& tensor) {
  if (!IsConstant(tensor)) throw Refusal(Describe(tensor) + " is no constant");
  return Copy<T>(tensor);
}

// Throws Refusal where a tensor has another shape than when its operator was prepared.
void CheckShape(const TfLiteTensor& tensor, std::initializer_list<int> shape);

// Offsets behind differences of convolutions: added, subtracted, or none.
enum class Border { kNone, kAdded, kSubtracted };

class Op {
 public:
  virtual ~Op() = default;

  // Checks everything that can be known before a run, and gives the outputs their shapes. Throws.
  virtual void Prepare(const Tensors& tensors, Session& session) = 0;

  // Computes the outputs. Throws.
  virtual void Run(const Tensors& tensors, Session& session) = 0;
};

// The operators of Larq Compute Engine. They throw Refusal where an option is damaged or out of range.
std::unique_ptr<Op> MakeQuantize(const OpInfo& info);
std::unique_ptr<Op> MakeDequantize(const OpInfo& info);
std::unique_ptr<Op> MakeBconv(const OpInfo& info);
std::unique_ptr<Op> MakeBmaxpool(const OpInfo& info);

// Differences of convolutions. Of `info`, the inputs are those of the convolutions one after another: input, filter and bias of each; then,
// with a border, its offsets and the classes of rows and columns.
std::unique_ptr<Op> MakeConvSum(const OpInfo& info, const ConvSumParams& params, const std::vector<int>& expression, Border border);

}  // namespace fdabnn
