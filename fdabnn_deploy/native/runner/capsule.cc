#include "runner/capsule.h"

#include <array>
#include <cstring>

#include "runner/failure.h"

namespace fdabnn::runner {
namespace {

constexpr char kMagic[] = "FDABNCAP";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kCheckedFrom = 16;
constexpr std::uint32_t kExact = 1, kSameAccuracy = 2;
constexpr std::size_t kMaxRank = 8;

enum Kind : std::uint32_t { kInput = 0, kOutput = 1, kPacked = 2 };
// Of an entry's kind: the bits of the kind itself, and where the number of the type begins.
constexpr std::uint32_t kKindBits = 0xff, kTypeShift = 8;

struct Header {
  char magic[8];
  std::uint32_t version, crc;
  std::uint64_t bytes;
  char target[16];
  std::uint64_t model, model_bytes, table;
  std::uint32_t entries, count, flags, zero;
};
static_assert(sizeof(Header) == 80, "layout");

struct Entry {
  std::uint64_t name, data, bytes;
  std::uint32_t kind, rank, shape[kMaxRank];
};
static_assert(sizeof(Entry) == 64, "layout");

std::uint32_t Crc32(const std::uint8_t* data, std::size_t size) {
  std::array<std::uint32_t, 256> table;
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (0xedb88320u & -(value & 1));
    table[i] = value;
  }
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < size; ++i) crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
  return ~crc;
}

// `count` parts of `size` bytes. They cannot be more than the file has, which also keeps the product small.
const std::uint8_t* Part(const Bytes& content, std::uint64_t place, std::uint64_t size, std::uint64_t count = 1) {
  if (place > content.size() || (size > 0 && count > (content.size() - place) / size)) throw Damaged("a part lies outside");
  return content.data() + place;
}

std::string Name(const Bytes& content, std::uint64_t place) {
  const std::uint8_t* begin = Part(content, place, 0);
  const void* end = std::memchr(begin, 0, content.size() - place);
  if (end == nullptr) throw Damaged("a name does not end");
  return std::string(begin, static_cast<const std::uint8_t*>(end));
}

}  // namespace

std::uint64_t Fnv1a64(const void* data, std::size_t size) {
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
  return hash;
}

Capsule ParseCapsule(const Bytes& content) {
  Header header;
  if (content.size() < sizeof header || std::memcmp(content.data(), kMagic, 8) != 0) throw Damaged("it does not begin as one");
  std::memcpy(&header, content.data(), sizeof header);
  if (header.version != kVersion) throw Damaged("version " + std::to_string(header.version) + ", known is " + std::to_string(kVersion));
  if (header.bytes != content.size()) throw Damaged(std::to_string(content.size()) + " bytes of " + std::to_string(header.bytes));
  if (Crc32(content.data() + kCheckedFrom, content.size() - kCheckedFrom) != header.crc) throw Damaged("its checksum does not fit");
  if (header.count == 0) throw Damaged("it holds no images");

  Capsule capsule;
  capsule.target = std::string(header.target, strnlen(header.target, sizeof header.target));
  capsule.exact = (header.flags & kExact) != 0;
  capsule.same_accuracy = (header.flags & kSameAccuracy) != 0;
  capsule.count = header.count;
  const std::uint8_t* model = Part(content, header.model, header.model_bytes);
  capsule.model.assign(model, model + header.model_bytes);
  // Parts lie side by side. Where they overlap, a small file could ask for any memory.
  std::uint64_t taken = 0;
  const auto take = [&](std::uint64_t bytes) {
    if (__builtin_add_overflow(taken, bytes, &taken) || taken > content.size()) throw Damaged("parts overlap");
  };
  const std::uint8_t* table = Part(content, header.table, sizeof(Entry), header.entries);
  for (std::uint32_t i = 0; i < header.entries; ++i) {
    Entry entry;
    std::memcpy(&entry, table + i * sizeof entry, sizeof entry);
    const std::string name = Name(content, entry.name);
    take(name.size());
    if (entry.rank > kMaxRank) throw Damaged("entry " + std::to_string(i) + " contradicts itself");
    const std::uint32_t type = entry.kind >> kTypeShift;
    if (type >= kElementTypes) throw Damaged("entry " + std::to_string(i) + " is of unknown type " + std::to_string(type));
    std::uint64_t bytes = SizeOf(static_cast<ElementType>(type));
    for (std::uint32_t axis = 0; axis < entry.rank; ++axis) {
      if (__builtin_mul_overflow(bytes, entry.shape[axis], &bytes)) throw Damaged("a part lies outside");
    }
    if (entry.bytes != bytes) throw Damaged("entry " + std::to_string(i) + " contradicts itself");
    if (entry.kind == kPacked) {
      const std::uint8_t* data = Part(content, entry.data, 8, header.count);
      take(std::uint64_t{8} * header.count);
      PackedSigns packed{name, static_cast<std::size_t>(entry.bytes), std::vector<std::uint64_t>(header.count)};
      std::memcpy(packed.hashes.data(), data, 8 * packed.hashes.size());
      capsule.packed.push_back(std::move(packed));
    } else if ((entry.kind & kKindBits) == kInput || (entry.kind & kKindBits) == kOutput) {
      const std::uint8_t* data = Part(content, entry.data, entry.bytes, header.count);
      if (entry.bytes == 0) throw Damaged("entry " + std::to_string(i) + " is empty");
      take(entry.bytes * header.count);
      Tensor tensor{name, static_cast<ElementType>(type), std::vector<std::int64_t>(entry.shape, entry.shape + entry.rank),
                    static_cast<std::size_t>(entry.bytes), Bytes(data, data + entry.bytes * header.count)};
      ((entry.kind & kKindBits) == kInput ? capsule.inputs : capsule.outputs).push_back(std::move(tensor));
    } else {
      throw Damaged("entry " + std::to_string(i) + " is of unknown kind " + std::to_string(entry.kind));
    }
  }
  if (capsule.inputs.empty() || capsule.outputs.empty()) throw Damaged("it lacks inputs or outputs");
  return capsule;
}

Capsule ReadCapsule(const std::string& path) {
  const Bytes content = ReadFile(path);
  try {
    return ParseCapsule(content);
  } catch (const Damaged& error) {
    throw Failure(Exit::kRefused, path + " is damaged or no capsule (" + error.what() + "): write it again");
  }
}

}  // namespace fdabnn::runner
