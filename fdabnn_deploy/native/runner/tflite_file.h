// Reads a TFLite file and checks it before a runtime gets to see it, which trusts its file: a wrong index, or a constant that is shorter
// than its shape, makes it read outside its memory. The checks are those of converters/fdabnn_tflite/runtime/tflite_file.py, the file's own
// SHA-256 included.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runner/file.h"

namespace fdabnn::runner {

struct TfliteTensor {
  std::string name;
  std::vector<std::int32_t> shape;
  int type;  // TensorType of the schema: 0 is float32
  bool constant;
};

struct TfliteOperator {
  std::string name;                  // "CONV_2D", or of a custom operator its own
  std::vector<std::int32_t> inputs;  // -1 for one that is left out
  std::vector<std::int32_t> outputs;
};

struct TfliteFile {
  std::vector<TfliteTensor> tensors;      // of the first subgraph
  std::vector<TfliteOperator> operators;  // of it, in the order they run
  std::vector<std::int32_t> inputs;
  std::vector<std::int32_t> outputs;
};

constexpr int kTfliteFloat32 = 0;

// Throws Damaged.
TfliteFile ParseTflite(const Bytes& data);

}  // namespace fdabnn::runner
