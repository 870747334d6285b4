#include "runner/latency.h"

#include "kernels/clock.h"
#include "qemu/markers.h"
#include "runner/supervisor.h"

namespace fdabnn::runner {

std::vector<std::int64_t> Measure(const Plan& plan, Session* session, std::size_t most) {
  const InRuntime stage("running the model");
  for (int i = 0; i < plan.warmup; ++i) session->Run();
  std::vector<std::int64_t> samples;
  samples.reserve(plan.seconds > 0 ? 4096 : static_cast<std::size_t>(plan.runs));
  const std::int64_t begin = Nanoseconds();
  const auto deadline = static_cast<std::int64_t>(plan.seconds * 1e9);
  while (true) {
    if (plan.markers) MarkerBegin();
    const std::int64_t start = Nanoseconds();
    session->Run();
    const std::int64_t end = Nanoseconds();
    if (plan.markers) MarkerEnd();
    samples.push_back(end - start);
    if (samples.size() == most) break;
    if (plan.seconds > 0 ? end - begin >= deadline : samples.size() >= static_cast<std::size_t>(plan.runs)) break;
  }
  return samples;
}

}  // namespace fdabnn::runner
