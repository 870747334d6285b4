#include "runner/selftest.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>

#include "runner/inputs.h"
#include "runner/supervisor.h"

namespace fdabnn::runner {
namespace {

std::vector<std::int64_t> IndexOf(std::size_t place, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    const auto size = static_cast<std::size_t>(shape[axis]);
    index[axis] = static_cast<std::int64_t>(place % size);
    place /= size;
  }
  return index;
}

// What the packed tensors of one run hash to.
class PackedHashes {
 public:
  PackedHashes(const Capsule& capsule, std::size_t batch) : capsule_(capsule), batch_(batch), found_(capsule.packed.size()) {
    for (std::size_t i = 0; i < capsule.packed.size(); ++i) known_.emplace(capsule.packed[i].name, i);
  }

  void See(const std::string& name, const void* data, std::size_t bytes) {
    const auto entry = known_.find(name);
    if (entry == known_.end() || bytes != batch_ * capsule_.packed[entry->second].bytes) return;
    std::vector<std::uint64_t>& hashes = found_[entry->second];
    hashes.clear();
    for (std::size_t n = 0; n < batch_; ++n) {
      const std::size_t size = capsule_.packed[entry->second].bytes;
      hashes.push_back(Fnv1a64(static_cast<const std::uint8_t*>(data) + n * size, size));
    }
  }

  std::size_t seen() const {
    return static_cast<std::size_t>(std::count_if(found_.begin(), found_.end(), [](const auto& hashes) { return !hashes.empty(); }));
  }

  // Of image `n` of the run, which is `input` of the capsule.
  std::optional<Difference> Compare(std::size_t n, std::size_t input) const {
    for (std::size_t i = 0; i < found_.size(); ++i) {
      const PackedSigns& packed = capsule_.packed[i];
      if (found_[i].empty() || found_[i][n] == packed.hashes[input]) continue;
      return Difference{packed.name, true, input, {}, ElementType::kFloat32, packed.hashes[input], found_[i][n]};
    }
    return std::nullopt;
  }

 private:
  const Capsule& capsule_;
  const std::size_t batch_;
  std::map<std::string, std::size_t> known_;
  std::vector<std::vector<std::uint64_t>> found_;
};

std::optional<Difference> CompareOutputs(const Capsule& capsule, Session* session, std::size_t n, std::size_t input) {
  for (std::size_t i = 0; i < capsule.outputs.size(); ++i) {
    const Tensor& output = capsule.outputs[i];
    const std::uint8_t* expected = output.values.data() + input * output.bytes;
    const std::uint8_t* found = static_cast<const std::uint8_t*>(session->Output(i)) + n * output.bytes;
    if (std::memcmp(expected, found, output.bytes) == 0) continue;
    const std::size_t size = SizeOf(output.type);
    for (std::size_t place = 0; place < output.bytes; place += size) {
      const std::uint64_t wanted = BitsAt(expected + place, output.type), bits = BitsAt(found + place, output.type);
      if (SameBits(wanted, bits, output.type)) continue;
      return Difference{output.name, false, input, IndexOf(place / size, output.shape), output.type, wanted, bits};
    }
  }
  return std::nullopt;
}

std::string Value(std::uint64_t bits, ElementType type) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%0*llx", static_cast<int>(2 * SizeOf(type)), static_cast<unsigned long long>(bits));
  return TextOf(bits, type) + " (" + text + ")";
}

}  // namespace

std::string Sentence(const Difference& difference) {
  const std::string where = "input " + std::to_string(difference.input) + ", tensor " + difference.tensor;
  if (difference.packed) {
    char text[80];
    std::snprintf(text, sizeof text, "expected hash 0x%016llx, found 0x%016llx", static_cast<unsigned long long>(difference.expected),
                  static_cast<unsigned long long>(difference.found));
    return where + " (packed signs): " + text;
  }
  std::string index;
  for (const std::int64_t place : difference.index) index += (index.empty() ? "" : ", ") + std::to_string(place);
  return where + ", index [" + index + "]: expected " + Value(difference.expected, difference.type) + ", found " +
         Value(difference.found, difference.type);
}

Replay ReplayCapsule(const Capsule& capsule, const std::string& name, Session* session) {
  CheckFits(*session, capsule, name);
  const std::size_t batch = Batch(*session);
  PackedHashes hashes(capsule, batch);
  session->Observe([&](const std::string& tensor, const void* data, std::size_t bytes) { hashes.See(tensor, data, bytes); });
  Replay replay;
  std::vector<Bytes> outputs(capsule.outputs.size());
  const InRuntime stage("running the model");
  for (std::size_t first = 0; first < capsule.count; first += batch) {
    FillFrom(capsule, first, session);
    session->Run();
    replay.packed_checked = hashes.seen();
    const std::size_t count = std::min(batch, capsule.count - first);
    for (std::size_t n = 0; n < count && !replay.difference; ++n) {
      replay.difference = hashes.Compare(n, first + n);
      if (!replay.difference) replay.difference = CompareOutputs(capsule, session, n, first + n);
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto* values = static_cast<const std::uint8_t*>(session->Output(i));
      outputs[i].insert(outputs[i].end(), values, values + count * capsule.outputs[i].bytes);
    }
  }
  session->Observe(nullptr);
  for (const Bytes& output : outputs) replay.outputs.insert(replay.outputs.end(), output.begin(), output.end());
  return replay;
}

}  // namespace fdabnn::runner
