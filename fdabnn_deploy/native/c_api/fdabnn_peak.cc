#include "c_api/fdabnn.h"
#include "c_api/guard.h"
#include "kernels/peak.h"

extern "C" {

FDABNN_EXPORT int fdabnn_ceiling(int level, double* macs_per_second, char* error) {
  return Guard(-1, error, [&] {
    if (!IsSupported(level, error)) return -1;
    *macs_per_second = fdabnn::BinaryPeak(static_cast<Level>(level));
    return *macs_per_second > 0 ? 0 : Refuse("the bits were counted wrongly", error);
  });
}

}  // extern "C"
