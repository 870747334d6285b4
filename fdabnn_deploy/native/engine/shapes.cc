#include "engine/shapes.h"

#include <algorithm>
#include <climits>
#include <string>

#include "refusal.h"

namespace fdabnn::engine {
namespace {

constexpr double kMostValues = 1 << 30;  // of an image and its batch; kernels refuse more as well

Shape Windowed(const Windows& windows, const Shape& in, int channels) {
  ImageSize size;
  std::string error;
  if (!PlaceWindows(windows, in.h, in.w, &size, &error)) throw Refusal(error);
  return {in.n, size.out_h, size.out_w, channels};
}

void CheckChannels(const Shape& in, int channels) {
  if (in.c != channels) throw Refusal("an image has " + std::to_string(in.c) + " channels, not " + std::to_string(channels));
}

int Sliced(int size, int begin, int end, int stride) {
  const int last = end == Slice::kToEnd ? size : end < 0 ? end + size : std::min(end, size);
  if (begin < 0 || stride < 1 || begin >= last) throw Refusal("a slice is empty");
  return (last - begin + stride - 1) / stride;
}

struct Inference {
  const std::vector<Shape>& inputs;

  Shape operator()(const BinaryConv& conv) const {
    // Of signs that come from outside only the words are known.
    if (WordsFor(inputs[0].c) != WordsFor(conv.params.channels_in)) CheckChannels(inputs[0], conv.params.channels_in);
    return Windowed(conv.params, inputs[0], conv.params.channels_out);
  }

  Shape operator()(const FloatConv& conv) const {
    CheckChannels(inputs[0], conv.params.channels_in);
    for (const Shape& input : inputs) {
      if (input != inputs[0]) throw Refusal("the inputs of a float convolution differ in shape");
    }
    return Windowed(conv.params, inputs[0], conv.params.channels_out);
  }

  Shape operator()(const Signs&) const { return inputs[0]; }

  Shape operator()(const Pool& pool) const {
    const Shape out = Windowed(pool.windows, inputs[0], inputs[0].c);
    const bool inside =
        !pool.windows.same_padding || (inputs[0].h % pool.windows.stride_h == 0 && inputs[0].w % pool.windows.stride_w == 0 &&
                                       pool.windows.kernel_h <= pool.windows.stride_h && pool.windows.kernel_w <= pool.windows.stride_w);
    if (pool.average && !inside) throw Refusal("a window of an average reaches beyond the image");
    return out;
  }

  Shape operator()(const Pointwise& pointwise) const {
    if (pointwise.constant.size() > 1) CheckChannels(inputs[0], static_cast<int>(pointwise.constant.size()));
    if (inputs.size() == 2 && inputs[0] != inputs[1]) throw Refusal("the inputs of an operator of single values differ in shape");
    return inputs[0];
  }

  Shape operator()(const Slice& slice) const {
    const Shape& in = inputs[0];
    return {in.n, Sliced(in.h, slice.begin[0], slice.end[0], slice.stride[0]), Sliced(in.w, slice.begin[1], slice.end[1], slice.stride[1]),
            in.c};
  }

  Shape operator()(const Pad& pad) const {
    int sizes[] = {inputs[0].h, inputs[0].w, inputs[0].c};
    for (std::size_t i = 0; i < 3; ++i) {
      if (pad.before[i] < 0 || pad.after[i] < 0 || pad.before[i] > INT_MAX / 4 || pad.after[i] > INT_MAX / 4 || sizes[i] > INT_MAX / 4) {
        throw Refusal("a padding is out of range");
      }
      sizes[i] += pad.before[i] + pad.after[i];
    }
    return {inputs[0].n, sizes[0], sizes[1], sizes[2]};
  }

  Shape operator()(const Reshape& reshape) const {
    const Shape &in = inputs[0], out = {in.n, reshape.h, reshape.w, reshape.c};
    const auto values = [](const Shape& shape) { return 1.0 * shape.h * shape.w * shape.c; };
    if (values(in) != values(out)) throw Refusal("an image cannot get other sizes");
    return out;
  }

  Shape operator()(const Reverse&) const { return inputs[0]; }
};

void CheckSize(const Shape& shape) {
  if (shape.n < 0 || std::min({shape.h, shape.w, shape.c}) < 1) throw Refusal("an image is empty");
  if (1.0 * shape.n * shape.h * shape.w * shape.c > kMostValues) throw Refusal("an image is too large");
}

}  // namespace

std::vector<Shape> InferShapes(const Graph& graph, const std::vector<Shape>& inputs) {
  std::vector<Shape> shapes(graph.types.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    CheckSize(inputs[i]);
    shapes[static_cast<std::size_t>(graph.inputs[i])] = inputs[i];
  }
  for (const Node& node : graph.nodes) {
    std::vector<Shape> of_node;
    of_node.reserve(node.inputs.size());
    for (const int value : node.inputs) of_node.push_back(shapes[static_cast<std::size_t>(value)]);
    const Shape shape = std::visit(Inference{of_node}, node.what);
    CheckSize(shape);
    shapes[static_cast<std::size_t>(node.output)] = shape;
  }
  return shapes;
}

std::size_t BytesOf(ElementType type, const Shape& shape) {
  switch (type) {
    case ElementType::kFloat:
      return shape.pixels() * static_cast<std::size_t>(shape.c) * sizeof(float);
    case ElementType::kSigns:
      return shape.pixels() * static_cast<std::size_t>(WordsFor(shape.c)) * sizeof(Word);
    case ElementType::kBytes:
      break;
  }
  return shape.pixels() * static_cast<std::size_t>(shape.c);
}

}  // namespace fdabnn::engine
