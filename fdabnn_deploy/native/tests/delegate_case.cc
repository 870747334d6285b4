#include "tests/delegate_case.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "kernels/words.h"
#include "tests/delegate_runtime.h"

namespace fdabnn {
namespace {

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

FileTensor Make(TfLiteType type, std::vector<int> dims, bool constant = false) {
  FileTensor tensor;
  tensor.type = type;
  tensor.dims = std::move(dims);
  tensor.constant = constant;
  return tensor;
}

// A file, and the options of its custom operator, which may still be damaged.
struct Drawn {
  File file;
  std::map<std::string, std::int64_t> options;
  std::size_t custom = 0;  // node with the options
};

// One operator of Larq Compute Engine: input in tensor 0, output in tensor 1.
Drawn DrawOperator(Bytes& bytes, int kind) {
  const int batch = bytes.Between(1, 2), height = bytes.Between(5, 9), width = bytes.Between(5, 9);
  const int channels = bytes.Between(1, 100);
  const TfLiteType types[] = {kTfLiteFloat32, kTfLiteInt8, kTfLiteBool};
  const FileTensor packed = Make(kTfLiteInt32, {batch, height, width, WordsFor(channels)});
  const FileTensor plain = Make(types[bytes.Between(0, 2)], {batch, height, width, channels});
  Drawn drawn;
  drawn.file.inputs = {0};
  drawn.file.outputs = {1};
  FileNode node;
  node.inputs = {0};
  node.outputs = {1};
  if (kind == 0) {
    node.custom = "LceQuantize";
    drawn.file.tensors = {plain, Make(kTfLiteInt32, {1})};
  } else if (kind == 1) {
    node.custom = "LceDequantize";
    drawn.file.tensors = {packed, plain};
  } else if (kind == 2) {
    node.custom = "LceBMaxPool2d";
    drawn.file.tensors = {packed, Make(kTfLiteInt32, {1})};
    for (const char* name : {"filter_height", "filter_width", "stride_height", "stride_width"}) drawn.options[name] = bytes.Between(1, 4);
    drawn.options["padding"] = bytes.Between(0, 1);
  } else {
    node.custom = "LceBconv2d";
    const int groups = bytes.Between(1, 3);
    const int channels_in = groups == 1 ? channels : 32 * groups;
    const int channels_out = groups * bytes.Between(1, 40);
    const int output = bytes.Between(0, 2);
    const bool zeros = output == 0 && bytes.Between(0, 1) == 1;
    for (const char* name : {"stride_height", "stride_width", "dilation_height_factor", "dilation_width_factor"}) {
      drawn.options[name] = bytes.Between(1, 2);
    }
    drawn.options["channels_in"] = channels_in;
    drawn.options["padding"] = zeros ? 0 : bytes.Between(0, 1);
    drawn.options["pad_values"] = zeros ? 0 : 1;
    drawn.options["fused_activation_function"] = zeros ? 0 : bytes.Between(0, 3);
    const TfLiteType result = output == 0 ? kTfLiteFloat32 : output == 1 ? kTfLiteInt32 : kTfLiteInt8;
    const int words = WordsFor(channels_in / groups);
    drawn.file.tensors = {Make(kTfLiteInt32, {batch, height, width, WordsFor(channels_in)}), Make(result, {1}),
                          Make(kTfLiteInt32, {channels_out, bytes.Between(1, 3), bytes.Between(1, 3), words}, true),
                          Make(output == 1 ? kTfLiteInt32 : kTfLiteFloat32, {channels_out}, true)};
    drawn.file.tensors[0].channels = channels_in;
    drawn.file.tensors[2].channels = channels_in / groups;
    node.inputs = output == 1 ? std::vector<int>{0, 2, -1, -1, 3} : std::vector<int>{0, 2, 3, 3, -1};
  }
  drawn.file.nodes = {node};
  return drawn;
}

// Differences of two to four convolutions of two inputs.
Drawn DrawConvSum(Bytes& bytes) {
  Drawn drawn;
  File& file = drawn.file;
  const int batch = bytes.Between(1, 2), height = bytes.Between(5, 9), width = bytes.Between(5, 9);
  const int channels_in = bytes.Between(1, 5), channels_out = bytes.Between(1, 40);
  const int kernel_h = bytes.Between(1, 3), kernel_w = bytes.Between(1, 3);
  const auto add = [&file](const FileTensor& tensor) {
    file.tensors.push_back(tensor);
    return static_cast<int>(file.tensors.size()) - 1;
  };
  file.inputs = {add(Make(kTfLiteFloat32, {batch, height, width, channels_in})),
                 add(Make(kTfLiteFloat32, {batch, height, width, channels_in}))};
  FileNode convolution;
  convolution.builtin = kTfLiteBuiltinConv2d;
  const int padding = bytes.Between(1, 2), stride_w = bytes.Between(1, 2), stride_h = bytes.Between(1, 2);
  convolution.fields = {padding, stride_w, stride_h, kTfLiteActNone, bytes.Between(1, 2), bytes.Between(1, 2)};
  std::vector<int> results;
  const int terms = bytes.Between(2, 4);
  for (int i = 0; i < terms; ++i) {
    const int filter = add(Make(kTfLiteFloat32, {channels_out, kernel_h, kernel_w, channels_in}, true));
    const int bias = add(Make(kTfLiteFloat32, {channels_out}, true));
    results.push_back(add(Make(kTfLiteFloat32, {1, 1, 1, 1})));
    convolution.inputs = {bytes.Between(0, 1), filter, bias};
    convolution.outputs = {results.back()};
    file.nodes.push_back(convolution);
  }
  FileNode difference;
  difference.builtin = kTfLiteBuiltinSub;
  difference.fields = {kTfLiteActNone};
  while (results.size() > 1) {
    const int place = bytes.Between(0, static_cast<int>(results.size()) - 2);
    difference.inputs.assign(results.begin() + place, results.begin() + place + 2);
    results.erase(results.begin() + place);
    results[static_cast<std::size_t>(place)] = add(Make(kTfLiteFloat32, {1, 1, 1, 1}));
    difference.outputs = {results[static_cast<std::size_t>(place)]};
    file.nodes.push_back(difference);
  }
  file.outputs = results;
  return drawn;
}

// Adds a tensor to a file.
int AddTensor(File* file, const FileTensor& tensor) {
  file->tensors.push_back(tensor);
  return static_cast<int>(file->tensors.size()) - 1;
}

// An operator of single values behind a tensor: with a constant, or with another tensor.
int AddPointwise(Bytes& bytes, File* file, int from, int other) {
  const std::int32_t kinds[] = {kTfLiteBuiltinAdd,       kTfLiteBuiltinSub,     kTfLiteBuiltinMul,
                                kTfLiteBuiltinMinimum,   kTfLiteBuiltinMaximum, kTfLiteBuiltinRound,
                                kTfLiteBuiltinLeakyRelu, kTfLiteBuiltinPrelu,   kTfLiteBuiltinRelu};
  FileNode node;
  node.builtin = kinds[bytes.Next() % 9];
  node.fields = {bytes.Next() % 4};
  node.inputs = {from};
  const FileTensor like = file->tensors[static_cast<std::size_t>(from)];
  const bool alone = node.builtin == kTfLiteBuiltinRound || node.builtin == kTfLiteBuiltinLeakyRelu || node.builtin == kTfLiteBuiltinRelu;
  if (!alone) {
    const bool pair = node.builtin != kTfLiteBuiltinPrelu && bytes.Next() % 3 == 0;
    node.inputs.push_back(pair ? other : AddTensor(file, Make(kTfLiteFloat32, {bytes.Next() % 2 ? 1 : like.dims[3]}, true)));
  }
  node.outputs = {AddTensor(file, like)};
  file->nodes.push_back(node);
  return node.outputs[0];
}

// A binary convolution between operators of single values, as the engine runs them together, and a pool.
Drawn DrawNetwork(Bytes& bytes) {
  Drawn drawn;
  File& file = drawn.file;
  const int batch = bytes.Between(1, 2), height = bytes.Between(4, 9), width = bytes.Between(4, 9), channels = bytes.Between(1, 70);
  const FileTensor image = Make(kTfLiteFloat32, {batch, height, width, channels});
  file.inputs = {AddTensor(&file, image)};
  const int signs = AddTensor(&file, Make(kTfLiteInt32, {batch, height, width, WordsFor(channels)}));
  file.tensors[static_cast<std::size_t>(signs)].channels = channels;
  FileNode convolution;
  convolution.custom = "LceBconv2d";
  for (const char* name : {"stride_height", "stride_width", "dilation_height_factor", "dilation_width_factor"}) drawn.options[name] = 1;
  drawn.options["channels_in"] = channels;
  drawn.options["padding"] = 0;
  drawn.options["pad_values"] = bytes.Between(0, 1);
  drawn.options["fused_activation_function"] = 0;
  FileTensor filter = Make(kTfLiteInt32, {channels, 3, 3, WordsFor(channels)}, true);
  filter.channels = channels;
  const int constant = AddTensor(&file, Make(kTfLiteFloat32, {channels}, true));
  convolution.inputs = {signs, AddTensor(&file, filter), constant, constant, -1};
  convolution.outputs = {AddTensor(&file, image)};
  FileNode quantize;
  quantize.custom = "LceQuantize";
  quantize.inputs = {0};
  quantize.outputs = {signs};
  file.nodes = {quantize, convolution};
  int last = convolution.outputs[0];
  for (int i = bytes.Between(1, 5); i > 0; --i) last = AddPointwise(bytes, &file, last, bytes.Next() % 2 ? 0 : convolution.outputs[0]);
  FileNode pool;
  pool.builtin = bytes.Next() % 2 ? kTfLiteBuiltinMaxPool2d : kTfLiteBuiltinAveragePool2d;
  pool.fields = {bytes.Between(1, 2), bytes.Between(1, 2), bytes.Between(1, 2), bytes.Between(1, 3), bytes.Between(1, 3), kTfLiteActNone};
  pool.inputs = {last};
  pool.outputs = {AddTensor(&file, image)};
  file.nodes.push_back(pool);
  file.outputs = {pool.outputs[0], last};
  drawn.custom = 1;
  return drawn;
}

Drawn DrawSound(Bytes& bytes) {
  const int first = bytes.Next();
  if (first >= 160 && first < 192) return DrawNetwork(bytes);
  return first >= 192 ? DrawConvSum(bytes) : DrawOperator(bytes, first % 4);
}

// What a number in the options of an operator may become.
void DamageOption(Bytes& bytes, Drawn* drawn, FileNode* node) {
  if (!drawn->options.empty()) {
    auto option = drawn->options.begin();
    std::advance(option, bytes.Next() % drawn->options.size());
    option->second = bytes.Number();
  } else if (!node->fields.empty()) {
    node->fields[bytes.Next() % node->fields.size()] = static_cast<int>(bytes.Number());
  }
}

void Damage(Bytes& bytes, Drawn* drawn) {
  File& file = drawn->file;
  FileTensor& tensor = file.tensors[bytes.Next() % file.tensors.size()];
  FileNode& node = file.nodes[file.nodes.size() == 1 ? 0 : bytes.Next() % file.nodes.size()];
  switch (bytes.Next() % 14) {
    case 0:
    case 1:
      DamageOption(bytes, drawn, &node);
      break;
    case 2:
      if (!drawn->options.empty()) drawn->options.erase(drawn->options.begin());
      node.fields.clear();
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
    case 11:
      tensor.channels = 0;
      break;
    case 12: {
      std::vector<int>& indices = bytes.Next() % 2 ? node.inputs : node.outputs;
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
  Drawn drawn = DrawSound(bytes);
  const int damages = bytes.Next() % 4;
  for (int i = 0; i < damages; ++i) Damage(bytes, &drawn);
  std::vector<std::uint8_t> options = WriteOptions(drawn.options);
  const int flips = bytes.Next() % 4;
  for (int i = 0; i < flips && !options.empty(); ++i) {
    const std::size_t place = (bytes.Next() << 8 | bytes.Next()) % options.size();
    options[place] = bytes.Next();
    if (bytes.Next() % 8 == 0) options.resize(place);
  }
  result.damaged = damages > 0 || flips > 0;
  drawn.file.nodes[drawn.custom].options = std::move(options);
  Runtime runtime(drawn.file);
  result.ran = delegate->Prepare(runtime.context(), delegate) == kTfLiteOk && runtime.Prepare() && runtime.Invoke() && runtime.Invoke();
  const int batch = result.damaged ? static_cast<int>(bytes.Number()) : 3;
  if (!drawn.file.tensors[0].dims.empty()) {
    const bool again = runtime.ResizeInputs(batch) && runtime.Prepare() && runtime.Invoke();
    result.ran = result.ran && again;
  }
  // A runtime that runs what it could not prepare.
  if (result.damaged && bytes.Next() % 2) runtime.Invoke();
  result.message = runtime.message();
  return result;
}

}  // namespace fdabnn
