#include "engine/exact_means.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fdabnn::engine {
namespace {

constexpr double kMostUnits = 1 << 24;  // that float32 counts exactly
constexpr int kLeastExponent = -100;    // far above denormal numbers
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Facts known of a value: its limits, never NaN where there are some, and a power of two of which it is a multiple.
struct Range {
  double low = -kInfinity, high = kInfinity;
  bool on_grid = false;
  int exponent = 0;

  bool bounded() const { return low > -kInfinity && high < kInfinity; }
  double largest() const { return std::max(std::abs(low), std::abs(high)); }
};

// Limits from one side: the constant takes the place of NaN, but an operator in front of it may still bring infinity.
Range Limited(Range x, const std::vector<float>& constant, bool above) {
  const auto [least, most] = std::minmax_element(constant.begin(), constant.end());
  if (above) {
    x.high = std::min<double>(x.high, *most);
    x.low = std::min<double>(x.low, *least);
  } else {
    x.low = std::max<double>(x.low, *least);
    x.high = std::max<double>(x.high, *most);
  }
  x.on_grid = false;
  return x;
}

// By one power of two, where nothing is rounded; else nothing is known.
Range Scaled(Range x, const std::vector<float>& constant) {
  int exponent = 0;
  const float factor = constant[0];
  const bool same = std::all_of(constant.begin(), constant.end(), [&](float value) { return value == factor; });
  if (!same || !std::isfinite(factor) || std::frexp(factor, &exponent) != 0.5f || !x.bounded()) return {};
  x.low *= factor;
  x.high *= factor;
  x.exponent += exponent - 1;
  if (x.exponent < kLeastExponent) x.on_grid = false;
  return x.largest() < kMostUnits * kMostUnits ? x : Range();
}

Range Rounded(Range x) {
  if (!x.bounded() || x.largest() >= kMostUnits) return {};
  return {std::nearbyint(x.low), std::nearbyint(x.high), true, 0};
}

struct Transfer {
  const std::vector<Range>& inputs;
  bool* exact;

  Range operator()(const Pointwise& pointwise) const {
    if (pointwise.op == Pointwise::Operator::kRound) return Rounded(inputs[0]);
    if (pointwise.constant.empty()) return {};
    if (std::any_of(pointwise.constant.begin(), pointwise.constant.end(), [](float value) { return std::isnan(value); })) return {};
    switch (pointwise.op) {
      case Pointwise::Operator::kMinimum:
        return Limited(inputs[0], pointwise.constant, true);
      case Pointwise::Operator::kMaximum:
        return Limited(inputs[0], pointwise.constant, false);
      case Pointwise::Operator::kMultiply:
        return Scaled(inputs[0], pointwise.constant);
      default:
        return {};
    }
  }

  Range operator()(const Pool& pool) const {
    Range x = inputs[0];
    if (!pool.average) return x;
    const double area = 1.0 * pool.windows.kernel_h * pool.windows.kernel_w;
    int exponent = 0;
    if (!x.on_grid || !x.bounded() || std::frexp(area, &exponent) != 0.5) return {};
    *exact = area * x.largest() < std::ldexp(kMostUnits, x.exponent) && x.exponent - exponent > kLeastExponent;
    if (!*exact) return {};
    x.exponent -= exponent - 1;
    return x;
  }

  Range operator()(const Slice&) const { return inputs[0]; }

  template <class Other>
  Range operator()(const Other&) const {
    return {};
  }
};

}  // namespace

std::vector<bool> FindExactMeans(const Graph& graph) {
  std::vector<bool> found;
  found.reserve(graph.nodes.size());
  std::vector<Range> ranges(graph.types.size());
  for (const Node& node : graph.nodes) {
    std::vector<Range> inputs;
    inputs.reserve(node.inputs.size());
    for (const int value : node.inputs) inputs.push_back(ranges[static_cast<std::size_t>(value)]);
    bool exact = false;
    ranges[static_cast<std::size_t>(node.output)] = std::visit(Transfer{inputs, &exact}, node.what);
    found.push_back(exact);
  }
  return found;
}

}  // namespace fdabnn::engine
