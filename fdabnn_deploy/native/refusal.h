// What the shims over a runtime throw.
#pragma once

#include <stdexcept>

namespace fdabnn {

// Why an operator does not run. Each shim reports it to its runtime with the operator's name.
struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace fdabnn
