// Shared libraries, opened when they are needed: the runner itself needs nothing but the C library.
#pragma once

#include <string>
#include <vector>

#include "runner/failure.h"

namespace fdabnn::runner {

class Library {
 public:
  // Opens the file `path`; where that is "", the first of `beside` in the folder of this program, and then the first of `known` that the
  // loader finds. `advice` ends the message. Throws Failure (missing).
  Library(const std::string& path, const std::vector<std::string>& beside, const std::vector<std::string>& known,
          const std::string& advice);
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  // It stays loaded: runtimes leave threads and destructors behind.
  ~Library() = default;

  // Where it was found.
  const std::string& path() const { return path_; }

  // A function, if the library has one of that name.
  template <typename F>
  bool Find(const char* name, F** function) const {
    *function = reinterpret_cast<F*>(Symbol(name));
    return *function != nullptr;
  }

  // A function. Throws Failure (missing) where the library has none of that name.
  template <typename F>
  void Get(const char* name, F** function) const {
    if (!Find(name, function)) {
      throw Failure(Exit::kMissing,
                    path_ + " has no function " + name + ": it is another library, or of another version than the runner knows");
    }
  }

 private:
  void* Symbol(const char* name) const;

  void* handle_ = nullptr;
  std::string path_;
};

}  // namespace fdabnn::runner
