// Figures of a list of times.
#pragma once

#include <cstdint>
#include <vector>

namespace fdabnn::runner {

struct Figures {
  std::int64_t min;
  std::int64_t median;  // of an even number the mean of the middle two, rounded down
  std::int64_t p90;     // the smallest sample that 90 % are not above (nearest rank)
  std::int64_t p99;
  std::int64_t max;
  std::int64_t mean;
};

// Of at least one sample.
Figures FiguresOf(std::vector<std::int64_t> samples);

}  // namespace fdabnn::runner
