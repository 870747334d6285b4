// The element-wise passes of training an FDA-BNN, each over a matrix of `rows` (positions) by `channels`, row after row. Values are float
// or bfloat16, sums are kept in float over short runs of rows and added in double.
#pragma once

#include <cstdint>

namespace fdabnn::training {

enum Type : int32_t { kFloat32 = 0, kBfloat16 = 1 };

// Longer rows are refused; a row stands on the stack.
constexpr int64_t kMostChannels = 16384;

// Terms of the polynomial in t^2 that stands for the derivative of the Fourier series on |t| <= 1.
constexpr int kTerms = 10;

// Sign with noise: y = (sign(t) + alpha (relu(t W1) W2 + eta sin(t))) scale[row].
struct Binarise {
  int64_t rows, channels, hidden;
  const void* t;  // [rows, channels]
  int32_t t_type;
  int32_t y_type;      // of y and of its gradient
  const float* w1;     // [hidden, channels]
  const float* w2;     // [hidden, channels]
  const float* scale;  // [rows], or null: 1
  float alpha, eta;
  const float* series;  // [kTerms]
};

// Batch norm behind a PReLU, plus a shortcut: y = prelu(c) multiply[channel] + add[channel] + shortcut.
struct Norm {
  int64_t rows, channels;
  const void* c;       // [rows, channels]
  int32_t type;        // of every matrix
  int32_t slopes;      // 1, or channels
  const float* slope;  // [slopes]
};

// The functions of one level of instructions. Gradients of parameters are written, not added.
struct Loops {
  void (*binarise)(const Binarise& op, void* y);
  // grad_w1, grad_w2: [hidden, channels]; grad_t has the type of t.
  void (*binarise_grad)(const Binarise& op, const void* grad_y, void* grad_t, double* grad_w1, double* grad_w2);
  // Sums of p - shift and of its square over the rows, p = prelu(c); each [channels].
  void (*norm_sums)(const Norm& op, const float* shift, double* sum, double* square);
  void (*norm)(const Norm& op, const float* multiply, const float* add, const void* shortcut, void* y);
  // Sums of grad_y and of grad_y (p - mean) over the rows.
  void (*norm_grad_sums)(const Norm& op, const float* mean, const void* grad_y, double* sum, double* product);
  // grad_p = a grad_y + b p + d; grad_c = grad_p prelu'(c); grad_slope: [slopes].
  void (*norm_grad)(const Norm& op, const float* a, const float* b, const float* d, const void* grad_y, void* grad_c, double* grad_slope);
};

#if defined(__x86_64__)
extern const Loops kLoopsAvx2, kLoopsAvx512;
#endif

}  // namespace fdabnn::training
