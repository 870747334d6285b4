#include "kernels/pointwise.h"

#include <algorithm>
#include <utility>

#include "kernels/aligned_buffer.h"
#include "kernels/pointwise_loops.h"

namespace fdabnn {

const PointwiseLoops kPointwisePlain = MakePointwiseLoops<PlainVectors>();

const PointwiseLoops& PointwiseLoopsOf(Level level) {
#if defined(__x86_64__)
  if (level == Level::kAvx2) return kPointwiseAvx2;
  if (level == Level::kAvx512) return kPointwiseAvx512;
#endif
  static_cast<void>(level);
  return kPointwisePlain;
}

PointwiseProgram::PointwiseProgram(std::vector<PointwiseStep> steps, int channels, Level level)
    : steps_(std::move(steps)), channels_(channels), loops_(&PointwiseLoopsOf(level)) {
  // Behind the last channel is room for whole vectors.
  const std::size_t lanes = RoundUp(static_cast<std::size_t>(channels), kWordBits);
  for (PointwiseStep& step : steps_) {
    if (step.kind == PointwiseKind::kLayer) {
      if (step.scale.empty()) step.scale.assign(lanes, 1.0f);
      if (step.offset.empty()) step.offset.assign(lanes, -0.0f);  // the one number that changes no other one
    }
    for (std::vector<float>* values : {&step.slope, &step.scale, &step.offset, &step.constant}) {
      if (!values->empty()) values->resize(lanes);
    }
  }
}

std::size_t PointwiseProgram::Chunk() const {
  constexpr std::size_t kValues = 2048;  // a few such arrays stay in the first-level cache
  return std::max<std::size_t>(kValues / static_cast<std::size_t>(channels_), 1);
}

void PointwiseProgram::Run(float* const* places, Word* const* signs, std::size_t pixels) const {
  const auto at = [&](int place) { return place < 0 ? nullptr : places[place]; };
  const auto pointer = [](const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); };
  for (const PointwiseStep& s : steps_) {
    loops_->run({s.kind, s.residual, at(s.a), at(s.b), pointer(s.slope), pointer(s.scale), pointer(s.offset), pointer(s.constant),
                 at(s.result), s.signs < 0 ? nullptr : signs[s.signs]},
                pixels, channels_);
  }
}

}  // namespace fdabnn
