// The tiles of a level from its vectors: a type Vector, constants kLanes, kMaxVectors and kSums (registers for sums), and static functions
//
//   Vector Load(const float* from)
//   Vector Spread(const float* from)                       one value in all lanes
//   Vector MultiplyAdd(Vector a, Vector b, Vector sum)     rounded once or twice
#pragma once

#include "kernels/conv_sum_finish.h"

namespace fdabnn {
namespace {  // every file has its own copy, made of its own instructions

template <class Isa, int vectors, int pixels>
struct ConvSumLoop {
  using Vector = typename Isa::Vector;

  static void Run(const ConvSumTile& tile) {
    constexpr std::ptrdiff_t width = vectors * Isa::kLanes;
    Vector sums[pixels][vectors];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[p][v] = Isa::Load(tile.start + p * tile.start_stride + v * Isa::kLanes);
    }
    const float* weights = tile.weights;
    const std::ptrdiff_t stride = tile.pixel_stride;
    for (const ConvSumRun* run = tile.runs; run != tile.runs_end; ++run) {
      const float* values = tile.input + run->offset;
      for (const float* end = values + run->length; values != end; ++values, weights += width) {
        Vector row[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) row[v] = Isa::Load(weights + v * Isa::kLanes);
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p) {
          const Vector value = Isa::Spread(values + p * stride);
#pragma GCC unroll 4
          for (int v = 0; v < vectors; ++v) sums[p][v] = Isa::MultiplyAdd(value, row[v], sums[p][v]);
        }
      }
    }
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        FinishSums(tile.finish, sums[p][v], tile.target + p * width + v * Isa::kLanes);
      }
    }
  }
};

template <class Isa, int vectors, int pixels, bool fits = (vectors <= Isa::kMaxVectors && vectors * pixels <= Isa::kSums)>
struct ConvSumEntry {
  static constexpr ConvSumFunction function = nullptr;
};

template <class Isa, int vectors, int pixels>
struct ConvSumEntry<Isa, vectors, pixels, true> {
  static constexpr ConvSumFunction function = ConvSumLoop<Isa, vectors, pixels>::Run;
};

template <class Isa>
constexpr ConvSumLevel MakeConvSumLevel() {
  return {Isa::kLanes,
          Isa::kMaxVectors,
          {{ConvSumEntry<Isa, 1, 1>::function, ConvSumEntry<Isa, 1, 2>::function, ConvSumEntry<Isa, 1, 4>::function,
            ConvSumEntry<Isa, 1, 6>::function, ConvSumEntry<Isa, 1, 8>::function},
           {ConvSumEntry<Isa, 2, 1>::function, ConvSumEntry<Isa, 2, 2>::function, ConvSumEntry<Isa, 2, 4>::function,
            ConvSumEntry<Isa, 2, 6>::function, ConvSumEntry<Isa, 2, 8>::function},
           {ConvSumEntry<Isa, 4, 1>::function, ConvSumEntry<Isa, 4, 2>::function, ConvSumEntry<Isa, 4, 4>::function,
            ConvSumEntry<Isa, 4, 6>::function, ConvSumEntry<Isa, 4, 8>::function}}};
}

}  // namespace
}  // namespace fdabnn
