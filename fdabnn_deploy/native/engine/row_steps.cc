// Steps whose heads give one row of an image at a time, and steps without a head.
#include <algorithm>
#include <cstring>
#include <string>

#include "engine/step.h"
#include "kernels/pointwise.h"
#include "refusal.h"

namespace fdabnn::engine {
namespace {

constexpr std::size_t kValuesPerThread = 1 << 13;  // fewer cost more than they save

int HeadValue(const StepContext& context, const Group& group) {
  return group.head < 0 ? -1 : context.graph.nodes[static_cast<std::size_t>(group.head)].output;
}

bool IsTensor(const StepContext& context, int value) { return value >= 0 && context.tensors[static_cast<std::size_t>(value)]; }

// Heads that give rows [width, channels] from rows of one input.
class RowStep : public Step {
 public:
  RowStep(const StepContext& context, const Group& group) : Step(context, group, 1), out_(group.shape) {
    input_ = context.graph.nodes[static_cast<std::size_t>(group.head)].inputs[0];
    in_ = context.shapes[static_cast<std::size_t>(input_)];
  }

 protected:
  void RunHead(const Tensors& tensors, const Scratch&, ThreadPool& pool) override {
    const auto* input = static_cast<const float*>(tensors[static_cast<std::size_t>(input_)]);
    const auto height = static_cast<std::size_t>(out_.h), values = static_cast<std::size_t>(out_.w) * static_cast<std::size_t>(out_.c);
    ForParts(pool, static_cast<std::size_t>(out_.n) * height, std::max<std::size_t>(kValuesPerThread / values, 1),
             [&](int worker, std::size_t begin, std::size_t end) {
               for (std::size_t row = begin; row < end; ++row) {
                 const auto image = static_cast<std::int64_t>(row / height);
                 const int y = static_cast<int>(row % height);
                 MakeRow(input + static_cast<std::size_t>(image) * InRow() * static_cast<std::size_t>(in_.h), y,
                         tail().Rows(worker, image, y));
                 tail().Take(worker, image, y, 1);
               }
             });
  }

  // Values of a row of the input.
  std::size_t InRow() const { return static_cast<std::size_t>(in_.w) * static_cast<std::size_t>(in_.c); }

  const Shape& in() const { return in_; }
  const Shape& out() const { return out_; }

 private:
  // image: the input's. Writes row y of the output.
  virtual void MakeRow(const float* image, int y, float* to) const = 0;

  const Shape out_;
  Shape in_;
  int input_;
};

class PoolStep final : public RowStep {
 public:
  PoolStep(const StepContext& context, const Group& group, const Pool& pool)
      : RowStep(context, group), windows_(pool.windows), loops_(PointwiseLoopsOf(context.level)), average_(pool.average) {
    std::string error;
    if (!PlaceWindows(windows_, in().h, in().w, &size_, &error)) throw Refusal(error);
    if (windows_.kernel_h > kMostRows) throw Refusal("a pool has too many rows");
    const float area = static_cast<float>(windows_.kernel_h) * static_cast<float>(windows_.kernel_w);
    row_ = {in().w, in().c, windows_.kernel_w, windows_.stride_w, size_.pad_left, size_.out_w, average_ ? 1 / area : 1};
  }

  static constexpr int kMostRows = 64;  // of a window

 private:
  void MakeRow(const float* image, int y, float* to) const override {
    const float* rows[kMostRows];
    int count = 0;
    const int top = y * windows_.stride_h - size_.pad_top;
    for (int i = std::max(top, 0); i < std::min(top + windows_.kernel_h, in().h); ++i)
      rows[count++] = image + static_cast<std::size_t>(i) * InRow();
    (average_ ? loops_.sums : loops_.maxima)(row_, rows, count, to);
  }

  const Windows windows_;
  const PointwiseLoops& loops_;
  const bool average_;
  ImageSize size_;
  PoolRow row_;
};

class SliceStep final : public RowStep {
 public:
  SliceStep(const StepContext& context, const Group& group, const Slice& slice) : RowStep(context, group), slice_(slice) {}

 private:
  void MakeRow(const float* image, int y, float* to) const override {
    const auto channels = static_cast<std::size_t>(in().c);
    const float* from = image + static_cast<std::size_t>(slice_.begin[0] + y * slice_.stride[0]) * InRow() +
                        static_cast<std::size_t>(slice_.begin[1]) * channels;
    for (int x = 0; x < out().w; ++x, to += channels, from += static_cast<std::size_t>(slice_.stride[1]) * channels) {
      std::memcpy(to, from, channels * sizeof(float));
    }
  }

  const Slice slice_;
};

class PadStep final : public RowStep {
 public:
  PadStep(const StepContext& context, const Group& group, const Pad& pad) : RowStep(context, group), pad_(pad) {}

 private:
  void MakeRow(const float* image, int y, float* to) const override {
    const auto channels = static_cast<std::size_t>(out().c), inner = static_cast<std::size_t>(in().c);
    std::fill_n(to, static_cast<std::size_t>(out().w) * channels, 0.0f);
    const int row = y - pad_.before[0];
    if (row < 0 || row >= in().h) return;
    const float* from = image + static_cast<std::size_t>(row) * InRow();
    to += static_cast<std::size_t>(pad_.before[1]) * channels + static_cast<std::size_t>(pad_.before[2]);
    for (int x = 0; x < in().w; ++x, to += channels, from += inner) std::memcpy(to, from, inner * sizeof(float));
  }

  const Pad pad_;
};

// Steps of bytes, whose tails are empty.
class BytesStep final : public Step {
 public:
  BytesStep(const StepContext& context, const Group& group, bool reverses)
      : Step(context, group, 0), shape_(group.shape), reverses_(reverses), output_(HeadValue(context, group)) {
    input_ = context.graph.nodes[static_cast<std::size_t>(group.head)].inputs[0];
  }

 private:
  void RunHead(const Tensors& tensors, const Scratch&, ThreadPool&) override {
    const auto* from = static_cast<const std::uint8_t*>(tensors[static_cast<std::size_t>(input_)]);
    auto* to = static_cast<std::uint8_t*>(tensors[static_cast<std::size_t>(output_)]);
    const auto width = static_cast<std::size_t>(shape_.w), channels = static_cast<std::size_t>(shape_.c);
    if (!reverses_) {
      if (shape_.n > 0) std::memcpy(to, from, shape_.pixels() * channels);
      return;
    }
    const std::size_t rows = static_cast<std::size_t>(shape_.n) * static_cast<std::size_t>(shape_.h);
    for (std::size_t row = 0; row < rows; ++row, from += width * channels) {
      ReverseRow(from, width, channels, to);
      to += width * channels;
    }
  }

  static void ReverseRow(const std::uint8_t* from, std::size_t width, std::size_t channels, std::uint8_t* to) {
    std::size_t x = width;
    if (channels == 3) {
      // Four bytes are faster than three: the one in front of a pixel is shifted out, the one behind it is written again.
      for (; x > 1; to += channels) {
        std::uint32_t pixel = 0;
        std::memcpy(&pixel, from + --x * channels - 1, sizeof pixel);
        pixel >>= 8;
        std::memcpy(to, &pixel, sizeof pixel);
      }
    }
    for (; x > 0; to += channels) std::memcpy(to, from + --x * channels, channels);
  }

  const Shape shape_;
  const bool reverses_;
  const int output_;
  int input_;
};

struct Making {
  const StepContext& context;
  const Group& group;

  std::unique_ptr<Step> operator()(const Pool& pool) const { return std::make_unique<PoolStep>(context, group, pool); }
  std::unique_ptr<Step> operator()(const Slice& slice) const { return std::make_unique<SliceStep>(context, group, slice); }
  std::unique_ptr<Step> operator()(const Pad& pad) const { return std::make_unique<PadStep>(context, group, pad); }
  std::unique_ptr<Step> operator()(const Reshape&) const { return std::make_unique<BytesStep>(context, group, false); }
  std::unique_ptr<Step> operator()(const Reverse&) const { return std::make_unique<BytesStep>(context, group, true); }
  template <class Other>
  std::unique_ptr<Step> operator()(const Other&) const {
    return std::make_unique<Step>(context, group, 0);
  }
};

}  // namespace

Step::Step(const StepContext& context, const Group& group, int sink_rows)
    : tail_(MakeTailProgram(context.graph, group, context.tensors, context.level), group, HeadValue(context, group),
            IsTensor(context, HeadValue(context, group)), sink_rows) {}

std::size_t Step::WorkspaceBytes(int) const { return 0; }

void Step::RunHead(const Tensors&, const Scratch&, ThreadPool& pool) { tail_.RunAll(pool); }

std::unique_ptr<Step> MakeRowStep(const StepContext& context, const Group& group) {
  if (group.head < 0) return std::make_unique<Step>(context, group, 0);
  return std::visit(Making{context, group}, context.graph.nodes[static_cast<std::size_t>(group.head)].what);
}

}  // namespace fdabnn::engine
