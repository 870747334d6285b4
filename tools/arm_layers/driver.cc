// Runs one binary convolution twice, between calls of fdabnn_level_name, which whoever follows the instructions finds:
//
//   driver CHANNELS_IN CHANNELS_OUT KERNEL SIZE PACKED LEVEL
//
// Its input is SIZE x SIZE pixels, its padding SAME, its output float or packed. Prints where the library lies in memory.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "c_api/fdabnn.h"

namespace {

std::vector<std::uint32_t> DrawWords(std::size_t size) {
  static std::mt19937 engine(1);
  std::vector<std::uint32_t> words(size);
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(engine());
  return words;
}

int Run(int channels_in, int channels_out, int kernel, int size, bool packed, int level) {
  char error[FDABNN_ERROR_BYTES] = "";
  fdabnn_bconv_params p = {};
  p.channels_in = channels_in;
  p.channels_out = channels_out;
  p.groups = p.stride_h = p.stride_w = p.dilation_h = p.dilation_w = 1;
  p.kernel_h = p.kernel_w = kernel;
  p.same_padding = 1;
  p.pad_value = p.output = packed ? 1 : 0;
  p.output_scale = 1;
  const std::size_t words = static_cast<std::size_t>(channels_in + 31) / 32, outputs = static_cast<std::size_t>(channels_out);
  const std::size_t pixels = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  const std::vector<std::uint32_t> filter = DrawWords(outputs * static_cast<std::size_t>(kernel * kernel) * words);
  const std::vector<std::uint32_t> input = DrawWords(pixels * words);
  const std::vector<float> ones(outputs, 1.0f);
  const std::vector<std::int32_t> thresholds(outputs, channels_in * kernel * kernel / 2);
  std::vector<float> output(pixels * outputs);
  fdabnn_pool* pool = fdabnn_pool_create(1, error);
  fdabnn_bconv* conv = fdabnn_bconv_create(&p, filter.data(), ones.data(), ones.data(), thresholds.data(), level, error);
  int height, width;
  if (pool == nullptr || conv == nullptr || fdabnn_bconv_resize(conv, size, size, &height, &width, error) != 0) {
    std::fprintf(stderr, "%s\n", error);
    return 1;
  }
  void* workspace = std::aligned_alloc(64, (fdabnn_bconv_workspace_bytes(conv, 1) + 63) / 64 * 64);
  Dl_info library;
  if (dladdr(reinterpret_cast<const void*>(&fdabnn_level_name), &library) == 0) return 1;
  std::printf("%p\n", library.dli_fbase);
  for (int round = 0; round < 2; ++round) {
    if (fdabnn_bconv_run(conv, input.data(), 1, output.data(), pool, workspace, error) != 0) return 1;
    fdabnn_level_name(level);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  return Run(std::atoi(argv[1]), std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]) != 0, std::atoi(argv[6]));
}
