// Keeps a crash of a runtime from being a crash of the runner: the work is done in a child process, and the parent says how it ended.
#pragma once

#include <functional>
#include <string>

namespace fdabnn::runner {

// While one lives the process is inside a library of others, and what that writes to stderr is kept: if it dies there, the file is to
// blame and not the runner.
class InRuntime {
 public:
  explicit InRuntime(const std::string& doing);
  ~InRuntime();
  InRuntime(const InRuntime&) = delete;
  InRuntime& operator=(const InRuntime&) = delete;
};

// The last line that a runtime has written to stderr, "" for none.
std::string LastWords();

// Writes "fdabnn-runner: <text>" in one line to the real stderr.
void Complain(const std::string& text);

// A folder for temporary files that goes with the process however it ends: whoever supervises it removes the folder. "" for none.
void RemoveIfKilled(const std::string& folder);

// Runs `work`, which returns the exit code and reports its own failures, in a child process; or, if `alone`, in this one. Returns the exit
// code; of a child that a signal has ended, 3 (inside a runtime), 1 (anywhere else) or 6 (for want of memory or an instruction). `subject`
// is what was run.
int Supervise(const std::string& subject, bool alone, const std::function<int()>& work);

}  // namespace fdabnn::runner
