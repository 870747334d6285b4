// The types of values that models read and write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fdabnn::runner {

// With the numbers that capsules give them.
enum class ElementType : std::uint32_t {
  kFloat32 = 0,
  kFloat64,
  kFloat16,
  kInt8,
  kUint8,
  kBool,
  kInt16,
  kUint16,
  kInt32,
  kUint32,
  kInt64,
  kUint64
};
constexpr std::uint32_t kElementTypes = 12;

// Bytes of a value, and the name as messages call it.
std::size_t SizeOf(ElementType type);
const char* NameOf(ElementType type);

// The bits of the value that begins at `data`.
std::uint64_t BitsAt(const void* data, ElementType type);

// Two values are equal when their bits are, but for the sign of a zero, on which runtimes do not agree; any NaN equals any NaN.
bool SameBits(std::uint64_t a, std::uint64_t b, ElementType type);

// A float, or an integer that is not too large for one, as a number.
double NumberOf(std::uint64_t bits, ElementType type);

// The value as a person reads it, with no digit too few or too many.
std::string TextOf(std::uint64_t bits, ElementType type);

}  // namespace fdabnn::runner
