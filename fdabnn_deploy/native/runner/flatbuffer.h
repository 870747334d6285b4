// Reading FlatBuffers without trusting them: every access is checked against the end of the data. All functions throw Damaged.
//
// Source: https://flatbuffers.dev/internals (FlatBuffer binary format). All numbers are little-endian. A table begins with the signed
// distance back to its vtable; a vtable holds its own size, the table's size, and per field the distance from the table's begin, 0 where
// the field is absent. Vectors and strings begin with their length; references are unsigned distances forward.
// Several references may lead to one part, by which a small file could be endless work: what is read is limited by the size of the data.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "runner/failure.h"
#include "runner/file.h"

namespace fdabnn::runner {

// Where the items of a vector lie; `present` is false for an absent field.
struct Span {
  bool present = false;
  std::size_t begin = 0;
  std::size_t count = 0;
};

class Table {
 public:
  // The root's own, or one that another table refers to.
  Table(const Bytes& data, std::size_t position);
  Table(const Table& from, std::size_t position);

  bool Has(int field) const { return Place(field) != 0; }

  template <typename T>
  T Number(int field, T otherwise = 0) const {
    const std::size_t place = Place(field);
    if (place == 0) return otherwise;
    if (place + sizeof(T) > position_ + size_) throw Damaged("field outside its table at byte " + std::to_string(position_));
    return Read<T>(place);
  }

  template <typename T>
  std::vector<T> Numbers(int field) const {
    const Span span = Items(field, sizeof(T));
    Count(span.count * sizeof(T));
    std::vector<T> numbers(span.count);
    if (span.count > 0) std::memcpy(numbers.data(), data_->data() + span.begin, span.count * sizeof(T));
    return numbers;
  }

  Span Items(int field, std::size_t item) const;
  std::string Text(int field) const;
  std::vector<Table> Tables(int field) const;
  Table Inner(int field) const;  // of a field that is there

 private:
  std::size_t Place(int field) const;
  std::size_t Target(std::size_t place) const { return place + Read<std::uint32_t>(place); }
  void Check(std::size_t position, std::size_t size) const;
  void ReadVtable();
  void Count(std::size_t work) const;

  template <typename T>
  T Read(std::size_t position) const {
    static_assert(std::is_integral_v<T>, "numbers only");
    Check(position, sizeof(T));
    T value;
    std::memcpy(&value, data_->data() + position, sizeof value);
    return value;
  }

  const Bytes* data_;
  std::shared_ptr<std::size_t> work_;  // that all tables of the data have been
  std::size_t position_;
  std::size_t vtable_;
  std::size_t size_;
  int fields_;
};

// The root table of a buffer with this file identifier of four letters.
Table Root(const Bytes& data, const char* identifier);

}  // namespace fdabnn::runner
