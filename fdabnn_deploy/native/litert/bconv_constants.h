// The options and constants of an LceBconv2d in a file.
#pragma once

#include <cstddef>

#include "engine/graph.h"
#include "litert/op.h"

namespace fdabnn {

constexpr std::size_t kBconvInput = 0;

// The options as given. Throws Refusal.
BconvParams ReadBconvOptions(const OpInfo& info);

// Likewise, with what the tensors say, but for those of the input. Throws Refusal.
BconvParams ReadBconvParams(const BconvParams& options, const Tensors& tensors);

// Likewise, with the constants. Throws Refusal.
engine::BinaryConv ReadBinaryConv(const BconvParams& options, const Tensors& tensors);

}  // namespace fdabnn
