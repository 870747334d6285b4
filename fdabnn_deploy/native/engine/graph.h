// A part of a network as the engine takes it: nodes in an order in which they can run, and the values between them. No runtime's types.
//
// Images are [n, h, w, c]; a vector per image is an image of one pixel. Signs are packed along the channels (kernels/words.h).
#pragma once

#include <array>
#include <variant>
#include <vector>

#include "kernels/bconv.h"
#include "kernels/conv_sum.h"
#include "kernels/windows.h"

namespace fdabnn::engine {

enum class ElementType { kFloat, kSigns, kBytes };

// Of signs, c counts channels, not words.
struct Shape {
  int n = 0, h = 0, w = 0, c = 0;

  std::size_t pixels() const { return std::size_t{1} * n * h * w; }
  friend bool operator==(const Shape& a, const Shape& b) { return a.n == b.n && a.h == b.h && a.w == b.w && a.c == b.c; }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }
};

// LceBconv2d's arithmetic (kernels/bconv.h).
struct BinaryConv {
  BconvParams params;
  std::vector<Word> filter;
  std::vector<float> multiplier, bias;
  std::vector<std::int32_t> thresholds;
};

// A tree of differences of convolutions (kernels/conv_sum.h).
struct FloatConv {
  struct Term {
    int input;  // which of the node's
    std::vector<float> filter, bias;
  };
  ConvSumParams params;
  std::vector<Term> terms;
  std::vector<int> expression;
  ConvSumBorder border;
};

// The signs of values: the bit is `value < 0`.
struct Signs {};

// The largest value of each window, of what of it is inside the image; or the mean of windows that are wholly inside and have a power of
// two of pixels, whose sums are exact.
struct Pool {
  Windows windows;
  bool average = false;
};

// An operator of values with values, or with a constant per channel, or one for all.
struct Pointwise {
  enum class Operator { kAdd, kSubtract, kMultiply, kMinimum, kMaximum, kRound, kPrelu };
  Operator op = Operator::kAdd;
  std::vector<float> constant;  // empty where there are two inputs, or of kRound
  bool constant_first = false;  // constant - input
};

// Every stride-th row and column from `begin` on, as many as there are before `end`, which counts from the image's end where it is
// negative; kToEnd is the image's end.
struct Slice {
  static constexpr int kToEnd = 1 << 30;
  std::array<int, 2> begin = {0, 0}, end = {kToEnd, kToEnd}, stride = {1, 1};
};

// Zeros around images and their channels.
struct Pad {
  std::array<int, 3> before = {0, 0, 0}, after = {0, 0, 0};
};

// Images of bytes with other sizes: the bytes stay where they are.
struct Reshape {
  int h = 0, w = 0, c = 0;
};

// The columns of images of bytes in reverse order.
struct Reverse {};

struct Node {
  std::variant<BinaryConv, FloatConv, Signs, Pool, Pointwise, Slice, Pad, Reshape, Reverse> what;
  std::vector<int> inputs;  // values
  int output = 0;           // value
};

struct Graph {
  std::vector<ElementType> types;  // of values
  std::vector<Node> nodes;
  std::vector<int> inputs;   // values
  std::vector<int> outputs;  // values
};

}  // namespace fdabnn::engine
