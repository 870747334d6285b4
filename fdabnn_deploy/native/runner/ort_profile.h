// Reads the profile that ONNX Runtime writes: JSON in the format of Chrome's trace viewer, times in microseconds.
#pragma once

#include <string>
#include <vector>

#include "runner/session.h"

namespace fdabnn::runner {

// The nodes in the order in which they first ran, with one sample per run. Throws Damaged.
std::vector<OpTimes> ParseOrtProfile(const std::string& text);

}  // namespace fdabnn::runner
