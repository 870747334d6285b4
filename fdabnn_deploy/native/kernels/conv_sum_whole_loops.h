// The tiles of a level in whole numbers from its vectors: types Vector of float32 and Integers of int32, constants kLanes, kMaxVectors and
// kSums (registers for sums), the functions Largest and Convert of a ConvSumWholeLevel, and static functions
//
//   Integers Zero()
//   Integers Load(const std::int16_t* from)                             two numbers per lane
//   Integers SpreadPair(const std::int16_t* from)                       the same two in all lanes
//   Integers MultiplyAdd(Integers pair, Integers row, Integers sum)     adds both products of a lane to its sum
//   Vector Load(const float* from)
//   Vector Scale(float unit, Vector scales)                             their product
//   Vector Finish(Integers sums, Vector scale, Vector bias)             fl(float(sums) * scale + bias)
#pragma once

#include "kernels/conv_sum_finish.h"
#include "kernels/conv_sum_whole.h"

namespace fdabnn {
namespace {  // every file has its own copy, made of its own instructions

template <class Isa, int vectors, int pixels>
struct ConvSumWholeLoop {
  using Vector = typename Isa::Vector;
  using Integers = typename Isa::Integers;

  static void Run(const ConvSumWholeTile& tile) {
    constexpr std::ptrdiff_t width = vectors * Isa::kLanes;
    Integers sums[pixels][vectors];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[p][v] = Isa::Zero();
    }
    const std::int16_t* weights = tile.weights;
    const std::ptrdiff_t stride = tile.pixel_stride;
    for (const ConvSumRun* run = tile.runs; run != tile.runs_end; ++run) {
      const std::int16_t* values = tile.input + run->offset;
      for (const std::int16_t* end = values + 2 * run->length; values != end; values += 2, weights += 2 * width) {
        Integers row[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) row[v] = Isa::Load(weights + 2 * v * Isa::kLanes);
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p) {
          const Integers pair = Isa::SpreadPair(values + p * stride);
#pragma GCC unroll 4
          for (int v = 0; v < vectors; ++v) sums[p][v] = Isa::MultiplyAdd(pair, row[v], sums[p][v]);
        }
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const Vector scale = Isa::Scale(tile.unit, Isa::Load(tile.scales + v * Isa::kLanes));
      const Vector bias = Isa::Load(tile.biases + v * Isa::kLanes);
#pragma GCC unroll 8
      for (int p = 0; p < pixels; ++p) {
        FinishSums(tile.finish, Isa::Finish(sums[p][v], scale, bias), tile.target + p * width + v * Isa::kLanes);
      }
    }
  }
};

template <class Isa, int vectors, int pixels, bool fits = (vectors <= Isa::kMaxVectors && vectors * pixels <= Isa::kSums)>
struct ConvSumWholeEntry {
  static constexpr ConvSumWholeFunction function = nullptr;
};

template <class Isa, int vectors, int pixels>
struct ConvSumWholeEntry<Isa, vectors, pixels, true> {
  static constexpr ConvSumWholeFunction function = ConvSumWholeLoop<Isa, vectors, pixels>::Run;
};

template <class Isa>
constexpr ConvSumWholeLevel MakeConvSumWholeLevel() {
  return {{{ConvSumWholeEntry<Isa, 1, 1>::function, ConvSumWholeEntry<Isa, 1, 2>::function, ConvSumWholeEntry<Isa, 1, 4>::function,
            ConvSumWholeEntry<Isa, 1, 6>::function, ConvSumWholeEntry<Isa, 1, 8>::function},
           {ConvSumWholeEntry<Isa, 2, 1>::function, ConvSumWholeEntry<Isa, 2, 2>::function, ConvSumWholeEntry<Isa, 2, 4>::function,
            ConvSumWholeEntry<Isa, 2, 6>::function, ConvSumWholeEntry<Isa, 2, 8>::function},
           {ConvSumWholeEntry<Isa, 4, 1>::function, ConvSumWholeEntry<Isa, 4, 2>::function, ConvSumWholeEntry<Isa, 4, 4>::function,
            ConvSumWholeEntry<Isa, 4, 6>::function, ConvSumWholeEntry<Isa, 4, 8>::function}},
          Isa::Largest,
          Isa::Convert};
}

}  // namespace
}  // namespace fdabnn
