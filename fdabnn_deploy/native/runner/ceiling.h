// How many binary multiply-adds a core of this device can do at most, as the delegate's library measures it.
#pragma once

#include <optional>
#include <string>

#include "runner/report.h"

namespace fdabnn::runner {

// On the calling thread, in about 50 ms; `delegate` as in Libraries. Nothing where the library is older than the function. Throws Failure.
std::optional<Ceiling> MeasureCeiling(const std::string& delegate);

}  // namespace fdabnn::runner
