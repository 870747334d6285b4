// The part of ONNX Runtime that operators see, for builds with sanitizers: every tensor has a block of memory of exactly its size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "onnxruntime/ort_abi.h"

struct OrtStatus {
  std::string message;
};

struct OrtValue {
  std::vector<std::int64_t> shape;
  OrtElementType type = kOrtFloat;  // or another of 32 bits, which no operator tells from it
  std::unique_ptr<std::uint32_t[]> data;
  std::unique_ptr<std::uint8_t[]> bytes;  // instead of `data`, of types of 8 bits

  // Of 32-bit elements, all zero.
  explicit OrtValue(std::vector<std::int64_t> of) : shape(std::move(of)), data(new std::uint32_t[Count(shape)]()) {}

  // Makes it one of 8-bit elements, the lowest bits of those that it has.
  void Narrow(OrtElementType to) {
    const std::size_t count = Count(shape);
    bytes.reset(new std::uint8_t[count]);
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(data[i]);
    data.reset();
    type = to;
  }

  static std::size_t Count(const std::vector<std::int64_t>& shape) {
    std::size_t count = 1;
    for (std::int64_t size : shape) count *= static_cast<std::size_t>(size);
    return count;
  }
};

struct OrtKernelInfo {
  std::map<std::string, std::int64_t> ints;
  std::map<std::string, std::vector<std::int64_t>> lists;
  std::map<std::size_t, const OrtValue*> constants;
};

struct OrtKernelContext {
  std::map<std::size_t, const OrtValue*> inputs;
  std::map<std::size_t, std::unique_ptr<OrtValue>> outputs;  // null until they are asked for; no entry where nobody wants them
};

namespace fdabnn {

// The operator of this name, as the library registers it.
const OrtCustomOp* FindCustomOp(const std::string& name);

const OrtApi* CustomOpsApi();

}  // namespace fdabnn
