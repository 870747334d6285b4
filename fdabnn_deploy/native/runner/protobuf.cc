#include "runner/protobuf.h"

namespace fdabnn::runner {
namespace {

enum Wire { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

void PutVarint(std::uint64_t value, Bytes* to) {
  for (; value >= 0x80; value >>= 7) to->push_back(static_cast<std::uint8_t>(value | 0x80));
  to->push_back(static_cast<std::uint8_t>(value));
}

}  // namespace

std::uint64_t Varint(const Message& message, std::size_t* position) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 70 && *position < message.size; shift += 7) {
    const std::uint64_t byte = message.data[(*position)++];
    if (shift < 64) value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw Damaged("no number ends at byte " + std::to_string(*position) + " of " + std::to_string(message.size));
}

ProtoField NextField(const Message& message, std::size_t* position) {
  const std::size_t start = *position;
  const std::uint64_t tag = Varint(message, position);
  ProtoField field{tag >> 3, (tag & 7) == kVarint, 0, {nullptr, 0}, {nullptr, 0}};
  std::uint64_t size = 0;
  bool known = true;
  switch (tag & 7) {
    case kVarint:
      field.value = Varint(message, position);
      break;
    case kFixed64:
      size = 8;
      break;
    case kFixed32:
      size = 4;
      break;
    case kLength:
      size = Varint(message, position);
      break;
    default:
      known = false;
  }
  if (!known || field.number == 0 || size > message.size - *position) {
    throw Damaged("no protobuf field at byte " + std::to_string(*position) + " of " + std::to_string(message.size));
  }
  if (!field.integer) field.bytes = {message.data + *position, static_cast<std::size_t>(size)};
  *position += static_cast<std::size_t>(size);
  field.raw = {message.data + start, *position - start};
  return field;
}

void PutBytes(std::uint64_t number, const void* data, std::size_t size, Bytes* to) {
  PutVarint(number << 3 | kLength, to);
  PutVarint(size, to);
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  to->insert(to->end(), bytes, bytes + size);
}

}  // namespace fdabnn::runner
