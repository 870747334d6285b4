#include "kernels/layer_finish_loops.h"

namespace fdabnn {

const LayerLoops kLayerPlain = MakeLayerLoops<PlainVectors>();

const LayerLoops& LayerLoopsOf(Level level) {
#if defined(__x86_64__)
  if (level == Level::kAvx2) return kLayerAvx2;
  if (level == Level::kAvx512) return kLayerAvx512;
#endif
  static_cast<void>(level);
  return kLayerPlain;
}

}  // namespace fdabnn
