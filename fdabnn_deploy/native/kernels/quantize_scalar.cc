#include <cstring>

#include "kernels/quantize_rows.h"

namespace fdabnn {
namespace {

// value < 0 by its bits: 0x80000000 is -0, beyond 0xff800000 (-inf) are NaNs. A comparison of floats would call negative denormals
// zeros where the runtime has told the processor to.
inline Word IsNegative(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits > 0x80000000u && bits <= 0xff800000u;
}

template <class Value, class Test>
void Pack(const Value* values, std::size_t rows, std::size_t channels, Word* words, Test test) {
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t first = 0; first < channels; first += kWordBits) {
      const std::size_t bits = channels - first < kWordBits ? channels - first : kWordBits;
      Word word = 0;
      for (std::size_t bit = 0; bit < bits; ++bit) word |= test(values[bit]) << bit;
      values += bits;
      *words++ = word;
    }
  }
}

template <class Value>
void Unpack(const Word* words, std::size_t rows, std::size_t channels, Value plus, Value minus, Value* values) {
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t first = 0; first < channels; first += kWordBits) {
      const std::size_t bits = channels - first < kWordBits ? channels - first : kWordBits;
      const Word word = *words++;
      for (std::size_t bit = 0; bit < bits; ++bit) *values++ = word >> bit & 1 ? minus : plus;
    }
  }
}

void PackFloat(const float* values, std::size_t rows, std::size_t channels, Word* words) {
  Pack(values, rows, channels, words, IsNegative);
}

void PackInt8(const std::int8_t* values, std::size_t rows, std::size_t channels, std::int8_t last, Word* words) {
  Pack(values, rows, channels, words, [last](std::int8_t value) -> Word { return value <= last; });
}

void PackBool(const std::uint8_t* values, std::size_t rows, std::size_t channels, Word* words) {
  Pack(values, rows, channels, words, [](std::uint8_t value) -> Word { return value == 0; });
}

void UnpackFloat(const Word* words, std::size_t rows, std::size_t channels, float* values) {
  Unpack(words, rows, channels, 1.0f, -1.0f, values);
}

void UnpackBytes(const Word* words, std::size_t rows, std::size_t channels, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values) {
  Unpack(words, rows, channels, plus, minus, values);
}

}  // namespace

const QuantizeRows kQuantizeScalar = {PackFloat, PackInt8, PackBool, UnpackFloat, UnpackBytes};

}  // namespace fdabnn
