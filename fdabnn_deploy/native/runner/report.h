// What a run found out, as JSON (fdabnn_deploy/schemas/runner.schema.json) and in a few lines for people.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runner/arguments.h"
#include "runner/device.h"
#include "runner/selftest.h"
#include "runner/session.h"

namespace fdabnn::runner {

struct ModelFacts {
  std::string path;
  std::string kind;  // "tflite" or "onnx"
  std::string sha256;
  std::size_t bytes = 0;
};

struct SelftestFacts {
  std::string capsule;
  bool exact = false;
  bool same_accuracy = false;
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  std::size_t packed = 0;
  Replay replay;
};

// A session with its operators timed.
struct OpFacts {
  std::vector<std::int64_t> samples;  // of the whole model, tracing included
  std::vector<OpTimes> ops;
};

// What a core can do at most.
struct Peak {
  std::string kernels;
  double binary_macs_per_second;
};

struct Report {
  Arguments arguments;
  ModelFacts model;
  RuntimeInfo runtime;
  std::string runtime_sha256;
  Device device;
  State before;
  State after;
  bool generated = true;  // inputs
  std::optional<SelftestFacts> selftest;
  std::vector<std::int64_t> latency;  // none: not measured
  std::optional<OpFacts> ops;         // without XNNPACK
  std::optional<OpFacts> ops_xnnpack;
  std::optional<Peak> peak;
  std::int64_t peak_bytes = 0;
};

std::string ToJson(const Report& report);
std::string ToText(const Report& report);

}  // namespace fdabnn::runner
