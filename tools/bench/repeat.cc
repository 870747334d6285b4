// Calls the kernels over and over, because a call from Python costs a microsecond and a layer takes some. Each function gives back the
// seconds that all calls took, or -1 where one was refused.
#include <cstring>

#include "c_api/fdabnn.h"
#include "timing.h"

// function: fdabnn_bconv_run of the loaded library, which this one is not linked to.
EXPORT double repeat_bconv(decltype(&fdabnn_bconv_run) function, const fdabnn_bconv* conv, const std::uint32_t* input, void* output,
                           fdabnn_pool* pool, void* workspace, std::int64_t calls) {
  char error[FDABNN_ERROR_BYTES];
  const double begin = Seconds();
  for (std::int64_t i = 0; i < calls; ++i) {
    if (function(conv, input, 1, output, pool, workspace, error) != 0) return -1;
  }
  return Seconds() - begin;
}

// function: fdabnn_quantize_float.
EXPORT double repeat_quantize(decltype(&fdabnn_quantize_float) function, const float* values, std::size_t rows, int channels,
                              std::uint32_t* words, int level, fdabnn_pool* pool, std::int64_t calls) {
  char error[FDABNN_ERROR_BYTES];
  const double begin = Seconds();
  for (std::int64_t i = 0; i < calls; ++i) {
    if (function(values, rows, channels, words, level, pool, error) != 0) return -1;
  }
  return Seconds() - begin;
}

EXPORT double repeat_copy(void* to, const void* from, std::size_t bytes, std::int64_t calls) {
  const double begin = Seconds();
  for (std::int64_t i = 0; i < calls; ++i) {
    std::memcpy(to, from, bytes);
    asm volatile("" : : "r"(to) : "memory");
  }
  return Seconds() - begin;
}
