// An ONNX file is one protobuf message `ModelProto` (onnx/onnx.proto): field 7 is the graph, field 8 an operator set, whose field 1 is its
// domain. Wire format: https://protobuf.dev/programming-guides/encoding/.
#include "runner/onnx_file.h"

#include "runner/failure.h"

namespace fdabnn::runner {
namespace {

constexpr std::uint64_t kModelGraph = 7, kModelOpsets = 8, kOpsetDomain = 1;
enum Wire { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

struct Message {
  const std::uint8_t* data;
  std::size_t size;
};

std::uint64_t Varint(const Message& message, std::size_t* position) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 70 && *position < message.size; shift += 7) {
    const std::uint64_t byte = message.data[(*position)++];
    if (shift < 64) value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw Damaged("no number ends at byte " + std::to_string(*position) + " of " + std::to_string(message.size));
}

// Calls `visit` with every length-delimited field of a message, and its number.
template <typename Visit>
void EachField(const Message& message, Visit visit) {
  std::size_t position = 0;
  while (position < message.size) {
    const std::uint64_t tag = Varint(message, &position);
    std::uint64_t size = 0;
    switch (tag & 7) {
      case kVarint:
        Varint(message, &position);
        break;
      case kFixed64:
        size = 8;
        break;
      case kFixed32:
        size = 4;
        break;
      case kLength:
        size = Varint(message, &position);
        break;
      default:
        throw Damaged("no protobuf field at byte " + std::to_string(position) + " of " + std::to_string(message.size));
    }
    if (tag >> 3 == 0 || size > message.size - position) {
      throw Damaged("no protobuf field at byte " + std::to_string(position) + " of " + std::to_string(message.size));
    }
    if ((tag & 7) == kLength) visit(tag >> 3, Message{message.data + position, static_cast<std::size_t>(size)});
    position += size;
  }
}

}  // namespace

std::set<std::string> OnnxDomains(const Bytes& content) {
  std::set<std::string> domains;
  bool graph = false;
  EachField({content.data(), content.size()}, [&](std::uint64_t number, const Message& field) {
    graph = graph || number == kModelGraph;
    if (number != kModelOpsets) return;
    std::string domain;
    EachField(field, [&](std::uint64_t inner, const Message& text) {
      if (inner == kOpsetDomain) domain.assign(reinterpret_cast<const char*>(text.data), text.size);
    });
    domains.insert(domain);
  });
  if (!graph) throw Damaged("it holds no graph");
  return domains;
}

}  // namespace fdabnn::runner
