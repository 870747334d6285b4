// From a group's tail to a program of operators on single values (kernels/pointwise.h): neighbours become one step where kLayer has both.
#pragma once

#include <vector>

#include "engine/graph.h"
#include "engine/groups.h"
#include "kernels/pointwise.h"

namespace fdabnn::engine {

// The arrays of a program. A place is a tensor's rows, or scratch memory of a worker, which several values may use one after another.
struct TailProgram {
  struct Place {
    int value = -1;    // whose tensor, or the head's rows; -1: scratch memory
    int scratch = -1;  // which
    bool signs = false;
  };
  PointwiseProgram program;
  std::vector<Place> places;
  int head_place = -1;  // of the head's rows where they are no tensor
  int scratches = 0;
};

// tensors: by value, whether it is one. Values of the group that nobody wants are not computed.
TailProgram MakeTailProgram(const Graph& graph, const Group& group, const std::vector<bool>& tensors, Level level);

}  // namespace fdabnn::engine
