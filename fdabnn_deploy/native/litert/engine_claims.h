// Which parts of a file the engine takes.
#pragma once

#include <vector>

#include "litert/conv_sum_graph.h"
#include "litert/tflite_abi.h"

namespace fdabnn {

struct EngineClaim {
  std::vector<int> nodes;  // as they run
  const char* name;        // in profiles
};

// The largest parts with a binary convolution of which the runtime would make one kernel each and the engine a plan; groups: what the
// engine runs together in them, each a claim of its own. trees: differences of convolutions that may be taken. Never throws for what the
// engine does not know.
std::vector<EngineClaim> FindEngineClaims(TfLiteContext* context, const std::vector<int>& plan, const std::vector<ConvSumTree>& trees,
                                          bool groups);

}  // namespace fdabnn
