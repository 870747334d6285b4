// Marks a function whose inner loop is judged in the finished library (fdabnn_deploy/measure/profiles/static_model.py): its symbol stays,
// and it is not inlined. Nobody else calls it, and it is not of an interface.
#pragma once

// Protected: calls from the library go straight there. Mach-O knows no such thing.
#if defined(__ELF__)
#define FDABNN_INNER_LOOP extern "C" __attribute__((noinline, visibility("protected")))
#else
#define FDABNN_INNER_LOOP extern "C" __attribute__((noinline))
#endif
