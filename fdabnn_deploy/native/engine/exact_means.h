// Which averages are exact, so that every way to compute them gives the same bits.
#pragma once

#include <vector>

#include "engine/graph.h"

namespace fdabnn::engine {

// By node: whether it is an average whose sums are exact for every input of the graph: its operands are multiples of a power of two, proved
// from the limits and roundings in front of it, fewer than 2^24 of them all together; and their number is a power of two. What is not
// proved is false.
std::vector<bool> FindExactMeans(const Graph& graph);

}  // namespace fdabnn::engine
