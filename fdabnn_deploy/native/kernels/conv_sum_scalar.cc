#include "kernels/conv_sum_loops.h"

namespace fdabnn {
namespace {

// Every sum in the order of the taps, rounded twice a tap.
struct Scalar {
  using Vector = float;
  static constexpr int kLanes = 1;
  static constexpr int kMaxVectors = 1;
  static constexpr int kSums = 1;

  static inline Vector Load(const float* from) { return *from; }
  static inline Vector Spread(const float* from) { return *from; }
  static inline Vector MultiplyAdd(Vector a, Vector b, Vector sum) { return a * b + sum; }
};

}  // namespace

const ConvSumLevel kConvSumScalar = MakeConvSumLevel<Scalar>();

}  // namespace fdabnn
