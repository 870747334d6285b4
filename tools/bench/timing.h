// The clock, and what the benchmark's functions look like to ctypes.
#pragma once

#include <time.h>

#include <cstdint>

#define EXPORT extern "C" __attribute__((visibility("default")))

inline double Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}
