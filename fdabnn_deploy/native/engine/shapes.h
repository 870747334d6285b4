// The shapes of a graph's values.
#pragma once

#include <vector>

#include "engine/graph.h"

namespace fdabnn::engine {

// By value, of those that inputs reach. Throws Refusal where shapes do not fit each other or go beyond memory.
std::vector<Shape> InferShapes(const Graph& graph, const std::vector<Shape>& inputs);

// Bytes of a value.
std::size_t BytesOf(ElementType type, const Shape& shape);

}  // namespace fdabnn::engine
