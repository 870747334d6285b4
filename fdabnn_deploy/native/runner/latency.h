// Times runs of a model: the one native timer. Its statistics are in runner/statistics.h.
#pragma once

#include <cstdint>
#include <vector>

#include "runner/session.h"

namespace fdabnn::runner {

struct Plan {
  int warmup;
  int runs;
  double seconds;  // instead of `runs` where it is not 0; at least one run
  bool markers;    // puts marker instructions around every measured run
};

// Nanoseconds of each run, the clock read around it alone. At most `most` runs, where that is not 0.
std::vector<std::int64_t> Measure(const Plan& plan, Session* session, std::size_t most = 0);

}  // namespace fdabnn::runner
