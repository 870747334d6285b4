// Drawn graphs of the engine against their nodes one by one.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/exact_means.h"
#include "engine/groups.h"
#include "engine/memory_plan.h"
#include "engine/network.h"
#include "engine/sharing.h"
#include "kernel_tests/cases.h"

namespace fdabnn::engine {
namespace {

using Floats = reference::Images<float>;
using Operator = Pointwise::Operator;

// Nodes one by one, with the slow references; signs are +1 and -1.
class Evaluation {
 public:
  explicit Evaluation(std::vector<Floats> values) : values_(std::move(values)) {}

  const Floats& at(int value) const { return values_[static_cast<std::size_t>(value)]; }

  // Values are numbered as they come.
  void Add(const Node& node) {
    inputs_ = &node.inputs;
    values_.push_back(std::visit([this](const auto& what) { return Compute(what); }, node.what));
  }

 private:
  const Floats& In(std::size_t i) const { return at((*inputs_)[i]); }

  Floats Compute(const BinaryConv& conv) const {
    reference::Images<int> signs(In(0).batch, In(0).height, In(0).width, In(0).channels);
    signs.values = reference::SignsOf(In(0).values);
    const BconvConstants constants = {conv.filter.data(), conv.multiplier.data(), conv.bias.data(), conv.thresholds.data()};
    BconvParams params = conv.params;
    if (params.output == OutputType::kFloat) return reference::BconvFloat(params, constants, signs);
    params.output = OutputType::kFloat;
    const std::vector<float> zeros(static_cast<std::size_t>(params.channels_out));
    Floats size = reference::BconvFloat(params, {conv.filter.data(), zeros.data(), zeros.data(), nullptr}, signs);
    params.output = OutputType::kPacked;
    const std::vector<int> values = reference::Unpack(reference::BconvPacked(params, constants, signs).data(),
                                                      size.values.size() / static_cast<std::size_t>(size.channels), size.channels);
    size.values.assign(values.begin(), values.end());
    return size;
  }

  Floats Compute(const FloatConv& conv) const {
    std::vector<Floats> sums;
    sums.reserve(conv.terms.size());
    for (const FloatConv::Term& term : conv.terms) {
      sums.push_back(
          reference::Conv(conv.params, {term.input, term.filter.data(), term.bias.data()}, In(static_cast<std::size_t>(term.input))));
    }
    for (std::size_t i = 0; i < sums[0].values.size(); ++i) sums[0].values[i] -= sums[1].values[i];
    return sums[0];
  }

  Floats Compute(const Signs&) const {
    Floats result = In(0);
    for (float& value : result.values) value = value < 0 ? -1.0f : 1.0f;
    return result;
  }

  Floats Compute(const Pool& pool) const {
    const Windows& w = pool.windows;
    const auto rows = reference::PlaceAxis(In(0).height, w.kernel_h, w.stride_h, 1, w.same_padding, 0, 0);
    const auto columns = reference::PlaceAxis(In(0).width, w.kernel_w, w.stride_w, 1, w.same_padding, 0, 0);
    Floats result(In(0).batch, static_cast<int>(rows.out), static_cast<int>(columns.out), In(0).channels);
    for (int n = 0; n < result.batch; ++n) {
      for (int y = 0; y < result.height; ++y) {
        for (int x = 0; x < result.width; ++x) {
          for (int c = 0; c < result.channels; ++c) {
            const int top = y * w.stride_h - static_cast<int>(rows.before), left = x * w.stride_w - static_cast<int>(columns.before);
            float most = -1e30f, sum = 0;
            for (int i = top; i < top + w.kernel_h; ++i) {
              for (int j = left; j < left + w.kernel_w; ++j) {
                if (!In(0).Has(i, j)) continue;
                most = std::max(most, In(0).at(n, i, j, c));
                sum += In(0).at(n, i, j, c);
              }
            }
            result.at(n, y, x, c) = pool.average ? sum / static_cast<float>(w.kernel_h * w.kernel_w) : most;
          }
        }
      }
    }
    return result;
  }

  Floats Compute(const Pointwise& pointwise) const {
    Floats result = In(0);
    for (std::size_t i = 0; i < result.values.size(); ++i) {
      const float x = result.values[i];
      const std::vector<float>& constant = pointwise.constant;
      const float other = inputs_->size() == 2   ? In(1).values[i]
                          : constant.empty()     ? 0
                          : constant.size() == 1 ? constant[0]
                                                 : constant[i % static_cast<std::size_t>(result.channels)];
      result.values[i] = Apply(pointwise.op, x, other, pointwise.constant_first);
    }
    return result;
  }

  static float Apply(Operator op, float x, float other, bool other_first) {
    switch (op) {
      case Operator::kAdd:
        return x + other;
      case Operator::kSubtract:
        return other_first ? other - x : x - other;
      case Operator::kMultiply:
        return x * other;
      case Operator::kMinimum:
        return std::min(x, other);
      case Operator::kMaximum:
        return std::max(x, other);
      case Operator::kRound:
        return std::nearbyintf(x);
      case Operator::kPrelu:
        break;
    }
    return x < 0 ? x * other : x;
  }

  // result(n, y, x, c) = in(n, place(y, x, c)), 0 outside.
  template <class Place>
  Floats Moved(int height, int width, int channels, const Place& place) const {
    Floats result(In(0).batch, height, width, channels);
    for (int n = 0; n < result.batch; ++n) {
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          for (int c = 0; c < channels; ++c) {
            const auto [i, j, k] = place(y, x, c);
            if (In(0).Has(i, j) && 0 <= k && k < In(0).channels) result.at(n, y, x, c) = In(0).at(n, i, j, k);
          }
        }
      }
    }
    return result;
  }

  Floats Compute(const Slice& s) const {
    return Moved((In(0).height - s.begin[0] + s.stride[0] - 1) / s.stride[0], (In(0).width - s.begin[1] + s.stride[1] - 1) / s.stride[1],
                 In(0).channels,
                 [&](int y, int x, int c) { return std::array<int, 3>{s.begin[0] + y * s.stride[0], s.begin[1] + x * s.stride[1], c}; });
  }

  // Of bytes: they have a test of their own.
  Floats Compute(const Reshape&) const { return In(0); }
  Floats Compute(const Reverse&) const { return In(0); }

  Floats Compute(const Pad& p) const {
    return Moved(In(0).height + p.before[0] + p.after[0], In(0).width + p.before[1] + p.after[1], In(0).channels + p.before[2] + p.after[2],
                 [&](int y, int x, int c) { return std::array<int, 3>{y - p.before[0], x - p.before[1], c - p.before[2]}; });
  }

  std::vector<Floats> values_;
  const std::vector<int>* inputs_ = nullptr;
};

std::vector<float> DrawConstant(Random& random, int channels) {
  std::vector<float> values(random.Between(0, 1) == 1 ? 1 : static_cast<std::size_t>(channels));
  for (float& value : values) value = random.Float();
  return values;
}

// A graph, its values and which of them are signs. It grows behind values that fit.
struct Drawing {
  Drawing(Random& random, const Floats& input) : random(random), evaluation({input}) {
    graph.types = {ElementType::kFloat};
    graph.inputs = {0};
  }

  int Last() const { return static_cast<int>(graph.types.size()) - 1; }
  int channels(int value) const { return evaluation.at(value).channels; }

  int AddNode(decltype(Node::what) what, std::vector<int> inputs, ElementType type = ElementType::kFloat) {
    graph.types.push_back(type);
    graph.nodes.push_back({std::move(what), std::move(inputs), Last()});
    evaluation.Add(graph.nodes.back());
    return Last();
  }

  int AddBinaryConv(int from) {
    const int signs = AddNode(Signs(), {from}, ElementType::kSigns);
    BinaryConv conv;
    BconvParams& p = conv.params;
    p.channels_in = channels(signs);
    p.channels_out = random.Between(1, 70);
    p.kernel_h = p.kernel_w = random.OneOf({1, 3});
    p.same_padding = true;
    p.stride_h = p.stride_w = random.OneOf({1, 1, 2});
    p.pad_value = random.Between(0, 1);
    if (p.pad_value == 1 && random.Between(0, 4) == 0) p.output = OutputType::kPacked;
    const Exact<Word> filter = DrawSigns(random, reference::CountOf({p.channels_out, p.kernel_h, p.kernel_w}), p.channels_in);
    conv.filter = ToVector(filter);
    for (int c = 0; c < p.channels_out; ++c) {
      conv.multiplier.push_back(random.Float());
      conv.bias.push_back(random.Float());
      conv.thresholds.push_back(random.Between(0, 200));
    }
    const bool packed = p.output == OutputType::kPacked;
    return AddNode(std::move(conv), {signs}, packed ? ElementType::kSigns : ElementType::kFloat);
  }

  // Values small and whole, so that float sums are exact.
  void AddFloatConv() {
    FloatConv conv;
    ConvSumParams& p = conv.params;
    p.channels_in = channels(0);
    p.channels_out = random.Between(1, 40);
    p.kernel_h = p.kernel_w = random.OneOf({1, 3});
    p.same_padding = true;
    conv.expression = {0, 1, kSubtract};
    for (int term = 0; term < 2; ++term) {
      std::vector<float> filter(reference::CountOf({p.channels_out, p.kernel_h, p.kernel_w, p.channels_in}));
      for (float& weight : filter) weight = static_cast<float>(random.Between(-99, 99)) * (term == 0 ? 1.0f : 1.0f / 4096);
      conv.terms.push_back({0, std::move(filter), std::vector<float>(static_cast<std::size_t>(p.channels_out))});
    }
    AddNode(std::move(conv), {0});
  }

  void AddPointwise(int from) {
    Pointwise pointwise;
    pointwise.op = static_cast<Operator>(random.Between(0, 6));
    std::vector<int> same;
    for (int value = 0; value <= Last(); ++value) {
      const Floats &a = evaluation.at(value), &b = evaluation.at(from);
      const bool fits = a.height == b.height && a.width == b.width && a.channels == b.channels;
      if (fits && graph.types[static_cast<std::size_t>(value)] == ElementType::kFloat) same.push_back(value);
    }
    const int other = same[static_cast<std::size_t>(random.Between(0, static_cast<int>(same.size()) - 1))];
    const bool pair = pointwise.op < Operator::kRound && random.Between(0, 2) == 0;
    if (!pair && pointwise.op != Operator::kRound) pointwise.constant = DrawConstant(random, channels(from));
    pointwise.constant_first = !pair && pointwise.op == Operator::kSubtract && random.Between(0, 1) == 1;
    AddNode(std::move(pointwise), pair ? std::vector<int>{from, other} : std::vector<int>{from});
    // Products of products grow beyond what floats can hold.
    Pointwise limit;
    limit.op = Operator::kMinimum;
    limit.constant = {1000};
    if (graph.nodes.size() % 3 == 0) AddNode(limit, {Last()});
  }

  void AddPool(int from) {
    Pool pool;
    pool.average = random.Between(0, 1) == 1;
    pool.windows.kernel_h = pool.windows.kernel_w = random.OneOf({1, 2, pool.average ? 2 : 3});
    pool.windows.stride_h = pool.windows.stride_w = random.Between(1, 2);
    pool.windows.same_padding = !pool.average;
    const Floats& image = evaluation.at(from);
    if (pool.windows.kernel_h <= std::min(image.height, image.width)) AddNode(pool, {from});
  }

  void AddMove(int from) {
    if (random.Between(0, 1) == 1) {
      Pad pad;
      for (std::size_t i = 0; i < 3; ++i) pad.before[i] = random.Between(0, 2), pad.after[i] = random.Between(0, 2);
      AddNode(pad, {from});
    } else {
      const Floats& image = evaluation.at(from);
      Slice slice;
      slice.begin = {random.Between(0, image.height - 1), random.Between(0, image.width - 1)};
      slice.stride = {random.Between(1, 2), random.Between(1, 2)};
      AddNode(slice, {from});
    }
  }

  // Behind a drawn value of floats, a late one mostly.
  void Grow() {
    int from = Last() - std::min(random.OneOf({0, 0, 0, 1, 2, 5}), Last());
    while (graph.types[static_cast<std::size_t>(from)] != ElementType::kFloat) --from;
    const int kind = random.Between(0, 9);
    if (kind < 6) {
      AddPointwise(from);
    } else if (kind < 8) {
      AddBinaryConv(from);
    } else if (kind == 8) {
      AddPool(from);
    } else {
      AddMove(from);
    }
  }

  Random& random;
  Graph graph;
  Evaluation evaluation;
};

Shape ShapeOf(const Floats& image) { return {image.batch, image.height, image.width, image.channels}; }

void Check(Drawing& drawn, ThreadPool& pool) {
  const Floats& input = drawn.evaluation.at(0);
  for (const Level level : SupportedLevels()) {
    CAPTURE(Name(level));
    const auto network = Network::Create(drawn.graph, level);
    network->Prepare({ShapeOf(input)}, pool.threads());
    std::vector<Exact<Word>> memory;  // of the outputs
    std::vector<void*> outputs;
    memory.reserve(drawn.graph.outputs.size());
    for (std::size_t i = 0; i < drawn.graph.outputs.size(); ++i) {
      const int value = drawn.graph.outputs[i];
      REQUIRE(network->OutputShapes()[i] == ShapeOf(drawn.evaluation.at(value)));
      memory.emplace_back(BytesOf(drawn.graph.types[static_cast<std::size_t>(value)], network->OutputShapes()[i]) / sizeof(Word));
    }
    outputs.reserve(memory.size());
    for (Exact<Word>& words : memory) outputs.push_back(words.data());
    const void* const inputs[] = {input.values.data()};
    for (int run = 0; run < 2; ++run) network->Run(inputs, outputs.data(), pool);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const int value = drawn.graph.outputs[i];
      const Floats& expected = drawn.evaluation.at(value);
      CAPTURE(value);
      if (drawn.graph.types[static_cast<std::size_t>(value)] == ElementType::kSigns) {
        CHECK(ToVector(memory[i]) == reference::Pack(reference::SignsOf(expected.values), expected.channels));
      } else {
        std::vector<float> found(expected.values.size());
        if (!found.empty()) std::memcpy(found.data(), outputs[i], found.size() * sizeof(float));
        CHECK(found == expected.values);
      }
    }
  }
}

TEST_CASE("graphs equal their nodes one by one") {
  Random random(1);
  for (int done = 0; done < 200; ++done) {
    Floats input(random.Between(0, 3), random.Between(1, 12), random.Between(1, 12), random.Between(1, 40));
    for (float& value : input.values) value = static_cast<float>(random.Between(-128, 127));
    Drawing drawn(random, input);
    if (random.Between(0, 1) == 1) drawn.AddFloatConv();
    const int nodes = random.Between(1, 25);
    for (int i = 0; i < nodes; ++i) drawn.Grow();
    for (int value = 1; value <= drawn.Last(); ++value) {
      if (value == drawn.Last() || random.Between(0, 6) == 0) drawn.graph.outputs.push_back(value);
    }
    ThreadPool pool(random.Between(1, 3));
    CAPTURE(done);
    Check(drawn, pool);
  }
}

TEST_CASE("a sum takes the memory of its shortcut, unless that is read once more") {
  for (const bool again : {false, true}) {
    Graph graph;
    graph.types.assign(6, ElementType::kFloat);
    graph.inputs = {0};
    graph.outputs = {4};
    graph.nodes = {{Pad(), {0}, 1}, {Pad(), {0}, 2}, {Pointwise(), {2, 1}, 3}, {Pad(), {3}, 4}};
    if (again) graph.nodes.push_back({Pad(), {1}, 5});
    const std::vector<Group> groups = FormGroups(graph, InferShapes(graph, {{1, 2, 2, 3}}));
    REQUIRE(groups.size() == graph.nodes.size() - 1);
    const Sharing sharing = FindSharing(graph, groups, FindTensors(graph, groups));
    CHECK(sharing.place[3] == (again ? 3 : 1));
    CHECK(sharing.placed[3] == again);
  }
}

TEST_CASE("bytes are reversed and reshaped") {
  Graph graph;
  graph.types.assign(3, ElementType::kBytes);
  graph.inputs = {0};
  graph.outputs = {2};
  graph.nodes = {{Reshape{1, 6, 3}, {0}, 1}, {Reverse(), {1}, 2}};
  const auto network = Network::Create(graph, Level::kScalar);
  network->Prepare({{2, 2, 3, 3}}, 1);
  CHECK(network->OutputShapes()[0] == Shape{2, 1, 6, 3});
  std::vector<std::uint8_t> image(36), found(36), expected(36);
  for (std::size_t i = 0; i < 36; ++i) {
    image[i] = static_cast<std::uint8_t>(7 * i);
    expected[i] = static_cast<std::uint8_t>(7 * (i / 18 * 18 + (5 - i % 18 / 3) * 3 + i % 3));
  }
  const void* const inputs[] = {image.data()};
  void* const outputs[] = {found.data()};
  ThreadPool pool(1);
  network->Run(inputs, outputs, pool);
  CHECK(found == expected);
}

TEST_CASE("an average is exact where its operands are on a grid") {
  const auto exact = [](float limit, bool rounds, int size) -> bool {
    Graph graph;
    graph.types.assign(6, ElementType::kFloat);
    const auto node = [&](Operator op, std::vector<float> constant) {
      const int from = static_cast<int>(graph.nodes.size());
      graph.nodes.push_back({Pointwise{op, std::move(constant), false}, {from}, from + 1});
    };
    node(Operator::kMaximum, {-limit});
    node(Operator::kMinimum, {limit});
    rounds ? node(Operator::kRound, {}) : node(Operator::kMultiply, {0.5f});
    node(Operator::kMultiply, {0.125f});
    Pool pool;
    pool.average = true;
    pool.windows.kernel_h = pool.windows.kernel_w = size;
    graph.nodes.push_back({pool, {4}, 5});
    return FindExactMeans(graph).back();
  };
  CHECK(exact(4000, true, 2));
  CHECK(exact(4000, true, 4));
  CHECK_FALSE(exact(4000, false, 2));
  CHECK_FALSE(exact(4000, true, 3));
  CHECK_FALSE(exact(1 << 22, true, 2));
}

TEST_CASE("memory is shared by tensors that do not live at a time") {
  Random random(2);
  for (int done = 0; done < 200; ++done) {
    std::vector<Lifetime> tensors(static_cast<std::size_t>(random.Between(1, 20)));
    for (Lifetime& tensor : tensors) {
      tensor.bytes = static_cast<std::size_t>(random.Between(0, 1000));
      tensor.first = random.Between(0, 10);
      tensor.last = tensor.first + random.Between(0, 4);
    }
    const MemoryPlan plan = PlanMemory(tensors);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      CHECK(plan.offsets[i] + tensors[i].bytes <= plan.bytes);
      for (std::size_t j = 0; j < i; ++j) {
        const bool together = tensors[i].first <= tensors[j].last && tensors[j].first <= tensors[i].last;
        const bool apart = plan.offsets[i] + tensors[i].bytes <= plan.offsets[j] || plan.offsets[j] + tensors[j].bytes <= plan.offsets[i];
        CHECK((!together || apart));
      }
    }
  }
  const MemoryPlan chain = PlanMemory({{640, 0, 1}, {640, 1, 2}, {640, 2, 3}, {640, 3, 4}});
  CHECK(chain.bytes == 1280);
}

}  // namespace
}  // namespace fdabnn::engine
