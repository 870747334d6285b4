#include "kernels/layer_finish_loops.h"

#if defined(__x86_64__)

#include "kernels/vectors_avx2.h"

namespace fdabnn {

const LayerLoops kLayerAvx2 = MakeLayerLoops<Avx2Vectors>();

}  // namespace fdabnn

#endif
