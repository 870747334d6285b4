// The clock of all measurements.
#pragma once

#include <time.h>

#include <cstdint>

namespace fdabnn::runner {

// Since some moment; never set back.
inline std::int64_t Nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

}  // namespace fdabnn::runner
