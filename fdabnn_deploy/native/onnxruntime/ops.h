// The operators of the domain `fdabnn`, one file each; specifications in docs/ops/.
#pragma once

#include <memory>

#include "kernels/level.h"
#include "onnxruntime/node.h"

namespace fdabnn::ort {

// Throw Refusal where attributes or constants do not fit.
std::unique_ptr<Kernel> MakePackSigns(const NodeInfo& node, Level level);
std::unique_ptr<Kernel> MakeBinaryConv(const NodeInfo& node, Level level);
std::unique_ptr<Kernel> MakeDigits(const NodeInfo& node, Level level);
std::unique_ptr<Kernel> MakeConvDifference(const NodeInfo& node, Level level);

}  // namespace fdabnn::ort
