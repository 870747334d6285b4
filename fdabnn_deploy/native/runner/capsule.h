// Reads golden capsules, whose layout docs/capsule.md describes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runner/file.h"

namespace fdabnn::runner {

// An input or output of the model: its values for all pictures, one picture behind the other.
struct Floats {
  std::string name;
  std::vector<std::int64_t> shape;  // without the batch
  std::vector<float> values;

  std::size_t size() const;  // values of one picture
};

// A packed tensor inside the model.
struct PackedSigns {
  std::string name;
  std::size_t bytes;  // of one picture
  std::vector<std::uint64_t> hashes;
};

struct Capsule {
  std::string target;  // "tflite" or "onnx"
  bool exact = false;
  std::size_t count = 0;  // pictures, at least one
  Bytes model;
  std::vector<Floats> inputs;   // at least one
  std::vector<Floats> outputs;  // at least one
  std::vector<PackedSigns> packed;
};

// The capsule in a file's bytes. Throws Damaged.
Capsule ParseCapsule(const Bytes& content);

// Throws Failure: wrong usage where the file cannot be read, refused where it is damaged.
Capsule ReadCapsule(const std::string& path);

// FNV-1a of 64 bits, the hash of packed tensors.
std::uint64_t Fnv1a64(const void* data, std::size_t size);

}  // namespace fdabnn::runner
