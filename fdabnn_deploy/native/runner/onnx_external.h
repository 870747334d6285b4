// ONNX files whose constants stand in files beside them ("external data").
#pragma once

#include <string>

#include "runner/file.h"

namespace fdabnn::runner {

// The content of the ONNX file at a path, with its data inside; what is no ONNX file is given back as it is. The rules are those of
// converters/fdabnn_onnx/runtime/external_data.py: data lie beside the model, never in the current folder, and have the size of their
// tensors.
// Throws Failure: wrong usage where data are missing, refused where they lie elsewhere or do not fit.
Bytes WithOnnxData(Bytes content, const std::string& path);

}  // namespace fdabnn::runner
