// What one core can do at most: exclusive or, count and add from registers, without memory. Reports compare binary layers with it.
//
// A kernel that counts several words at once (carry-save adders, sums in bytes) may pass 100 %.
#pragma once

#include <cstdint>

#include "kernels/level.h"

namespace fdabnn {

// Binary multiply-adds per second of the calling thread: the best of some tries, 50 ms in all. 0 where the bits that were counted are not
// those that had to be.
double BinaryPeak(Level level);

}  // namespace fdabnn
