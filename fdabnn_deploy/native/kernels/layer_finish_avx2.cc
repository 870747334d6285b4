#include "kernels/layer_finish_loops.h"

#if defined(__x86_64__)

namespace fdabnn {

const LayerLoops kLayerAvx2 = MakeLayerLoops<PlainTranspose>();

}  // namespace fdabnn

#endif
