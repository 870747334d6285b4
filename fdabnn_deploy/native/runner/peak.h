// How many binary multiply-adds a core of this device can do at most, as the delegate's library measures it.
#pragma once

#include <optional>

#include "runner/delegate.h"
#include "runner/report.h"

namespace fdabnn::runner {

// On the calling thread, in about 50 ms. Nothing where the library is older than the function. Throws Failure.
std::optional<Peak> MeasurePeak(const DelegateLibrary& library);

}  // namespace fdabnn::runner
