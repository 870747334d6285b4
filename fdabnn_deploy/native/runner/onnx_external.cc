#include "runner/onnx_external.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

#include "runner/protobuf.h"

namespace fdabnn::runner {
namespace {

constexpr std::uint64_t kMostBytes = 0x7fffffff;  // of a message of protobuf
constexpr int kDeepest = 100;
// Fields of TensorProto.
constexpr std::uint64_t kDimension = 1, kType = 2, kName = 8, kRaw = 9, kExternal = 13, kLocation = 14;
// Bits of a value by TensorProto.DataType; 0 for what has no size.
constexpr unsigned kBits[] = {0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8};

enum class Kind { kModel, kTraining, kFunction, kGraph, kNode, kAttribute, kSparse, kTensor, kOther };

// What a field of a message is, where tensors may be in it.
Kind Inside(Kind kind, std::uint64_t number) {
  switch (kind) {
    case Kind::kModel:
      return number == 7 ? Kind::kGraph : number == 20 ? Kind::kTraining : number == 25 ? Kind::kFunction : Kind::kOther;
    case Kind::kTraining:
      return number == 1 || number == 2 ? Kind::kGraph : Kind::kOther;
    case Kind::kFunction:
      return number == 7 ? Kind::kNode : number == 11 ? Kind::kAttribute : Kind::kOther;
    case Kind::kGraph:
      return number == 1 ? Kind::kNode : number == 5 ? Kind::kTensor : number == 15 ? Kind::kSparse : Kind::kOther;
    case Kind::kNode:
      return number == 5 ? Kind::kAttribute : Kind::kOther;
    case Kind::kAttribute:
      if (number == 5 || number == 10) return Kind::kTensor;
      if (number == 22 || number == 23) return Kind::kSparse;
      return number == 6 || number == 11 ? Kind::kGraph : Kind::kOther;
    case Kind::kSparse:
      return number == 1 || number == 2 ? Kind::kTensor : Kind::kOther;
    default:
      return Kind::kOther;
  }
}

// A tensor whose data stand elsewhere.
struct External {
  std::string name, location;
  std::uint64_t offset = 0, length = 0;
  Bytes kept;  // its other fields
};

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path), folder_(Folder(path)) {}

  // The message with all data inside, or nothing where there is nothing to change.
  bool Rewrite(const Message& message, Kind kind, int depth, Bytes* to) {
    if (depth > kDeepest) throw Damaged("graphs inside graphs without end");
    bool changed = false;
    Bytes result;
    EachField(message, [&](const ProtoField& field) {
      const Kind inner = field.integer ? Kind::kOther : Inside(kind, field.number);
      Bytes inside;
      bool replaced = false;
      if (inner == Kind::kTensor) {
        replaced = IsExternal(field.bytes);
        if (replaced) inside = Tensor(field.bytes);
      } else if (inner != Kind::kOther) {
        replaced = Rewrite(field.bytes, inner, depth + 1, &inside);
      }
      if (replaced) {
        PutBytes(field.number, inside.data(), inside.size(), &result);
      } else {
        result.insert(result.end(), field.raw.data, field.raw.data + field.raw.size);
      }
      changed = changed || replaced;
    });
    if (changed) *to = std::move(result);
    return changed;
  }

 private:
  static bool IsExternal(const Message& tensor) {
    bool found = false;
    EachField(tensor, [&](const ProtoField& field) {
      if (field.number == kLocation && field.integer && field.value == 1) found = true;
    });
    return found;
  }

  [[noreturn]] void Refuse(const std::string& name, const std::string& reason) const {
    throw Failure(Exit::kRefused,
                  path_ + ": the data of tensor " + name + " are not taken: " + reason + "; data files belong beside the model");
  }

  std::uint64_t Number(const std::string& name, const std::string& text) const {
    char* end = nullptr;
    errno = 0;
    const unsigned long long value = std::strtoull(text.c_str(), &end, 10);
    if (text.empty() || text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) Refuse(name, "its offset or length is no number");
    return value;
  }

  External Describe(const Message& tensor) const {
    External found;
    std::map<std::string, std::string> entries;
    std::uint64_t values = 1, bits = 0;
    const auto dimension = [&](std::uint64_t size) {
      if (__builtin_mul_overflow(values, size, &values)) Refuse(found.name, "its shape is beyond all memory");
    };
    EachField(tensor, [&](const ProtoField& field) {
      if (field.number == kName && !field.integer) found.name = field.bytes.text();
      if (field.number == kType && field.integer) bits = field.value < sizeof kBits / sizeof *kBits ? kBits[field.value] : 0;
      if (field.number == kDimension && field.integer) dimension(field.value);
      if (field.number == kDimension && !field.integer) {
        for (std::size_t position = 0; position < field.bytes.size;) dimension(Varint(field.bytes, &position));
      }
      if (field.number == kExternal && !field.integer) {
        std::string key, value;
        EachField(field.bytes, [&](const ProtoField& part) {
          if (!part.integer) (part.number == 1 ? key : value) = part.bytes.text();
        });
        entries[key] = value;
      } else if (field.number != kRaw && field.number != kExternal && field.number != kLocation) {
        found.kept.insert(found.kept.end(), field.raw.data, field.raw.data + field.raw.size);
      }
    });
    std::uint64_t size = 0;
    if (__builtin_mul_overflow(values, bits, &size) || size > UINT64_MAX - 7) Refuse(found.name, "its shape is beyond all memory");
    size = (size + 7) / 8;
    found.location = entries["location"];
    found.offset = entries["offset"].empty() ? 0 : Number(found.name, entries["offset"]);
    found.length = entries["length"].empty() ? size : Number(found.name, entries["length"]);
    if (found.length != size) {
      Refuse(found.name, "it names " + std::to_string(found.length) + " bytes at " + std::to_string(found.offset) +
                             ", and its shape and type hold " + std::to_string(size));
    }
    return found;
  }

  // The path of the data. It may not leave the model's folder, not by a link either.
  std::string File(const External& tensor) const {
    const std::string& location = tensor.location;
    if (location.empty() || location.find('\0') != std::string::npos) Refuse(tensor.name, "it names no file");
    bool inside = location[0] != '/' && location[0] != '\\' && !(location.size() > 1 && location[1] == ':');
    for (std::size_t begin = 0; begin <= location.size();) {
      const std::size_t end = std::min(location.find_first_of("/\\", begin), location.size());
      inside = inside && location.compare(begin, end - begin, "..") != 0;
      begin = end + 1;
    }
    if (!inside) Refuse(tensor.name, "'" + location + "' is no file inside the model's folder");
    const std::string file = folder_ + "/" + location;
    const std::unique_ptr<char, decltype(&std::free)> folder(realpath(folder_.c_str(), nullptr), std::free);
    const std::unique_ptr<char, decltype(&std::free)> real(realpath(file.c_str(), nullptr), std::free);
    if (!folder || !real) {
      throw Failure(Exit::kUsage, path_ + " keeps its data in " + location + ", which is not beside it: copy it to " + folder_);
    }
    std::string begin = folder.get();
    if (begin.back() != '/') begin += '/';
    if (std::string(real.get()).compare(0, begin.size(), begin) != 0) {
      Refuse(tensor.name, "'" + location + "' leads out of the model's folder through a link");
    }
    return real.get();
  }

  Bytes Tensor(const Message& message) {
    const External tensor = Describe(message);
    if (__builtin_add_overflow(total_, tensor.length, &total_) || total_ > kMostBytes) {
      throw Failure(Exit::kRefused,
                    path_ + " holds more than 2 GiB with its data, which is more than one ONNX model can: use smaller constants");
    }
    const std::string file = File(tensor);
    const Bytes data = Read(tensor, file);
    Bytes result = tensor.kept;
    PutBytes(kRaw, data.data(), data.size(), &result);
    return result;
  }

  Bytes Read(const External& tensor, const std::string& file) const {
    const int handle = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status{};
    if (handle < 0 || fstat(handle, &status) != 0) {
      const int error = errno;
      if (handle >= 0) close(handle);
      throw Failure(Exit::kUsage, path_ + ": cannot read its data " + file + ": " + std::strerror(error) + "; copy it beside the model");
    }
    const auto available = static_cast<std::uint64_t>(status.st_size);
    std::uint64_t end = 0;
    const bool fits = S_ISREG(status.st_mode) && !__builtin_add_overflow(tensor.offset, tensor.length, &end) && end <= available;
    Bytes data(fits ? static_cast<std::size_t>(tensor.length) : 0);
    std::size_t size = 0;
    while (size < data.size()) {
      const ssize_t got = pread(handle, data.data() + size, data.size() - size, static_cast<off_t>(tensor.offset + size));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      size += static_cast<std::size_t>(got);
    }
    close(handle);
    if (!S_ISREG(status.st_mode)) Refuse(tensor.name, "'" + tensor.location + "' is no file");
    if (!fits || size < data.size()) {
      Refuse(tensor.name, "it ends behind the " + std::to_string(available) + " bytes of " + tensor.location + ": copy it again");
    }
    return data;
  }

  const std::string path_, folder_;
  std::uint64_t total_ = 0;
};

}  // namespace

Bytes WithOnnxData(Bytes content, const std::string& path) {
  Reader reader(path);
  Bytes result;
  try {
    if (reader.Rewrite({content.data(), content.size()}, Kind::kModel, 0, &result)) return result;
  } catch (const Damaged&) {
    // Whoever reads it next says so.
  }
  return content;
}

}  // namespace fdabnn::runner
