// Reads golden capsules, whose layout docs/capsule.md describes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runner/element_type.h"
#include "runner/file.h"

namespace fdabnn::runner {

// An input or output of the model: its values for all images, one image behind the other.
struct Tensor {
  std::string name;
  ElementType type;
  std::vector<std::int64_t> shape;  // of one image
  std::size_t bytes;                // likewise
  Bytes values;
};

// A packed tensor inside the model.
struct PackedSigns {
  std::string name;
  std::size_t bytes;  // of one image
  std::vector<std::uint64_t> hashes;
};

struct Capsule {
  std::string target;  // "tflite" or "onnx"
  bool exact = false;
  bool same_accuracy = false;  // the model keeps the accuracy of the trained network, not its decisions
  std::size_t count = 0;       // images, at least one
  Bytes model;
  std::vector<Tensor> inputs;   // at least one
  std::vector<Tensor> outputs;  // at least one
  std::vector<PackedSigns> packed;
};

// The capsule in a file's bytes. Throws Damaged.
Capsule ParseCapsule(const Bytes& content);

// Throws Failure: wrong usage where the file cannot be read, refused where it is damaged.
Capsule ReadCapsule(const std::string& path);

// FNV-1a of 64 bits, the hash of packed tensors.
std::uint64_t Fnv1a64(const void* data, std::size_t size);

}  // namespace fdabnn::runner
