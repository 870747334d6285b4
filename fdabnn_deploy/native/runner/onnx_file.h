// What the runner needs to know of an ONNX file before ONNX Runtime sees it.
#pragma once

#include <set>
#include <string>

#include "runner/file.h"

namespace fdabnn::runner {

// The domains whose operators a model uses, "" for ONNX's own. Throws Damaged where the bytes are no protobuf message.
std::set<std::string> OnnxDomains(const Bytes& content);

// Whether the model carries a checksum that does not fit: it has changed since it was exported. Throws Damaged. What is covered stands in
// converters/fdabnn_onnx/runtime/checksum.py.
bool OnnxHasChanged(const Bytes& content);

}  // namespace fdabnn::runner
