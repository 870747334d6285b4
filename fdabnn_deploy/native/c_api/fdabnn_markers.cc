#include "c_api/guard.h"
#include "qemu/markers.h"

extern "C" {

FDABNN_EXPORT void fdabnn_marker_begin(void) { fdabnn::MarkerBegin(); }

FDABNN_EXPORT void fdabnn_marker_end(void) { fdabnn::MarkerEnd(); }

// One type for all functions: both calling conventions (AAPCS64, System V x86-64) pass integers and pointers in order, in 64-bit places
// that the caller gives and takes away; a function does not look at those behind its own.
FDABNN_EXPORT int64_t fdabnn_marked_call(void* function, const uint64_t* a) {
  using Function = int64_t (*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
  const auto call = reinterpret_cast<Function>(function);
  fdabnn::MarkerBegin();
  const int64_t result = call(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
  fdabnn::MarkerEnd();
  return result;
}

}  // extern "C"
