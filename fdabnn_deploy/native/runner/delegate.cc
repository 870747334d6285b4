#include "runner/delegate.h"

#include "runner/failure.h"

namespace fdabnn::runner {
namespace {

constexpr char kAdvice[] = ": give its path by --delegate; it is in the wheel fdabnn-deploy (fdabnn_deploy/native/lib/)";
constexpr char kName[] = "libfdabnn_delegate.so";

}  // namespace

DelegateLibrary::DelegateLibrary(const std::string& path, const std::string& why) : library_(path, {kName}, {kName}, why + kAdvice) {
  int (*choose)(int* level, char* error) = nullptr;
  Get("fdabnn_level_choose", &choose);
  Get("fdabnn_level_name", &level_name_);
  char error[kErrorBytes] = "";
  // FDABNN_KERNELS may name a level that there is not.
  if (choose(&level_, error) != 0) throw Failure(Exit::kUsage, error);
}

}  // namespace fdabnn::runner
