// Maximum of packed signs over windows: the AND of the words inside the image.
#pragma once

#include <string>

#include "kernels/level.h"
#include "kernels/thread_pool.h"
#include "kernels/words.h"

namespace fdabnn {

struct BmaxpoolParams {
  int kernel_h = 0;
  int kernel_w = 0;
  int stride_h = 1;
  int stride_w = 1;
  bool same_padding = false;  // TensorFlow's SAME, else VALID; what lies outside does not count
};

struct BmaxpoolSize {
  int in_height = 0;
  int in_width = 0;
  int words = 0;
  int out_height = 0;
  int out_width = 0;
};

// Fills in the output's size. Returns false and the reason where parameters are out of range or no output is left.
bool ResizeBmaxpool(const BmaxpoolParams& params, BmaxpoolSize* size, std::string* error);

// input [batch, in_height, in_width, words] -> output [batch, out_height, out_width, words].
void RunBmaxpool(const BmaxpoolParams& params, const BmaxpoolSize& size, const Word* input, int batch, Word* output, Level level,
                 ThreadPool& pool);

}  // namespace fdabnn
