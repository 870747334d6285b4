#include "c_api/fdabnn.h"
#include "qemu/markers.h"

#define FDABNN_EXPORT __attribute__((visibility("default")))

extern "C" {

FDABNN_EXPORT void fdabnn_marker_begin(void) { fdabnn::MarkerBegin(); }

FDABNN_EXPORT void fdabnn_marker_end(void) { fdabnn::MarkerEnd(); }

// One type for all functions: the calling conventions (AAPCS64, System V x86-64) pass integers and pointers in order, in places of 64 bits
// that the caller gives and takes away; a function does not look at those behind its own.
FDABNN_EXPORT int64_t fdabnn_marked_call(void* function, const uint64_t* a) {
  using Word = uint64_t;
  using Function = int64_t (*)(Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word);
  const auto call = reinterpret_cast<Function>(function);
  fdabnn::MarkerBegin();
  const int64_t result = call(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]);
  fdabnn::MarkerEnd();
  return result;
}

}  // extern "C"
