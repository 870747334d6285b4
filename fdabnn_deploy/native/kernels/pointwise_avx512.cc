#include "kernels/pointwise_loops.h"

#if defined(__x86_64__)

#include "kernels/vectors_avx512.h"

namespace fdabnn {

const PointwiseLoops kPointwiseAvx512 = MakePointwiseLoops<Avx512Vectors>();

}  // namespace fdabnn

#endif
