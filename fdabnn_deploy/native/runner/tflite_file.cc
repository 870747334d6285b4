#include "runner/tflite_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runner/flatbuffer.h"
#include "runner/sha256.h"

namespace fdabnn::runner {
namespace {

constexpr char kIdentifier[] = "TFL3";
constexpr char kDigestKey[] = "fdabnn_sha256";
constexpr std::size_t kDigits = 64;
constexpr int kCustom = 32;

// BuiltinOperator codes that files of binary networks use; others are shown by number.
struct OperatorName {
  int code;
  const char* name;
};
constexpr OperatorName kOperators[] = {{0, "ADD"},
                                       {1, "AVERAGE_POOL_2D"},
                                       {2, "CONCATENATION"},
                                       {3, "CONV_2D"},
                                       {4, "DEPTHWISE_CONV_2D"},
                                       {6, "DEQUANTIZE"},
                                       {9, "FULLY_CONNECTED"},
                                       {14, "LOGISTIC"},
                                       {17, "MAX_POOL_2D"},
                                       {18, "MUL"},
                                       {19, "RELU"},
                                       {20, "RELU_N1_TO_1"},
                                       {21, "RELU6"},
                                       {22, "RESHAPE"},
                                       {25, "SOFTMAX"},
                                       {28, "TANH"},
                                       {34, "PAD"},
                                       {36, "GATHER"},
                                       {39, "TRANSPOSE"},
                                       {40, "MEAN"},
                                       {41, "SUB"},
                                       {42, "DIV"},
                                       {43, "SQUEEZE"},
                                       {45, "STRIDED_SLICE"},
                                       {47, "EXP"},
                                       {50, "LOG_SOFTMAX"},
                                       {54, "PRELU"},
                                       {55, "MAXIMUM"},
                                       {57, "MINIMUM"},
                                       {58, "LESS"},
                                       {59, "NEG"},
                                       {60, "PADV2"},
                                       {61, "GREATER"},
                                       {64, "SELECT"},
                                       {65, "SLICE"},
                                       {74, "SUM"},
                                       {98, "LEAKY_RELU"},
                                       {101, "ABS"},
                                       {105, "REVERSE_V2"},
                                       {114, "QUANTIZE"},
                                       {116, "ROUND"},
                                       {117, "HARD_SWISH"},
                                       {123, "SELECT_V2"},
                                       {130, "BROADCAST_TO"},
                                       {152, "RELU_0_TO_1"}};

// Bytes of a value by TensorType, 0 for types without a fixed size.
constexpr std::size_t kSizes[] = {4, 2, 4, 1, 8, 0, 1, 2, 8, 1, 8, 16, 8, 0, 0, 4, 2, 0};

std::string NameOf(const Table& code) {
  const int number = std::max<int>(code.Number<std::int8_t>(0), code.Number<std::int32_t>(3));
  std::string custom = code.Text(1);
  if (number == kCustom) {
    if (custom.empty()) throw Damaged("custom operator without a name");
    return custom;
  }
  for (const OperatorName& known : kOperators) {
    if (known.code == number) return known.name;
  }
  return "builtin " + std::to_string(number);
}

void CheckIndices(const std::vector<std::int32_t>& indices, std::size_t count, std::int32_t lowest) {
  for (const std::int32_t index : indices) {
    if (index < lowest || index >= static_cast<std::int64_t>(count)) throw Damaged("a tensor index out of range");
  }
}

// The SHA-256 of the file with the digits themselves replaced by zeros.
void CheckDigest(const Bytes& data, const Table& model, const std::vector<Table>& buffers) {
  bool checked = false;
  for (const Table& entry : model.Tables(6)) {
    const std::uint32_t index = entry.Number<std::uint32_t>(1);
    if (index >= buffers.size()) throw Damaged("metadata without its buffer");
    if (entry.Text(0) != kDigestKey) continue;
    if (std::exchange(checked, true)) throw Damaged("two checksums");
    const Span span = buffers[index].Items(0, 1);
    if (span.count != kDigits) throw Damaged("unreadable checksum");
    Sha256 hasher;
    hasher.Add(data.data(), span.begin);
    hasher.Add(std::string(kDigits, '0').data(), kDigits);
    hasher.Add(data.data() + span.begin + kDigits, data.size() - span.begin - kDigits);
    if (std::memcmp(hasher.Hex().data(), data.data() + span.begin, kDigits) != 0) throw Damaged("its checksum does not fit");
  }
}

TfliteTensor ReadTensor(const Table& table, const std::vector<Table>& buffers) {
  TfliteTensor tensor{table.Text(3), table.Numbers<std::int32_t>(0), table.Number<std::int8_t>(1), false};
  const std::uint32_t index = table.Number<std::uint32_t>(2);
  if (index >= buffers.size()) throw Damaged("a tensor without its buffer");
  if (tensor.type < 0 || tensor.type >= static_cast<int>(std::size(kSizes))) {
    throw Damaged("unknown tensor type " + std::to_string(tensor.type));
  }
  std::uint64_t bytes = kSizes[tensor.type];
  bool empty = false;
  for (const std::int32_t size : tensor.shape) {
    if (size < 0) throw Damaged("a tensor of negative size");
    empty = empty || size == 0;
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes)) throw Damaged("a tensor of impossible size");
  }
  const Span span = buffers[index].Items(0, 1);
  const std::size_t stored = span.count;
  if (stored > 0 && kSizes[tensor.type] > 0 && stored != bytes) {
    throw Damaged("a constant of " + std::to_string(stored) + " bytes, and a shape of " + std::to_string(bytes));
  }
  // A constant without any value, such as an axis of length 0, has a buffer without any byte; what is computed has none at all.
  tensor.constant = stored > 0 || (span.present && empty);
  if (table.Has(4)) {
    const Table quantization = table.Inner(4);
    for (const int field : {0, 1, 2}) quantization.Items(field, 4);
    quantization.Items(3, 8);
    if (quantization.Has(5)) quantization.Inner(5);
  }
  if (table.Has(6)) throw Damaged("sparse tensors are not read");
  table.Items(7, 4);
  return tensor;
}

TfliteOperator ReadOperator(const Table& table, const std::vector<std::string>& codes, std::size_t tensors) {
  const std::uint32_t code = table.Number<std::uint32_t>(0);
  if (code >= codes.size()) throw Damaged("an operator without its code");
  TfliteOperator made{codes[code], table.Numbers<std::int32_t>(1), table.Numbers<std::int32_t>(2)};
  CheckIndices(made.inputs, tensors, -1);
  CheckIndices(made.outputs, tensors, 0);
  CheckIndices(table.Numbers<std::int32_t>(8), tensors, 0);
  if (table.Has(4)) table.Inner(4);
  table.Items(5, 1);
  table.Items(7, 1);
  return made;
}

TfliteFile ReadSubgraph(const Table& subgraph, const std::vector<std::string>& codes, const std::vector<Table>& buffers) {
  TfliteFile file;
  std::vector<bool> ready;
  for (const Table& table : subgraph.Tables(0)) {
    file.tensors.push_back(ReadTensor(table, buffers));
    ready.push_back(file.tensors.back().constant || table.Number<std::uint8_t>(5) != 0);
  }
  const auto set = [&](const std::vector<std::int32_t>& indices) {
    for (const std::int32_t index : indices) ready[static_cast<std::size_t>(index)] = true;
  };
  const auto all_set = [&](const std::vector<std::int32_t>& indices) {
    return std::all_of(indices.begin(), indices.end(),
                       [&](std::int32_t index) { return index < 0 || ready[static_cast<std::size_t>(index)]; });
  };
  file.inputs = subgraph.Numbers<std::int32_t>(1);
  file.outputs = subgraph.Numbers<std::int32_t>(2);
  CheckIndices(file.inputs, file.tensors.size(), 0);
  CheckIndices(file.outputs, file.tensors.size(), 0);
  set(file.inputs);
  for (const Table& table : subgraph.Tables(3)) {
    TfliteOperator made = ReadOperator(table, codes, file.tensors.size());
    if (!all_set(made.inputs)) throw Damaged("operator " + made.name + " reads a tensor that nothing has written");
    set(made.outputs);
    file.operators.push_back(std::move(made));
  }
  if (!all_set(file.outputs)) throw Damaged("an output that nothing writes");
  subgraph.Text(4);
  return file;
}

void CheckSignature(const Table& signature, const std::vector<TfliteFile>& subgraphs) {
  const std::uint32_t subgraph = signature.Number<std::uint32_t>(4);
  if (subgraph >= subgraphs.size()) throw Damaged("a signature without its subgraph");
  signature.Text(2);
  for (const int field : {0, 1}) {
    for (const Table& entry : signature.Tables(field)) {
      entry.Text(0);
      if (entry.Number<std::uint32_t>(1) >= subgraphs[subgraph].tensors.size()) throw Damaged("a tensor index out of range");
    }
  }
}

}  // namespace

TfliteFile ParseTflite(const Bytes& data) {
  const Table model = Root(data, kIdentifier);
  if (model.Number<std::uint32_t>(0) != 3) throw Damaged("schema version is not 3");
  const std::vector<Table> buffers = model.Tables(4);
  for (const Table& buffer : buffers) buffer.Items(0, 1);
  CheckDigest(data, model, buffers);
  std::vector<std::string> codes;
  for (const Table& code : model.Tables(1)) codes.push_back(NameOf(code));
  std::vector<TfliteFile> subgraphs;
  for (const Table& subgraph : model.Tables(2)) subgraphs.push_back(ReadSubgraph(subgraph, codes, buffers));
  if (subgraphs.empty()) throw Damaged("no subgraph");
  for (const Table& signature : model.Tables(7)) CheckSignature(signature, subgraphs);
  return subgraphs.front();
}

}  // namespace fdabnn::runner
