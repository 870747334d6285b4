#include "kernels/quantize.h"

#include <algorithm>

#include "kernels/quantize_rows.h"

namespace fdabnn {
namespace {

// Below this many bytes of values a second thread costs more than it takes over.
constexpr std::size_t kBytesPerThread = 1 << 15;

const QuantizeRows& RowsOf(Level level) {
  switch (level) {
#if defined(__x86_64__)
    case Level::kPopcnt:
      return kQuantizePopcnt;
    case Level::kAvx2:
      return kQuantizeAvx2;
    case Level::kAvx512:
      return kQuantizeAvx512;
#elif defined(__aarch64__)
    case Level::kNeon:
    case Level::kNeonLookup:
      return kQuantizeNeon;
#endif
    default:
      return kQuantizeScalar;
  }
}

// Splits rows between threads and calls work(first_value, first_word, rows, channels). Rows without a tail are one array of words.
template <class Work>
void Split(std::size_t rows, int channels, std::size_t value_bytes, ThreadPool& pool, const Work& work) {
  struct Job {
    const Work& work;
    std::size_t rows, channels;
    bool flat;
    int threads;
  };
  Job job = {work, rows, static_cast<std::size_t>(channels), channels % kWordBits == 0, 1};
  if (job.flat) {
    job.rows = rows * (job.channels / kWordBits);
    job.channels = kWordBits;
  }
  const std::size_t most = std::max<std::size_t>(job.rows * job.channels * value_bytes / kBytesPerThread, 1);
  job.threads = static_cast<int>(std::min({most, std::max<std::size_t>(job.rows, 1), static_cast<std::size_t>(pool.threads())}));
  pool.Run(
      job.threads,
      [](void* context, int index) {
        const Job& j = *static_cast<const Job*>(context);
        const std::size_t threads = static_cast<std::size_t>(j.threads);
        const std::size_t part = static_cast<std::size_t>(index);
        const std::size_t begin = j.rows * part / threads;
        const std::size_t share = j.rows * (part + 1) / threads - begin;
        const std::size_t words = (j.channels + kWordBits - 1) / kWordBits;
        if (j.flat) {
          j.work(begin * j.channels, begin * words, std::size_t{1}, share * j.channels);
        } else {
          j.work(begin * j.channels, begin * words, share, j.channels);
        }
      },
      &job);
}

}  // namespace

void QuantizeFloat(const float* values, std::size_t rows, int channels, Word* words, Level level, ThreadPool& pool) {
  const QuantizeRows& kernels = RowsOf(level);
  Split(rows, channels, sizeof(float), pool, [&](std::size_t value, std::size_t word, std::size_t part, std::size_t length) {
    kernels.pack_float(values + value, part, length, words + word);
  });
}

void QuantizeInt8(const std::int8_t* values, std::size_t rows, int channels, int zero_point, Word* words, Level level, ThreadPool& pool) {
  if (zero_point <= -128) {  // no value is below
    std::fill_n(words, rows * static_cast<std::size_t>(WordsFor(channels)), Word{0});
    return;
  }
  const QuantizeRows& kernels = RowsOf(level);
  const std::int8_t last = static_cast<std::int8_t>(std::min(zero_point, 128) - 1);
  Split(rows, channels, 1, pool, [&](std::size_t value, std::size_t word, std::size_t part, std::size_t length) {
    kernels.pack_int8(values + value, part, length, last, words + word);
  });
}

void QuantizeBool(const std::uint8_t* values, std::size_t rows, int channels, Word* words, Level level, ThreadPool& pool) {
  const QuantizeRows& kernels = RowsOf(level);
  Split(rows, channels, 1, pool, [&](std::size_t value, std::size_t word, std::size_t part, std::size_t length) {
    kernels.pack_bool(values + value, part, length, words + word);
  });
}

void DequantizeFloat(const Word* words, std::size_t rows, int channels, float* values, Level level, ThreadPool& pool) {
  const QuantizeRows& kernels = RowsOf(level);
  Split(rows, channels, sizeof(float), pool, [&](std::size_t value, std::size_t word, std::size_t part, std::size_t length) {
    kernels.unpack_float(words + word, part, length, values + value);
  });
}

void DequantizeBytes(const Word* words, std::size_t rows, int channels, std::uint8_t plus, std::uint8_t minus, std::uint8_t* values,
                     Level level, ThreadPool& pool) {
  const QuantizeRows& kernels = RowsOf(level);
  Split(rows, channels, 1, pool, [&](std::size_t value, std::size_t word, std::size_t part, std::size_t length) {
    kernels.unpack_bytes(words + word, part, length, plus, minus, values + value);
  });
}

}  // namespace fdabnn
