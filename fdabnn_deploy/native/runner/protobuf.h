// Messages of protobuf, read field by field. Wire format: https://protobuf.dev/programming-guides/encoding/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "runner/failure.h"
#include "runner/file.h"

namespace fdabnn::runner {

struct Message {
  const std::uint8_t* data;
  std::size_t size;

  std::string text() const { return std::string(reinterpret_cast<const char*>(data), size); }
};

struct ProtoField {
  std::uint64_t number;
  bool integer;         // else bytes, those of 4 and 8 of fixed size, too
  std::uint64_t value;  // of an integer
  Message bytes;        // otherwise
  Message raw;          // with number and length, as it stands in the file
};

// The number at `*position`, which is moved behind it. Throws Damaged.
std::uint64_t Varint(const Message& message, std::size_t* position);

// The field at `*position`, which is moved behind it. Throws Damaged.
ProtoField NextField(const Message& message, std::size_t* position);

// Calls `visit` with every field of a message.
template <typename Visit>
void EachField(const Message& message, Visit visit) {
  for (std::size_t position = 0; position < message.size;) visit(NextField(message, &position));
}

// Appends a field with its number and length in front.
void PutBytes(std::uint64_t number, const void* data, std::size_t size, Bytes* to);

}  // namespace fdabnn::runner
