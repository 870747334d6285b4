// One operator of the domain `fdabnn` in a runtime of our own that has ONNX Runtime's C interface, described by bytes: a fuzzer's, or
// drawn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fdabnn {

struct CustomOpsResult {
  bool damaged = false;  // the bytes ask for something that no runtime or converter makes
  bool ran = false;
  std::string message;  // why it did not run
};

// Missing bytes are zeros, which damage nothing.
CustomOpsResult RunCustomOpsCase(const std::uint8_t* data, std::size_t size);

}  // namespace fdabnn
