#include "runner/peak.h"

#include "runner/failure.h"
#include "runner/supervisor.h"

namespace fdabnn::runner {

std::optional<Peak> MeasurePeak(const DelegateLibrary& library) {
  int (*measure)(int level, double* macs_per_second, char* error) = nullptr;
  if (!library.Find("fdabnn_ceiling", &measure)) return std::nullopt;
  const InRuntime stage("measuring the peak");
  Peak peak{library.LevelName(), 0};
  char error[DelegateLibrary::kErrorBytes] = "";
  if (measure(library.level(), &peak.binary_macs_per_second, error) != 0) throw Failure(Exit::kBug, error);
  return peak;
}

}  // namespace fdabnn::runner
