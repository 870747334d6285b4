// An ONNX file is one protobuf message `ModelProto` (onnx/onnx.proto): field 1 is the version of the format, field 7 the graph, field 8 an
// operator set, whose field 1 is its domain, field 14 an entry of the metadata (1 key, 2 value), and field 25 a function.
#include "runner/onnx_file.h"

#include <algorithm>
#include <map>

#include "runner/protobuf.h"
#include "runner/sha256.h"

namespace fdabnn::runner {
namespace {

constexpr std::uint64_t kModelGraph = 7, kModelOpsets = 8, kModelMetadata = 14, kOpsetDomain = 1, kEntryKey = 1, kEntryValue = 2;
constexpr std::uint64_t kComputes[] = {1, 7, 8, 25};  // what the checksum covers of the model itself
constexpr char kDigestKey[] = "fdabnn_sha256";

Message Whole(const Bytes& content) { return {content.data(), content.size()}; }

// The text of a field of a message.
std::string TextOf(const Message& message, std::uint64_t number) {
  std::string text;
  EachField(message, [&](const ProtoField& field) {
    if (field.number == number && !field.integer) text += field.bytes.text();
  });
  return text;
}

std::map<std::string, std::string> Metadata(const Bytes& content) {
  std::map<std::string, std::string> entries;
  EachField(Whole(content), [&](const ProtoField& field) {
    if (field.number == kModelMetadata && !field.integer) entries[TextOf(field.bytes, kEntryKey)] = TextOf(field.bytes, kEntryValue);
  });
  return entries;
}

void Add(Sha256* hasher, const std::string& text) { hasher->Add(text.data(), text.size()); }

// `keys` is a list with commas, of the metadata that are covered.
std::string DigestOf(const Bytes& content, const std::map<std::string, std::string>& metadata, const std::string& keys) {
  Sha256 hasher;
  for (const std::uint64_t number : kComputes) {
    EachField(Whole(content), [&](const ProtoField& field) {
      if (field.number != number) return;
      const std::string head = std::to_string(number) + " ";
      Add(&hasher, head + std::to_string(field.integer ? field.value : field.bytes.size) + "\n");
      if (!field.integer) hasher.Add(field.bytes.data, field.bytes.size);
    });
  }
  for (std::size_t begin = 0; begin < keys.size();) {
    const std::size_t end = std::min(keys.find(',', begin), keys.size());
    const auto entry = metadata.find(keys.substr(begin, end - begin));
    if (entry != metadata.end()) Add(&hasher, entry->first + " " + std::to_string(entry->second.size()) + "\n" + entry->second);
    begin = end + 1;
  }
  return hasher.Hex();
}

}  // namespace

std::set<std::string> OnnxDomains(const Bytes& content) {
  std::set<std::string> domains;
  bool graph = false;
  EachField(Whole(content), [&](const ProtoField& field) {
    graph = graph || field.number == kModelGraph;
    if (field.number == kModelOpsets && !field.integer) domains.insert(TextOf(field.bytes, kOpsetDomain));
  });
  if (!graph) throw Damaged("it holds no graph");
  return domains;
}

bool OnnxHasChanged(const Bytes& content) {
  const std::map<std::string, std::string> metadata = Metadata(content);
  const auto entry = metadata.find(kDigestKey);
  if (entry == metadata.end()) return false;
  const std::size_t blank = entry->second.find(' ');
  const std::string keys = blank == std::string::npos ? "" : entry->second.substr(blank + 1);
  return entry->second.substr(0, blank) != DigestOf(content, metadata, keys);
}

}  // namespace fdabnn::runner
