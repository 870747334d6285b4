#include "kernels/pointwise_loops.h"

#if defined(__x86_64__)

#include "kernels/vectors_avx2.h"

namespace fdabnn {

const PointwiseLoops kPointwiseAvx2 = MakePointwiseLoops<Avx2Vectors>();

}  // namespace fdabnn

#endif
