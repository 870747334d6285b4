// The command line.
#pragma once

#include <string>
#include <vector>

namespace fdabnn::runner {

constexpr char kVersion[] = "0.1.0";

struct Arguments {
  std::string model;  // "" where the capsule's is meant
  std::string runtime;
  std::string delegate;
  int threads = 1;
  std::vector<int> cpus;  // none: not pinned
  int warmup = 10;
  int runs = 100;
  double seconds = 0;  // instead of `runs` where it is not 0
  bool per_op = false;
  bool xnnpack = true;
  std::string inputs;    // a capsule
  std::string selftest;  // a capsule
  bool selftest_only = false;
  bool peak = false;
  bool markers = false;
  bool ignore_checksum = false;  // of an ONNX file
  std::string json;
  std::string outputs;
  bool help = false;
  bool version = false;
};

// Throws Failure (wrong usage).
Arguments ParseArguments(int count, const char* const* values);

// What --help prints.
extern const char kHelp[];

}  // namespace fdabnn::runner
