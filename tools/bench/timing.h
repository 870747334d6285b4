// The clock, and what the benchmark's functions look like to ctypes.
#pragma once

#include <cstdint>

#include "kernels/clock.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

using fdabnn::Seconds;
