// Maximum of packed signs over windows: the AND of the words inside the image.
#pragma once

#include <memory>
#include <string>

#include "kernels/image_kernel.h"
#include "kernels/words.h"

namespace fdabnn {

struct BmaxpoolParams : Windows {  // without dilation; what lies outside does not count
  int words = 0;                   // of a pixel
};

// Of a call.
struct BmaxpoolTensors {
  const Word* input = nullptr;  // [batch, in_height, in_width, words]
  Word* output = nullptr;       // [batch, out_height, out_width, words]
};

class Bmaxpool : public ImageKernel<BmaxpoolTensors> {
 public:
  static std::unique_ptr<Bmaxpool> Create(const BmaxpoolParams& params, std::string* error);

 protected:
  using ImageKernel::ImageKernel;
};

}  // namespace fdabnn
