#include "kernel_tests/drawn.h"

#include <climits>

namespace fdabnn {
namespace {

// Groups, kernel, strides and dilations.
void DrawBinaryConv(Random& random, BinaryConvParams* p) {
  p->groups = random.OneOf({1, 1, 1, 2, 3});
  p->channels_in = p->groups == 1 ? random.Between(1, random.OneOf({40, 40, 520})) : p->groups * 32 * random.Between(1, 3);
  p->channels_out = p->groups * random.Between(1, random.OneOf({40, 40, 130}));
  p->kernel_h = random.OneOf({1, 2, 3, 3, 3, 5});
  p->kernel_w = p->kernel_h == 3 ? 3 : random.OneOf({1, 1, 3, 4});
  p->stride_h = random.OneOf({1, 1, 2, 3});
  p->stride_w = random.OneOf({1, 1, 2, 3});
  p->dilation_h = random.OneOf({1, 1, 1, 2});
  p->dilation_w = random.OneOf({1, 1, 1, 3});
}

void DrawPads(Random& random, Windows* w) {
  w->pad_top = random.Between(0, (w->kernel_h - 1) * w->dilation_h);
  w->pad_left = random.Between(0, (w->kernel_w - 1) * w->dilation_w);
  w->pad_bottom = random.Between(0, (w->kernel_h - 1) * w->dilation_h);
  w->pad_right = random.Between(0, (w->kernel_w - 1) * w->dilation_w);
}

}  // namespace

std::vector<Level> SupportedLevels() {
  std::vector<Level> levels;
  for (int i = 0; i < kLevels; ++i) {
    if (Supported(static_cast<Level>(i))) levels.push_back(static_cast<Level>(i));
  }
  return levels;
}

Exact<Word> DrawSigns(Random& random, std::size_t rows, int channels) {
  const int words = WordsFor(channels);
  Exact<Word> signs(rows * static_cast<std::size_t>(words), [&] { return random.Bits(); });
  const Word last = channels % kWordBits == 0 ? ~Word{0} : (Word{1} << channels % kWordBits) - 1;
  for (std::size_t row = 0; row < rows; ++row) signs.data()[(row + 1) * static_cast<std::size_t>(words) - 1] &= last;
  return signs;
}

BmaxpoolParams DrawBmaxpool(Random& random) {
  BmaxpoolParams p;
  p.kernel_h = random.OneOf({1, 2, 3, 5, INT_MAX});
  p.kernel_w = random.Between(1, 4);
  p.stride_h = random.OneOf({1, 2, 3, INT_MAX});
  p.stride_w = random.Between(1, 3);
  p.same_padding = random.Between(0, 1) == 1;
  p.words = random.Between(1, 6);
  return p;
}

BconvParams DrawBconv(Random& random) {
  BconvParams p;
  DrawBinaryConv(random, &p);
  p.same_padding = random.Between(0, 1) == 1;
  p.output = static_cast<OutputType>(random.Between(0, 2));
  p.pad_value = p.output == OutputType::kFloat ? random.Between(0, 1) : 1;
  if (!p.same_padding || p.pad_value == 1) p.activation = static_cast<Activation>(random.Between(0, 3));
  p.output_scale = 0.25f;
  p.output_zero_point = random.Between(-128, 127);
  return p;
}

BinaryLayerParams DrawBinaryLayer(Random& random) {
  BinaryLayerParams p;
  DrawBinaryConv(random, &p);
  DrawPads(random, &p);
  p.pad_value = random.Between(0, 1);
  p.planes = random.Between(0, 1) == 1;
  return p;
}

ConvSumParams DrawConvSum(Random& random) {
  ConvSumParams p;
  p.channels_in = random.Between(1, random.OneOf({4, 4, 70}));
  p.channels_out = random.Between(1, random.OneOf({20, 130}));
  p.kernel_h = random.Between(1, 4);
  p.kernel_w = random.Between(1, 4);
  p.stride_h = random.OneOf({1, 1, 2, 3, INT_MAX});
  p.stride_w = random.OneOf({1, 1, 2, 3, INT_MAX});
  p.dilation_h = random.OneOf({1, 1, 2});
  p.dilation_w = random.OneOf({1, 1, 3});
  p.same_padding = random.Between(0, 1) == 1;
  DrawPads(random, &p);
  p.planes = random.Between(0, 1) == 1;
  return p;
}

}  // namespace fdabnn
