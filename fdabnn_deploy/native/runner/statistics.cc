#include "runner/statistics.h"

#include <algorithm>
#include <numeric>

namespace fdabnn::runner {

Figures FiguresOf(std::vector<std::int64_t> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t count = samples.size();
  const auto ranked = [&](std::size_t percent) { return samples[(count * percent + 99) / 100 - 1]; };
  const std::int64_t low = samples[(count - 1) / 2], high = samples[count / 2];
  const std::int64_t sum = std::accumulate(samples.begin(), samples.end(), std::int64_t{0});
  return {samples.front(), low + (high - low) / 2, ranked(90), ranked(99), samples.back(), sum / static_cast<std::int64_t>(count)};
}

}  // namespace fdabnn::runner
