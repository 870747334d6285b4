#include "kernels/layer_finish_loops.h"

#if defined(__x86_64__)

#include "kernels/vectors_avx512.h"

namespace fdabnn {

const LayerLoops kLayerAvx512 = MakeLayerLoops<Avx512Vectors>();

}  // namespace fdabnn

#endif
