// What each level implements of quantize.h: rows of channels, one thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/words.h"

namespace fdabnn {

struct QuantizeRows {
  void (*pack_float)(const float* values, std::size_t rows, std::size_t channels, Word* words);
  // value <= last
  void (*pack_int8)(const std::int8_t* values, std::size_t rows, std::size_t channels, std::int8_t last, Word* words);
  // value == 0
  void (*pack_bool)(const std::uint8_t* values, std::size_t rows, std::size_t channels, Word* words);
  void (*unpack_float)(const Word* words, std::size_t rows, std::size_t channels, float* values);
  void (*unpack_bytes)(const Word* words, std::size_t rows, std::size_t channels, std::uint8_t plus, std::uint8_t minus,
                       std::uint8_t* values);
};

extern const QuantizeRows kQuantizeScalar;
extern const QuantizeRows kQuantizePopcnt;
extern const QuantizeRows kQuantizeAvx2;
extern const QuantizeRows kQuantizeAvx512;
extern const QuantizeRows kQuantizeNeon;

}  // namespace fdabnn
