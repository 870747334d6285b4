#include "runner/flatbuffer.h"

namespace fdabnn::runner {

namespace {

// Bytes that are read per byte of the data. Files share vtables and little else.
constexpr std::size_t kMostReads = 64;

}  // namespace

Table::Table(const Bytes& data, std::size_t position) : data_(&data), work_(std::make_shared<std::size_t>(0)), position_(position) {
  ReadVtable();
}

Table::Table(const Table& from, std::size_t position) : data_(from.data_), work_(from.work_), position_(position) { ReadVtable(); }

void Table::ReadVtable() {
  const std::size_t position = position_;
  const std::int64_t vtable = static_cast<std::int64_t>(position) - Read<std::int32_t>(position);
  if (vtable < 0) throw Damaged("impossible table at byte " + std::to_string(position));
  vtable_ = static_cast<std::size_t>(vtable);
  const std::size_t vtable_size = Read<std::uint16_t>(vtable_);
  size_ = Read<std::uint16_t>(vtable_ + 2);
  if (vtable_size < 4 || vtable_size % 2 != 0 || size_ < 4) throw Damaged("impossible table at byte " + std::to_string(position));
  Check(vtable_, vtable_size);
  Check(position_, size_);
  Count(vtable_size);
  fields_ = static_cast<int>(vtable_size - 4) / 2;
  for (int field = 0; field < fields_; ++field) {
    if (Read<std::uint16_t>(vtable_ + 4 + 2 * static_cast<std::size_t>(field)) >= size_) {
      throw Damaged("field outside its table at byte " + std::to_string(position));
    }
  }
}

void Table::Count(std::size_t work) const {
  *work_ += work;
  if (*work_ / kMostReads > data_->size()) throw Damaged("its parts are used again and again");
}

void Table::Check(std::size_t position, std::size_t size) const {
  if (position > data_->size() || size > data_->size() - position) {
    throw Damaged(std::to_string(size) + " bytes wanted at byte " + std::to_string(position) + " of " + std::to_string(data_->size()));
  }
}

std::size_t Table::Place(int field) const {
  if (field >= fields_) return 0;
  const std::size_t offset = Read<std::uint16_t>(vtable_ + 4 + 2 * static_cast<std::size_t>(field));
  return offset == 0 ? 0 : position_ + offset;
}

Span Table::Items(int field, std::size_t item) const {
  const std::size_t place = Place(field);
  if (place == 0) return {};
  const std::size_t begin = Target(place);
  const std::size_t count = Read<std::uint32_t>(begin);
  Check(begin + 4, count * item);
  return {true, begin + 4, count};
}

std::string Table::Text(int field) const {
  const Span span = Items(field, 1);
  if (!span.present) return "";
  if (Read<std::uint8_t>(span.begin + span.count) != 0) throw Damaged("unterminated text at byte " + std::to_string(span.begin));
  Count(span.count);
  return std::string(reinterpret_cast<const char*>(data_->data()) + span.begin, span.count);
}

std::vector<Table> Table::Tables(int field) const {
  const Span span = Items(field, 4);
  std::vector<Table> tables;
  tables.reserve(span.count);
  for (std::size_t i = 0; i < span.count; ++i) tables.emplace_back(*this, Target(span.begin + 4 * i));
  return tables;
}

Table Table::Inner(int field) const { return Table(*this, Target(Place(field))); }

Table Root(const Bytes& data, const char* identifier) {
  if (data.size() < 8 || std::memcmp(data.data() + 4, identifier, 4) != 0) throw Damaged("no " + std::string(identifier) + " file");
  std::uint32_t position;
  std::memcpy(&position, data.data(), sizeof position);
  return Table(data, position);
}

}  // namespace fdabnn::runner
