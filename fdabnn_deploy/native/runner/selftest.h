// Replays a golden capsule.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runner/capsule.h"
#include "runner/session.h"

namespace fdabnn::runner {

// Where a replay first differs: of the first image that does, the first tensor in the order of computation.
struct Difference {
  std::string tensor;
  bool packed = false;                       // packed signs, of which only hashes are known
  std::size_t input = 0;                     // number of the image
  std::vector<std::int64_t> index;           // of the value, without the batch; of packed signs empty
  ElementType type = ElementType::kFloat32;  // of the value
  std::uint64_t expected = 0;                // its bits, or a hash
  std::uint64_t found = 0;
};

struct Replay {
  std::optional<Difference> difference;
  std::size_t packed_checked = 0;  // packed tensors whose hashes were compared
  Bytes outputs;                   // output after output, each of all images
};

// `session` should trace, so that packed tensors are seen. Throws Failure where the capsule does not fit or the runtime fails.
Replay ReplayCapsule(const Capsule& capsule, const std::string& name, Session* session);

// The difference in one sentence.
std::string Sentence(const Difference& difference);

}  // namespace fdabnn::runner
