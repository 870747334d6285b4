// Signs of values to packed words and back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.h"
#include "kernels/thread_pool.h"
#include "kernels/words.h"

namespace fdabnn {

// values [rows, channels] -> words [rows, WordsFor(channels)]; the bit is `value < 0`: NaN, +0 and -0 count as +1.
void QuantizeFloat(const float* values, std::size_t rows, int channels, Word* words, Level level, ThreadPool& pool);

// The bit is `value < zero_point`; a zero point beyond int8 is as good as any other.
void QuantizeInt8(const std::int8_t* values, std::size_t rows, int channels, int zero_point, Word* words, Level level, ThreadPool& pool);

// The bit is `value == 0` (false is -1).
void QuantizeBool(const std::uint8_t* values, std::size_t rows, int channels, Word* words, Level level, ThreadPool& pool);

// words [rows, WordsFor(channels)] -> values [rows, channels]: `plus` for a bit of 0, `minus` for a bit of 1.
void DequantizeFloat(const Word* words, std::size_t rows, int channels, float* values, Level level, ThreadPool& pool);
void DequantizeBytes(const Word* words, std::size_t rows, int channels, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values,
                     Level level, ThreadPool& pool);

}  // namespace fdabnn
