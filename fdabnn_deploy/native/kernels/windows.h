// Windows over images: what convolutions and pools have in common.
#pragma once

#include <cstdint>
#include <string>

namespace fdabnn {

struct Windows {
  int kernel_h = 1;
  int kernel_w = 1;
  int stride_h = 1;
  int stride_w = 1;
  int dilation_h = 1;
  int dilation_w = 1;
  bool same_padding = false;  // TensorFlow's SAME, else what follows, which is VALID where it is nothing
  int pad_top = 0;            // each smaller than the dilated kernel
  int pad_left = 0;
  int pad_bottom = 0;
  int pad_right = 0;
};

// An image, and the windows in it.
struct ImageSize {
  int in_h = 0;
  int in_w = 0;
  int out_h = 0;
  int out_w = 0;
  int pad_top = 0;
  int pad_left = 0;
};

// Null, or why the padding is refused. Kernels and dilations are positive.
const char* RefusePadding(const Windows& windows);

// Returns false and the reason where an image is empty, or smaller than a window.
bool PlaceWindows(const Windows& windows, int in_height, int in_width, ImageSize* size, std::string* error);

}  // namespace fdabnn
