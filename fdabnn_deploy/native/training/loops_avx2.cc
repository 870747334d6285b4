#if defined(__x86_64__)

#define FDABNN_TRAINING_LEVEL kLoopsAvx2
#include "training/loops.h"

#endif  // defined(__x86_64__)
