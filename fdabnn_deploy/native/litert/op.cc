#include "litert/op.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "litert/flexbuffer.h"

namespace fdabnn {
namespace {

constexpr int kMaxRank = 8;

const char* TypeName(TfLiteType type) {
  switch (type) {
    case kTfLiteFloat32:
      return "float32";
    case kTfLiteInt32:
      return "int32";
    case kTfLiteUInt8:
      return "uint8";
    case kTfLiteBool:
      return "bool";
    case kTfLiteInt8:
      return "int8";
    default:
      return nullptr;
  }
}

}  // namespace

int OpInfo::Option(const char* name, int low, int high) const {
  std::int64_t value = 0;
  switch (FindOption(options, options_size, name, &value)) {
    case OptionStatus::kAbsent:
      throw Refusal("the option " + std::string(name) + " is missing");
    case OptionStatus::kDamaged:
      throw Refusal("its options are damaged at " + std::string(name));
    case OptionStatus::kFound:
      break;
  }
  if (value < low || value > high) throw Refusal("the option " + std::string(name) + " is out of range: " + std::to_string(value));
  return static_cast<int>(value);
}

void OpInfo::ReadStrides(Windows* windows) const {
  constexpr int most = std::numeric_limits<int>::max();
  windows->stride_h = Option("stride_height", 1, most);
  windows->stride_w = Option("stride_width", 1, most);
  windows->same_padding = Option("padding", 0, 1) == 0;
}

void Tensors::CheckCounts(std::size_t inputs, std::size_t outputs) const {
  if (info_.inputs.size() != inputs || info_.outputs.size() != outputs) {
    throw Refusal(std::to_string(info_.inputs.size()) + " inputs and " + std::to_string(info_.outputs.size()) + " outputs, not " +
                  std::to_string(inputs) + " and " + std::to_string(outputs));
  }
}

TfLiteTensor& Tensors::At(int index) const {
  if (index < 0 || static_cast<std::size_t>(index) >= context_->tensors_size) {
    throw Refusal(index == kTfLiteOptionalTensor ? "an input or output is left out" : "a tensor's index is out of range");
  }
  TfLiteTensor& tensor = context_->tensors[index];
  if (tensor.dims == nullptr) throw Refusal(Describe(tensor) + " has no shape");
  const int rank = tensor.dims->size;
  if (rank < 0 || rank > kMaxRank || std::any_of(tensor.dims->data, tensor.dims->data + rank, [](int size) { return size < 0; })) {
    throw Refusal(Describe(tensor) + " has a damaged shape");
  }
  return tensor;
}

void Tensors::Resize(TfLiteTensor& tensor, const std::vector<std::int64_t>& shape) const {
  std::uint64_t total = sizeof(float);
  bool sound = true;
  for (const std::int64_t size : shape) {
    sound = sound && size >= 0 && size <= INT32_MAX && !__builtin_mul_overflow(total, static_cast<std::uint64_t>(size), &total);
  }
  if (!sound || total > PTRDIFF_MAX) throw Refusal(Describe(tensor) + " would be beyond memory");
  // The runtime frees it, by free().
  auto* dims = static_cast<TfLiteIntArray*>(std::malloc(sizeof(int) * (shape.size() + 1)));
  if (dims == nullptr) throw std::bad_alloc();
  dims->size = static_cast<int>(shape.size());
  std::copy(shape.begin(), shape.end(), dims->data);
  if (context_->ResizeTensor(context_, &tensor, dims) != kTfLiteOk) {
    throw Refusal("the runtime does not resize " + Describe(tensor));
  }
}

std::string Describe(const TfLiteTensor& tensor) {
  return tensor.name == nullptr || *tensor.name == '\0' ? "a tensor without a name" : "tensor '" + std::string(tensor.name) + "'";
}

std::vector<float> ScalesOf(const TfLiteTensor& tensor) {
  if (tensor.quantization.type != kTfLiteAffineQuantization || tensor.quantization.params == nullptr || tensor.dims->size < 1) return {};
  const auto& affine = *static_cast<const TfLiteAffineQuantization*>(tensor.quantization.params);
  if (affine.scale == nullptr || affine.zero_point == nullptr) return {};
  const int places = tensor.dims->data[0], count = affine.scale->size;
  if (places < 1 || (count != 1 && (count != places || affine.quantized_dimension != 0))) return {};
  for (int i = 0; i < affine.zero_point->size; ++i) {
    if (affine.zero_point->data[i] != 0) return {};
  }
  std::vector<float> scales(static_cast<std::size_t>(places));
  for (int i = 0; i < places; ++i) {
    int exponent = 0;
    const float scale = affine.scale->data[count == 1 ? 0 : i];
    if (!std::isfinite(scale) || std::frexp(scale, &exponent) != 0.5f) return {};
    scales[static_cast<std::size_t>(i)] = scale;
  }
  return scales;
}

void CheckType(const TfLiteTensor& tensor, std::initializer_list<TfLiteType> types) {
  if (std::find(types.begin(), types.end(), tensor.type) != types.end()) return;
  std::string known;
  for (const TfLiteType type : types) known += (known.empty() ? "" : " or ") + std::string(TypeName(type));
  const char* name = TypeName(tensor.type);
  throw Refusal(Describe(tensor) + " is " + (name == nullptr ? "of type " + std::to_string(tensor.type) : name) + ", not " + known);
}

void CheckRank(const TfLiteTensor& tensor, int rank) {
  if (tensor.dims->size != rank) {
    throw Refusal(Describe(tensor) + " has " + std::to_string(tensor.dims->size) + " dimensions, not " + std::to_string(rank));
  }
}

void CheckShape(const TfLiteTensor& tensor, std::initializer_list<int> shape) {
  if (static_cast<std::size_t>(tensor.dims->size) != shape.size() || !std::equal(shape.begin(), shape.end(), tensor.dims->data)) {
    throw Refusal("shapes have changed without preparation");
  }
}

std::size_t Count(const TfLiteTensor& tensor, int first, int last) {
  std::size_t count = 1;
  for (int i = first; i < last; ++i) {
    if (__builtin_mul_overflow(count, static_cast<std::size_t>(tensor.dims->data[i]), &count)) {
      throw Refusal(Describe(tensor) + " is beyond memory");
    }
  }
  return count;
}

void* Bytes(const TfLiteTensor& tensor, std::size_t value_size) {
  std::size_t bytes = 0;
  const bool beyond = __builtin_mul_overflow(Count(tensor, 0, tensor.dims->size), value_size, &bytes);
  if (beyond || tensor.bytes < bytes || (bytes > 0 && tensor.data == nullptr)) {
    throw Refusal(Describe(tensor) + " holds less than its shape says");
  }
  return tensor.data;
}

void* AlignedBytes(const TfLiteTensor& tensor, std::size_t value_size) {
  void* bytes = Bytes(tensor, value_size);
  if (reinterpret_cast<std::uintptr_t>(bytes) % value_size != 0) throw Refusal(Describe(tensor) + " is not aligned");
  return bytes;
}

}  // namespace fdabnn
