// The options of custom operators: a FlexBuffer whose root is a map from names to whole numbers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fdabnn {

enum class OptionStatus {
  kFound,
  kAbsent,
  kDamaged,  // no FlexBuffer, or the option is no whole number
};

// Looks one option up. Reads nothing outside the buffer, whatever is in it.
// Source: https://flatbuffers.dev/internals, "FlexBuffers".
OptionStatus FindOption(const std::uint8_t* buffer, std::size_t length, const char* name, std::int64_t* value);

}  // namespace fdabnn
