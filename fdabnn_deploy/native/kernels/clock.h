// The one clock of native measurements: of the runner, which times runs on devices (runner/latency.h), of the peaks, and of the loops
// in tools/bench. What Python times has its own (fdabnn_deploy/measure/timer.py).
#pragma once

#include <time.h>

#include <cstdint>

namespace fdabnn {

// Since some moment; never set back.
inline std::int64_t Nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

// The same in seconds.
inline double Seconds() { return 1e-9 * static_cast<double>(Nanoseconds()); }

}  // namespace fdabnn
