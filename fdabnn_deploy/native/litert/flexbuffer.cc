#include "litert/flexbuffer.h"

#include <cstring>

namespace fdabnn {
namespace {

constexpr int kInt = 1;
constexpr int kUint = 2;
constexpr int kMap = 9;
constexpr int kBool = 26;

class Reader {
 public:
  Reader(const std::uint8_t* buffer, std::size_t length) : buffer_(buffer), length_(length) {}

  std::size_t length() const { return length_; }

  // A little-endian number of 1, 2, 4 or 8 bytes.
  bool Number(std::size_t place, std::size_t width, std::uint64_t* value) const {
    if (place > length_ || width > length_ - place) return false;
    *value = 0;
    for (std::size_t i = 0; i < width; ++i) *value |= static_cast<std::uint64_t>(buffer_[place + i]) << (8 * i);
    return true;
  }

  // Where the reference at `place` points: they point backwards.
  bool Follow(std::size_t place, std::size_t width, std::size_t* target) const {
    std::uint64_t distance = 0;
    if (!Number(place, width, &distance) || distance > place) return false;
    *target = place - static_cast<std::size_t>(distance);
    return true;
  }

  // Whether the zero-terminated string at `place` is `text`; false also where it runs out of the buffer.
  bool Is(std::size_t place, const char* text) const {
    const std::size_t size = std::strlen(text) + 1;
    return place <= length_ && size <= length_ - place && std::memcmp(buffer_ + place, text, size) == 0;
  }

 private:
  const std::uint8_t* buffer_;
  std::size_t length_;
};

constexpr std::size_t Width(std::uint64_t packed_type) { return std::size_t{1} << (packed_type & 3); }

std::int64_t SignExtend(std::uint64_t value, std::size_t width) {
  const int unused = 64 - 8 * static_cast<int>(width);
  return static_cast<std::int64_t>(value << unused) >> unused;
}

}  // namespace

OptionStatus FindOption(const std::uint8_t* buffer, std::size_t length, const char* name, std::int64_t* value) {
  constexpr OptionStatus damaged = OptionStatus::kDamaged;
  if (buffer == nullptr || length < 3) return damaged;
  const Reader reader(buffer, length);

  // At the end: the root's value, its type, and the value's width.
  const std::size_t root_width = buffer[length - 1];
  const std::uint64_t root_type = buffer[length - 2];
  if ((root_width != 1 && root_width != 2 && root_width != 4 && root_width != 8) || root_width + 2 > length) return damaged;
  if (root_type >> 2 != kMap) return damaged;
  std::size_t map = 0;
  if (!reader.Follow(length - 2 - root_width, root_width, &map)) return damaged;

  // In front of a map's values: a reference to its keys, their width, and how many there are. Behind them: a byte of type for each.
  const std::size_t width = Width(root_type);
  std::uint64_t keys_width = 0;
  std::uint64_t count = 0;
  std::size_t keys = 0;
  if (map < 3 * width || !reader.Number(map - 2 * width, width, &keys_width) || !reader.Number(map - width, width, &count) ||
      !reader.Follow(map - 3 * width, width, &keys)) {
    return damaged;
  }
  if (keys_width != 1 && keys_width != 2 && keys_width != 4 && keys_width != 8) return damaged;
  if (count > length / (width + 1) || count > length / keys_width) return damaged;

  for (std::size_t i = 0; i < count; ++i) {
    std::size_t key = 0;
    if (!reader.Follow(keys + i * keys_width, keys_width, &key)) return damaged;
    if (!reader.Is(key, name)) continue;
    std::uint64_t type = 0;
    std::uint64_t number = 0;
    if (!reader.Number(map + count * width + i, 1, &type) || !reader.Number(map + i * width, width, &number)) return damaged;
    if (type >> 2 == kInt) {
      *value = SignExtend(number, width);
    } else if ((type >> 2 == kUint || type >> 2 == kBool) && number <= INT64_MAX) {
      *value = static_cast<std::int64_t>(number);
    } else {
      return damaged;
    }
    return OptionStatus::kFound;
  }
  return OptionStatus::kAbsent;
}

}  // namespace fdabnn
