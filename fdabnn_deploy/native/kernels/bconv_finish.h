// The finishing that kernels share which leave the counts of a block of output channels in memory. In an anonymous namespace, because files
// of different instruction sets compile it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/epilogue.h"

namespace fdabnn {
namespace {

constexpr int kQuad = 4;  // values of a vector, whatever the lanes

using Counts = std::int32_t __attribute__((vector_size(16)));
using Values = float __attribute__((vector_size(16)));

inline Counts LoadCounts(const std::int32_t* from) { return Load<Counts>(from); }

inline Counts LoadCounts(const std::uint16_t* from) {
  using Halves = std::uint16_t __attribute__((vector_size(8)));
  return __builtin_convertvector(Load<Halves>(from), Counts);
}

// A block of output channels to finish.
struct Block {
  const BconvJob* job;
  std::size_t lane;  // the first one, of all groups
  int channel;       // the first one
  int valid;         // channels, the other lanes are neutral
};

// The output pixels whose counts there are: row by row, `step` counts from a pixel to the next.
struct Area {
  int y, rows, x, columns;
  std::size_t step;
};

// A channel's factors and offsets.
template <int Lanes>
struct Scales {
  Values multiplier[Lanes / kQuad], bias[Lanes / kQuad];
};

template <int Lanes, bool Doubled, typename Count>
inline void FinishArea(const Block& block, const Area& area, const Count* counts, float* to) {
  constexpr int kQuads = Lanes / kQuad;
  const BconvJob& job = *block.job;
  const std::size_t channels = job.params->channels_out, skipped = channels * (job.shape.out_w - area.columns);
  Scales<Lanes> scales;
  for (int q = 0; q < kQuads; ++q) {
    scales.multiplier[q] = Load<Values>((Doubled ? job.doubled : job.multiplier) + block.lane + q * kQuad);
    scales.bias[q] = Load<Values>(job.bias + block.lane + q * kQuad);
  }
  const std::size_t step = area.step;
  const int begin = area.x, end = area.x + area.columns, valid = block.valid;
  to += block.channel;
  for (int y = area.y; y < area.y + area.rows; ++y, to += skipped) {
    const RowCorrection corrections = CorrectionsOf(job, y);
    for (int x = begin; x < end; ++x, counts += step, to += channels) {
      Values values[kQuads];
      for (int q = 0; q < kQuads; ++q) {
        values[q] = BconvValue<Doubled>(job, LoadCounts(counts + q * kQuad), scales.multiplier[q], scales.bias[q]);
      }
      if (const float* correction = corrections.At(x)) {
        for (int q = 0; q < kQuads; ++q) values[q] += Load<Values>(correction + block.lane + q * kQuad);
      }
      if (valid == Lanes) {
        std::memcpy(to, values, sizeof values);
      } else {
        // A copy: values that are reached by an index could not stay in registers.
        float copy[Lanes];
        std::memcpy(copy, values, sizeof values);
        for (int c = 0; c < valid; ++c) to[c] = copy[c];
      }
    }
  }
}

// to: the first pixel's first channel of all.
template <int Lanes, typename Count>
inline void FinishFloat(const Block& block, const Area& area, const Count* counts, float* to) {
  if (block.job->doubled) {
    FinishArea<Lanes, true>(block, area, counts, to);
  } else {
    FinishArea<Lanes, false>(block, area, counts, to);
  }
}

// to: the first pixel's first lane of all.
template <int Lanes, typename Count>
inline void FinishCounts(const Block& block, const Area& area, const Count* counts, std::int32_t* to) {
  const std::size_t all = block.job->shape.counts;
  to += block.lane;
  for (int row = 0; row < area.rows; ++row, to += all * (block.job->shape.out_w - area.columns)) {
    for (int x = 0; x < area.columns; ++x, counts += area.step, to += all) {
      for (int q = 0; q < Lanes; q += kQuad) {
        const Counts quad = LoadCounts(counts + q);
        std::memcpy(to + q, &quad, sizeof quad);
      }
    }
  }
}

}  // namespace
}  // namespace fdabnn
