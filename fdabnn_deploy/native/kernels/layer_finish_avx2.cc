#include "kernels/layer_finish_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

namespace fdabnn {
namespace {

struct Avx2Layer : PlainLayer {
  static FDABNN_INLINE Word Mask(Ints comparison) {
    __m256 halves[2];
    std::memcpy(halves, &comparison, sizeof halves);
    return static_cast<Word>(_mm256_movemask_ps(halves[0]) | _mm256_movemask_ps(halves[1]) << 8);
  }
};

}  // namespace

const LayerLoops kLayerAvx2 = MakeLayerLoops<Avx2Layer>();

}  // namespace fdabnn

#endif
