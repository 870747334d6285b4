#include "runner/element_type.h"

#include <cmath>
#include <cstring>

#include "runner/json.h"

namespace fdabnn::runner {
namespace {

struct Element {
  const char* name;
  std::size_t size;
  bool floats;
  bool negatives;
};

constexpr Element kElements[kElementTypes] = {
    {"float32", 4, true, true}, {"float64", 8, true, true},  {"float16", 2, true, true}, {"int8", 1, false, true},
    {"uint8", 1, false, false}, {"bool", 1, false, false},   {"int16", 2, false, true},  {"uint16", 2, false, false},
    {"int32", 4, false, true},  {"uint32", 4, false, false}, {"int64", 8, false, true},  {"uint64", 8, false, false},
};

const Element& Of(ElementType type) { return kElements[static_cast<std::uint32_t>(type)]; }

// IEEE binary16: a sign, 5 bits of exponent, 10 of mantissa.
double FromHalf(std::uint64_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
  if (exponent == 31) return mantissa != 0 ? std::nan("") : sign * INFINITY;
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

std::int64_t Signed(std::uint64_t bits, ElementType type) {
  const int unused = 64 - 8 * static_cast<int>(SizeOf(type));
  std::int64_t value;
  bits <<= unused;
  std::memcpy(&value, &bits, sizeof value);
  return value >> unused;
}

}  // namespace

std::size_t SizeOf(ElementType type) { return Of(type).size; }

const char* NameOf(ElementType type) { return Of(type).name; }

std::uint64_t BitsAt(const void* data, ElementType type) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, data, SizeOf(type));  // little-endian
  return bits;
}

bool SameBits(std::uint64_t a, std::uint64_t b, ElementType type) {
  const std::uint64_t sign = std::uint64_t{1} << (8 * SizeOf(type) - 1);
  if (a == b || !Of(type).floats) return a == b;
  return ((a | b) & ~sign) == 0 || (std::isnan(NumberOf(a, type)) && std::isnan(NumberOf(b, type)));
}

double NumberOf(std::uint64_t bits, ElementType type) {
  switch (type) {
    case ElementType::kFloat32: {
      float value;
      const auto word = static_cast<std::uint32_t>(bits);
      std::memcpy(&value, &word, sizeof value);
      return value;
    }
    case ElementType::kFloat64: {
      double value;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    case ElementType::kFloat16:
      return FromHalf(bits);
    default:
      return Of(type).negatives ? static_cast<double>(Signed(bits, type)) : static_cast<double>(bits);
  }
}

std::string TextOf(std::uint64_t bits, ElementType type) {
  if (!Of(type).floats) return Of(type).negatives ? std::to_string(Signed(bits, type)) : std::to_string(bits);
  const double value = NumberOf(bits, type);
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return type == ElementType::kFloat64 ? Digits(value) : Digits(static_cast<float>(value));
}

}  // namespace fdabnn::runner
