// QuantizeRows of a level from what it does with one word: static functions
//
//   Word PackFloat(const float* values)                            32 values to the bits of value < 0
//   Word PackInt8(const std::int8_t* values, std::int8_t last)
//   Word PackBool(const std::uint8_t* values)
//   void UnpackFloat(Word word, float* values)
//   void UnpackBytes(Word word, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values)
//
// and, with `count` of 1 to 31 behind the pointers, ...Few for the tail of a row.
#pragma once

#include "kernels/quantize_rows.h"

namespace fdabnn {
namespace {  // every file has its own copy, made of its own instructions

template <class Isa>
struct Loops {
  static void PackFloat(const float* values, std::size_t rows, std::size_t channels, Word* words) {
    const std::size_t tail = channels % kWordBits;
    for (std::size_t row = 0; row < rows; ++row) {
      for (const float* end = values + (channels - tail); values != end; values += kWordBits) *words++ = Isa::PackFloat(values);
      if (tail != 0) *words++ = Isa::PackFloatFew(values, tail);
      values += tail;
    }
  }

  static void PackInt8(const std::int8_t* values, std::size_t rows, std::size_t channels, std::int8_t last, Word* words) {
    const std::size_t tail = channels % kWordBits;
    for (std::size_t row = 0; row < rows; ++row) {
      for (const std::int8_t* end = values + (channels - tail); values != end; values += kWordBits) {
        *words++ = Isa::PackInt8(values, last);
      }
      if (tail != 0) *words++ = Isa::PackInt8Few(values, tail, last);
      values += tail;
    }
  }

  static void PackBool(const std::uint8_t* values, std::size_t rows, std::size_t channels, Word* words) {
    const std::size_t tail = channels % kWordBits;
    for (std::size_t row = 0; row < rows; ++row) {
      for (const std::uint8_t* end = values + (channels - tail); values != end; values += kWordBits) *words++ = Isa::PackBool(values);
      if (tail != 0) *words++ = Isa::PackBoolFew(values, tail);
      values += tail;
    }
  }

  static void UnpackFloat(const Word* words, std::size_t rows, std::size_t channels, float* values) {
    const std::size_t tail = channels % kWordBits;
    for (std::size_t row = 0; row < rows; ++row) {
      for (float* end = values + (channels - tail); values != end; values += kWordBits) Isa::UnpackFloat(*words++, values);
      if (tail != 0) Isa::UnpackFloatFew(*words++, values, tail);
      values += tail;
    }
  }

  static void UnpackBytes(const Word* words, std::size_t rows, std::size_t channels, std::uint8_t plus, std::uint8_t minus,
                          std::uint8_t* values) {
    const std::size_t tail = channels % kWordBits;
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::uint8_t* end = values + (channels - tail); values != end; values += kWordBits) {
        Isa::UnpackBytes(*words++, plus, minus, values);
      }
      if (tail != 0) Isa::UnpackBytesFew(*words++, plus, minus, values, tail);
      values += tail;
    }
  }
};

// The tails of levels without masked loads and stores, by way of a whole word of values.
template <class Isa>
struct CopiedTails {
  static Word PackFloatFew(const float* values, std::size_t count) {
    float copy[kWordBits] = {};
    for (std::size_t i = 0; i < count; ++i) copy[i] = values[i];
    return Isa::PackFloat(copy);
  }

  static Word PackInt8Few(const std::int8_t* values, std::size_t count, std::int8_t last) {
    std::int8_t copy[kWordBits] = {};
    for (std::size_t i = 0; i < count; ++i) copy[i] = values[i];
    return Isa::PackInt8(copy, last) & ((Word{1} << count) - 1);
  }

  static Word PackBoolFew(const std::uint8_t* values, std::size_t count) {
    std::uint8_t copy[kWordBits] = {};
    for (std::size_t i = 0; i < count; ++i) copy[i] = values[i];
    return Isa::PackBool(copy) & ((Word{1} << count) - 1);
  }

  static void UnpackFloatFew(Word word, float* values, std::size_t count) {
    float copy[kWordBits];
    Isa::UnpackFloat(word, copy);
    for (std::size_t i = 0; i < count; ++i) values[i] = copy[i];
  }

  static void UnpackBytesFew(Word word, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values, std::size_t count) {
    std::uint8_t copy[kWordBits];
    Isa::UnpackBytes(word, plus, minus, copy);
    for (std::size_t i = 0; i < count; ++i) values[i] = copy[i];
  }
};

template <class Isa>
constexpr QuantizeRows MakeQuantizeRows() {
  return {Loops<Isa>::PackFloat, Loops<Isa>::PackInt8, Loops<Isa>::PackBool, Loops<Isa>::UnpackFloat, Loops<Isa>::UnpackBytes};
}

// With u the bits of a float: value < 0 exactly where, as signed numbers, u - 1 < kNegative. Subtracting 1 takes -0 out of the
// negative numbers, and what is not below kNegative are NaNs and positive values. Unlike a comparison of floats this does not depend
// on whether the runtime has told the processor to take denormals for zeros.
constexpr std::int32_t kNegative = INT32_MIN + 0x7f800000;

}  // namespace
}  // namespace fdabnn
