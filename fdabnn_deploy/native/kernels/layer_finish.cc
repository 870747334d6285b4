#include "kernels/layer_finish_loops.h"

namespace fdabnn {

const LayerLoops kLayerPlain = MakeLayerLoops<PlainLayer>();

}  // namespace fdabnn
