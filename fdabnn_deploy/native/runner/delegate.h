// The library of the delegate and of the operators for ONNX Runtime.
#pragma once

#include <string>

#include "runner/library.h"

namespace fdabnn::runner {

class DelegateLibrary {
 public:
  static constexpr int kErrorBytes = 256;  // FDABNN_ERROR_BYTES

  // `path` as for Library; `why` begins the advice where it is missing. Chooses the kernels. Throws Failure.
  DelegateLibrary(const std::string& path, const std::string& why);

  const std::string& path() const { return library_.path(); }

  // Of the kernels: the number, and the name as FDABNN_KERNELS calls it.
  int level() const { return level_; }
  std::string LevelName() const { return level_name_(level_); }

  template <typename F>
  void Get(const char* name, F** function) const {
    library_.Get(name, function);
  }
  template <typename F>
  bool Find(const char* name, F** function) const {
    return library_.Find(name, function);
  }

 private:
  const Library library_;
  int level_ = 0;
  const char* (*level_name_)(int level) = nullptr;
};

}  // namespace fdabnn::runner
