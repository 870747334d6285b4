#include "tests/delegate_runtime.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>

namespace fdabnn {
namespace {

constexpr std::size_t kMemory = std::size_t{1} << 20;  // of one tensor; what is larger takes a fuzzer too long

std::size_t SizeOf(TfLiteType type) { return type == kTfLiteInt8 || type == kTfLiteBool ? 1 : 4; }

TfLiteIntArray* MakeArray(const std::vector<int>& values) {
  auto* array = static_cast<TfLiteIntArray*>(std::malloc(sizeof(int) * (values.size() + 1)));
  array->size = static_cast<int>(values.size());
  if (!values.empty()) std::memcpy(array->data, values.data(), sizeof(int) * values.size());
  return array;
}

void Fill(const FileTensor& source, TfLiteTensor* tensor) {
  tensor->type = source.type;
  tensor->allocation_type = source.constant ? kTfLiteMmapRo : 2;
  tensor->params = source.params;
  tensor->quantization.type = source.quantization;
  tensor->name = "tensor";
  std::uint64_t bytes = SizeOf(source.type);
  for (const int size : source.dims) bytes = size < 0 ? 0 : std::min<std::uint64_t>(bytes * size, kMemory);
  tensor->bytes = static_cast<std::size_t>(source.bytes < 0 ? bytes : std::min<std::uint64_t>(source.bytes, kMemory));
  if (!source.no_dims) tensor->dims = MakeArray(source.dims);
  if (source.no_data) return;
  auto* values = static_cast<std::uint8_t*>(std::calloc(1, tensor->bytes));
  for (std::size_t i = 0; i < std::min<std::size_t>(tensor->bytes, 4096); ++i) values[i] = static_cast<std::uint8_t>(i * 37 + 11);
  if (source.channels % 32 != 0) {
    const std::size_t words = static_cast<std::size_t>((source.channels + 31) / 32), count = tensor->bytes / 4;
    auto* packed = reinterpret_cast<std::uint32_t*>(values);
    for (std::size_t i = words - 1; i < count; i += words) packed[i] &= (1u << source.channels % 32) - 1;
  }
  tensor->data = values;
}

}  // namespace

Runtime::Runtime(const File& file) : file_(file), tensors_(file.tensors.size()), nodes_(file.nodes.size()), registrations_(nodes_.size()) {
  context_.tensors_size = tensors_.size();
  context_.tensors = tensors_.data();
  context_.impl_ = this;
  context_.GetExecutionPlan = [](TfLiteContext* context, TfLiteIntArray** plan) {
    *plan = Of(context)->plan_;
    return kTfLiteOk;
  };
  context_.ResizeTensor = [](TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* dims) {
    return Of(context)->Resize(tensor, dims);
  };
  context_.ReportError = Report;
  context_.GetNodeAndRegistration = [](TfLiteContext* context, int index, TfLiteNode** node, TfLiteRegistration** registration) {
    return Of(context)->GetNode(index, node, registration);
  };
  context_.ReplaceNodeSubsetsWithDelegateKernels = [](TfLiteContext* context, TfLiteRegistration registration, const TfLiteIntArray* nodes,
                                                      TfLiteDelegate* delegate) {
    return Of(context)->Replace(registration, nodes, delegate);
  };
  context_.PreviewDelegatePartitioning = [](TfLiteContext* context, const TfLiteIntArray* nodes, TfLiteDelegateParams** partitions,
                                            int* count) { return Of(context)->Preview(nodes, partitions, count); };
  context_.recommended_num_threads = 1;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const FileNode& source = file.nodes[i];
    nodes_[i].inputs = MakeArray(source.inputs);
    nodes_[i].outputs = MakeArray(source.outputs);
    nodes_[i].custom_initial_data = source.options.data();
    nodes_[i].custom_initial_data_size = static_cast<int>(source.options.size());
    if (!source.fields.empty()) nodes_[i].builtin_data = const_cast<int*>(source.fields.data());
    registrations_[i].custom_name = source.custom;
    registrations_[i].builtin_code = source.builtin;
  }
  std::vector<int> plan(nodes_.size());
  std::iota(plan.begin(), plan.end(), 0);
  plan_ = MakeArray(plan);
  for (std::size_t i = 0; i < tensors_.size(); ++i) Fill(file.tensors[i], &tensors_[i]);
}

Runtime::~Runtime() {
  for (Kernel& kernel : kernels_) kernel.registration.free(&context_, kernel.node.user_data);
  for (TfLiteTensor& tensor : tensors_) {
    std::free(tensor.data);
    std::free(tensor.dims);
  }
  for (TfLiteNode& node : nodes_) {
    std::free(node.inputs);
    std::free(node.outputs);
  }
  FreePreview();
  std::free(plan_);
}

bool Runtime::Prepare() {
  return !kernels_.empty() && std::all_of(kernels_.begin(), kernels_.end(), [this](Kernel& kernel) {
    return kernel.registration.prepare(&context_, &kernel.node) == kTfLiteOk;
  });
}

bool Runtime::Invoke() {
  return !kernels_.empty() && std::all_of(kernels_.begin(), kernels_.end(), [this](Kernel& kernel) {
    return kernel.registration.invoke(&context_, &kernel.node) == kTfLiteOk;
  });
}

bool Runtime::ResizeInputs(int batch) {
  for (const int index : file_.inputs) {
    std::vector<int> dims = file_.tensors[static_cast<std::size_t>(index)].dims;
    if (dims.empty()) return false;
    dims[0] = batch;
    if (Resize(&tensors_[static_cast<std::size_t>(index)], MakeArray(dims)) != kTfLiteOk) return false;
  }
  return true;
}

void Runtime::Report(TfLiteContext* context, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  Of(context)->message_ = text;
}

TfLiteStatus Runtime::GetNode(int index, TfLiteNode** node, TfLiteRegistration** registration) {
  if (index < 0 || static_cast<std::size_t>(index) >= nodes_.size()) return kTfLiteError;
  *node = &nodes_[static_cast<std::size_t>(index)];
  *registration = &registrations_[static_cast<std::size_t>(index)];
  return kTfLiteOk;
}

TfLiteStatus Runtime::Replace(const TfLiteRegistration& registration, const TfLiteIntArray* nodes, TfLiteDelegate* delegate) {
  TfLiteDelegateParams params{delegate, MakeArray(std::vector<int>(nodes->data, nodes->data + nodes->size)), nullptr, nullptr};
  kernels_.emplace_back();
  kernels_.back().registration = registration;
  kernels_.back().node.user_data = registration.init(&context_, reinterpret_cast<const char*>(&params), 0);
  for (int i = 0; i < nodes->size; ++i) nodes_[static_cast<std::size_t>(nodes->data[i])].delegate = delegate;
  std::free(params.nodes_to_replace);
  return kTfLiteOk;
}

// One partition, whose outputs are what other nodes and the user read.
TfLiteStatus Runtime::Preview(const TfLiteIntArray* nodes, TfLiteDelegateParams** partitions, int* count) {
  FreePreview();
  const std::vector<int> inside(nodes->data, nodes->data + nodes->size);
  std::vector<int> seen = file_.outputs, outputs;
  const auto is_inside = [&](std::size_t i) { return std::find(inside.begin(), inside.end(), static_cast<int>(i)) != inside.end(); };
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (!is_inside(i)) seen.insert(seen.end(), file_.nodes[i].inputs.begin(), file_.nodes[i].inputs.end());
  }
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (const int output : file_.nodes[i].outputs) {
      if (is_inside(i) && std::find(seen.begin(), seen.end(), output) != seen.end()) outputs.push_back(output);
    }
  }
  preview_.nodes_to_replace = MakeArray(inside);
  preview_.output_tensors = MakeArray(outputs);
  *partitions = &preview_;
  *count = 1;
  return kTfLiteOk;
}

TfLiteStatus Runtime::Resize(TfLiteTensor* tensor, TfLiteIntArray* dims) {
  std::size_t bytes = SizeOf(tensor->type);
  for (int i = 0; i < dims->size; ++i) {
    if (dims->data[i] < 0 || (dims->data[i] > 0 && bytes > kMemory / dims->data[i])) {
      std::free(dims);
      return kTfLiteError;
    }
    bytes *= dims->data[i];
  }
  std::free(tensor->dims);
  std::free(tensor->data);
  tensor->dims = dims;
  tensor->bytes = bytes;
  tensor->data = std::calloc(1, bytes);
  return kTfLiteOk;
}

void Runtime::FreePreview() {
  std::free(preview_.nodes_to_replace);
  std::free(preview_.output_tensors);
  preview_ = {};
}

}  // namespace fdabnn
