// Errors with a sentence for people and the exit code of the project's tools.
#pragma once

#include <stdexcept>
#include <string>

namespace fdabnn::runner {

enum class Exit { kOk = 0, kBug = 1, kUsage = 2, kRefused = 3, kParity = 4, kMissing = 6, kNotWritten = 6 };

struct Failure : std::runtime_error {
  Failure(Exit exit_code, const std::string& text) : std::runtime_error(text), code(exit_code) {}
  const Exit code;
};

// A file's bytes do not follow its format. The caller, who knows the file's name, turns it into a Failure.
struct Damaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace fdabnn::runner
