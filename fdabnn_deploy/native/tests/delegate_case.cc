#include "tests/delegate_case.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "kernels/words.h"

namespace fdabnn {
namespace {

constexpr std::size_t kMemory = std::size_t{1} << 20;  // of one tensor; what is larger takes a fuzzer too long

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  bool empty() const { return size_ == 0; }

  std::uint8_t Next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }

  int Between(int low, int high) { return low + Next() % (high - low + 1); }

  // Small, around a power of two, or anything.
  std::int64_t Number() {
    const int kind = Next() % 4;
    if (kind < 2) return static_cast<std::int8_t>(Next());
    std::uint64_t value = 0;
    for (int i = 0; i < (kind == 2 ? 4 : 8); ++i) value = value << 8 | Next();
    return kind == 2 ? static_cast<std::int32_t>(value) : static_cast<std::int64_t>(value);
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

std::size_t SizeOf(TfLiteType type) { return type == kTfLiteInt8 || type == kTfLiteBool ? 1 : 4; }

TfLiteIntArray* MakeArray(const std::vector<int>& values) {
  auto* array = static_cast<TfLiteIntArray*>(std::malloc(sizeof(int) * (values.size() + 1)));
  array->size = static_cast<int>(values.size());
  if (!values.empty()) std::memcpy(array->data, values.data(), sizeof(int) * values.size());
  return array;
}

// A FlexBuffer with numbers of 64 bits.
std::vector<std::uint8_t> WriteOptions(const std::map<std::string, std::int64_t>& options) {
  std::vector<std::uint8_t> buffer;
  const auto put = [&buffer](std::uint64_t value) {
    for (int i = 0; i < 8; ++i) buffer.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  };
  std::vector<std::size_t> places;
  for (const auto& option : options) {
    places.push_back(buffer.size());
    buffer.insert(buffer.end(), option.first.c_str(), option.first.c_str() + option.first.size() + 1);
  }
  buffer.resize((buffer.size() + 7) / 8 * 8);
  put(options.size());
  const std::size_t keys = buffer.size();
  for (const std::size_t place : places) put(buffer.size() - place);
  put(buffer.size() - keys);
  put(8);
  put(options.size());
  const std::size_t values = buffer.size();
  for (const auto& option : options) put(static_cast<std::uint64_t>(option.second));
  buffer.insert(buffer.end(), options.size(), 1 << 2 | 3);
  put(buffer.size() - values);
  buffer.push_back(9 << 2 | 3);
  buffer.push_back(8);
  return buffer;
}

struct Tensor {
  TfLiteType type = kTfLiteInt32;
  std::vector<int> dims;
  bool constant = false;
  std::int64_t bytes = -1;  // of its buffer where not those of its shape
  bool no_dims = false;
  bool no_data = false;
  TfLiteQuantizationParams params{0.25f, -3};
  TfLiteQuantizationType quantization = kTfLiteAffineQuantization;
};

// What a file says about one operator.
struct File {
  const char* op = "";
  std::map<std::string, std::int64_t> options;
  std::vector<Tensor> tensors;
  std::vector<int> inputs;
  std::vector<int> outputs;
};

class Runtime {
 public:
  Runtime(const File& file, std::vector<std::uint8_t> options) : options_(std::move(options)), tensors_(file.tensors.size()) {
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
    context_.GetNodeAndRegistration = [](TfLiteContext* context, int, TfLiteNode** node, TfLiteRegistration** registration) {
      *node = &Of(context)->node_;
      *registration = &Of(context)->registration_;
      return kTfLiteOk;
    };
    context_.ReplaceNodeSubsetsWithDelegateKernels = [](TfLiteContext* context, TfLiteRegistration registration,
                                                        const TfLiteIntArray* nodes, TfLiteDelegate* delegate) {
      return Of(context)->Replace(registration, nodes, delegate);
    };
    context_.recommended_num_threads = 1;
    node_.inputs = MakeArray(file.inputs);
    node_.outputs = MakeArray(file.outputs);
    node_.custom_initial_data = options_.data();
    node_.custom_initial_data_size = static_cast<int>(options_.size());
    registration_.custom_name = file.op;
    plan_ = MakeArray({0});
    for (std::size_t i = 0; i < tensors_.size(); ++i) Fill(file.tensors[i], &tensors_[i]);
  }

  ~Runtime() {
    if (kernel_.free != nullptr) kernel_.free(&context_, delegate_node_.user_data);
    for (TfLiteTensor& tensor : tensors_) {
      std::free(tensor.data);
      std::free(tensor.dims);
    }
    std::free(node_.inputs);
    std::free(node_.outputs);
    std::free(plan_);
  }

  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  TfLiteContext* context() { return &context_; }
  const std::string& message() const { return message_; }

  bool Prepare() { return kernel_.prepare != nullptr && kernel_.prepare(&context_, &delegate_node_) == kTfLiteOk; }

  bool Invoke() { return kernel_.invoke(&context_, &delegate_node_) == kTfLiteOk; }

  // As a user resizes an input.
  bool ResizeInput(const std::vector<int>& dims) { return Resize(&tensors_[0], MakeArray(dims)) == kTfLiteOk; }

 private:
  static Runtime* Of(TfLiteContext* context) { return static_cast<Runtime*>(context->impl_); }

  static void Report(TfLiteContext* context, const char* format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    Of(context)->message_ = text;
  }

  TfLiteStatus Replace(const TfLiteRegistration& registration, const TfLiteIntArray* nodes, TfLiteDelegate* delegate) {
    kernel_ = registration;
    TfLiteDelegateParams params{delegate, MakeArray({nodes->data[0]}), nullptr, nullptr};
    delegate_node_.user_data = kernel_.init(&context_, reinterpret_cast<const char*>(&params), 0);
    std::free(params.nodes_to_replace);
    return kTfLiteOk;
  }

  TfLiteStatus Resize(TfLiteTensor* tensor, TfLiteIntArray* dims) {
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

  static void Fill(const Tensor& source, TfLiteTensor* tensor) {
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
    tensor->data = values;
  }

  std::vector<std::uint8_t> options_;
  std::vector<TfLiteTensor> tensors_;
  TfLiteContext context_{};
  TfLiteNode node_{};
  TfLiteNode delegate_node_{};
  TfLiteRegistration registration_{};
  TfLiteRegistration kernel_{};
  TfLiteIntArray* plan_ = nullptr;
  std::string message_;
};

Tensor Make(TfLiteType type, std::vector<int> dims, bool constant = false) {
  Tensor tensor;
  tensor.type = type;
  tensor.dims = std::move(dims);
  tensor.constant = constant;
  return tensor;
}

File SoundFile(Bytes& bytes) {
  const int kind = bytes.Between(0, 3);
  const int batch = bytes.Between(1, 2), height = bytes.Between(5, 9), width = bytes.Between(5, 9);
  const int channels = bytes.Between(1, 100);
  const TfLiteType types[] = {kTfLiteFloat32, kTfLiteInt8, kTfLiteBool};
  const Tensor packed = Make(kTfLiteInt32, {batch, height, width, WordsFor(channels)});
  const Tensor plain = Make(types[bytes.Between(0, 2)], {batch, height, width, channels});
  File file;
  file.inputs = {0};
  file.outputs = {1};
  if (kind == 0) {
    file.op = "LceQuantize";
    file.tensors = {plain, Make(kTfLiteInt32, {1})};
  } else if (kind == 1) {
    file.op = "LceDequantize";
    file.tensors = {packed, plain};
  } else if (kind == 2) {
    file.op = "LceBMaxPool2d";
    file.tensors = {packed, Make(kTfLiteInt32, {1})};
    for (const char* name : {"filter_height", "filter_width", "stride_height", "stride_width"}) file.options[name] = bytes.Between(1, 4);
    file.options["padding"] = bytes.Between(0, 1);
  } else {
    file.op = "LceBconv2d";
    const int groups = bytes.Between(1, 3);
    const int channels_in = groups == 1 ? channels : 32 * groups;
    const int channels_out = groups * bytes.Between(1, 40);
    const int output = bytes.Between(0, 2);
    const bool zeros = output == 0 && bytes.Between(0, 1) == 1;
    for (const char* name : {"stride_height", "stride_width", "dilation_height_factor", "dilation_width_factor"}) {
      file.options[name] = bytes.Between(1, 2);
    }
    file.options["channels_in"] = channels_in;
    file.options["padding"] = zeros ? 0 : bytes.Between(0, 1);
    file.options["pad_values"] = zeros ? 0 : 1;
    file.options["fused_activation_function"] = zeros ? 0 : bytes.Between(0, 3);
    const TfLiteType result = output == 0 ? kTfLiteFloat32 : output == 1 ? kTfLiteInt32 : kTfLiteInt8;
    const int words = WordsFor(channels_in / groups);
    file.tensors = {Make(kTfLiteInt32, {batch, height, width, WordsFor(channels_in)}), Make(result, {1}),
                    Make(kTfLiteInt32, {channels_out, bytes.Between(1, 3), bytes.Between(1, 3), words}, true),
                    Make(output == 1 ? kTfLiteInt32 : kTfLiteFloat32, {channels_out}, true)};
    file.inputs = output == 1 ? std::vector<int>{0, 2, -1, -1, 3} : std::vector<int>{0, 2, 3, 3, -1};
  }
  return file;
}

void Damage(Bytes& bytes, File* file) {
  Tensor& tensor = file->tensors[bytes.Next() % file->tensors.size()];
  switch (bytes.Next() % 13) {
    case 0:
    case 1:
      if (!file->options.empty()) {
        auto option = file->options.begin();
        std::advance(option, bytes.Next() % file->options.size());
        option->second = bytes.Number();
      }
      break;
    case 2:
      if (!file->options.empty()) file->options.erase(file->options.begin());
      break;
    case 3:
    case 4:
      if (!tensor.dims.empty()) tensor.dims[bytes.Next() % tensor.dims.size()] = static_cast<int>(bytes.Number());
      break;
    case 5:
      tensor.dims.resize(bytes.Next() % 10, 3);
      break;
    case 6:
      tensor.no_dims = true;
      break;
    case 7:
      tensor.no_data = true;
      break;
    case 8:
      tensor.type = bytes.Next() % 20;
      break;
    case 9:
      tensor.bytes = bytes.Next();
      break;
    case 10:
      tensor.constant = !tensor.constant;
      break;
    case 11: {
      std::vector<int>& indices = bytes.Next() % 2 ? file->inputs : file->outputs;
      if (bytes.Next() % 2 && !indices.empty()) {
        indices[bytes.Next() % indices.size()] = static_cast<int>(bytes.Number());
      } else {
        indices.resize(bytes.Next() % 8, 0);
      }
      break;
    }
    default: {
      const auto number = static_cast<std::int32_t>(bytes.Number());
      std::memcpy(&tensor.params.scale, &number, sizeof(number));
      tensor.params.zero_point = static_cast<std::int32_t>(bytes.Number());
      tensor.quantization = bytes.Next() % 3;
    }
  }
}

}  // namespace

CaseResult RunCase(const std::uint8_t* data, std::size_t size, TfLiteDelegate* delegate) {
  Bytes bytes(data, size);
  CaseResult result;
  File file = SoundFile(bytes);
  const int damages = bytes.Next() % 4;
  for (int i = 0; i < damages; ++i) Damage(bytes, &file);
  std::vector<std::uint8_t> options = WriteOptions(file.options);
  const int flips = bytes.Next() % 4;
  for (int i = 0; i < flips && !options.empty(); ++i) {
    const std::size_t place = (bytes.Next() << 8 | bytes.Next()) % options.size();
    options[place] = bytes.Next();
    if (bytes.Next() % 8 == 0) options.resize(place);
  }
  result.damaged = damages > 0 || flips > 0;
  Runtime runtime(file, std::move(options));
  result.ran = delegate->Prepare(runtime.context(), delegate) == kTfLiteOk && runtime.Prepare() && runtime.Invoke() && runtime.Invoke();
  if (!file.tensors[0].dims.empty()) {
    std::vector<int> dims = file.tensors[0].dims;
    dims[0] = result.damaged ? static_cast<int>(bytes.Number()) : 3;
    const bool again = runtime.ResizeInput(dims) && runtime.Prepare() && runtime.Invoke();
    result.ran = result.ran && again;
  }
  // A runtime that runs what it could not prepare.
  if (result.damaged && bytes.Next() % 2 && runtime.context()->tensors_size > 0) runtime.Invoke();
  result.message = runtime.message();
  return result;
}

}  // namespace fdabnn
