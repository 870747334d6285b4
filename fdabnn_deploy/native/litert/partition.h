// How a runtime groups nodes of which a delegate makes kernels.
#pragma once

#include <vector>

#include "litert/tflite_abi.h"

namespace fdabnn {

inline std::vector<int> ToVector(const TfLiteIntArray* array) {
  if (array == nullptr || array->size < 0) return {};
  return std::vector<int>(array->data, array->data + array->size);
}

// Followed by the nodes, as the runtime wants them.
struct NodeList {
  explicit NodeList(const std::vector<int>& nodes) : values(nodes) { values.insert(values.begin(), static_cast<int>(nodes.size())); }
  const TfLiteIntArray* get() const { return reinterpret_cast<const TfLiteIntArray*>(values.data()); }
  std::vector<int> values;
};

struct Partition {
  std::vector<int> nodes;    // as they run
  std::vector<int> outputs;  // tensors that are read outside
};

// The partitions that the runtime would make of nodes; empty where it does not say.
inline std::vector<Partition> PreviewPartitions(TfLiteContext* context, const std::vector<int>& nodes) {
  TfLiteDelegateParams* partitions = nullptr;
  int count = 0;
  if (context->PreviewDelegatePartitioning == nullptr ||
      context->PreviewDelegatePartitioning(context, NodeList(nodes).get(), &partitions, &count) != kTfLiteOk) {
    return {};
  }
  std::vector<Partition> result;
  result.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) result.push_back({ToVector(partitions[i].nodes_to_replace), ToVector(partitions[i].output_tensors)});
  return result;
}

}  // namespace fdabnn
