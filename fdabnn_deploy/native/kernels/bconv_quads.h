// What kernels share whose register holds many taps of one output channel: blocks of four channels, the loops around the counting and the
// finishing. In an anonymous namespace, because files of different instruction sets compile it.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/bconv_kernel.h"
#include "kernels/bconv_strips.h"

namespace fdabnn {
namespace {

constexpr int kQuad = 4;

using Counts = std::int32_t __attribute__((vector_size(16)));
using Values = float __attribute__((vector_size(16)));

template <typename Vector>
inline Vector LoadQuad(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

// A block to finish: counts [pixels][kQuad].
struct Quad {
  const BconvJob* job;
  int block;    // of all groups
  int channel;  // the first one
  int valid;    // channels, the others are neutral
};

inline void FinishFloat(const Quad& q, const std::int32_t* counts, int y, std::size_t rows, float* to) {
  const BconvJob& job = *q.job;
  const std::size_t lane = std::size_t{kQuad} * q.block, all = std::size_t{kQuad} * job.shape.blocks * job.params->groups;
  const Values multiplier = LoadQuad<Values>((job.doubled ? job.doubled : job.multiplier) + lane), bias = LoadQuad<Values>(job.bias + lane);
  const Counts low = Counts{} + job.clamp_min, high = Counts{} + job.clamp_max;
  to += q.channel;
  for (std::size_t row = 0; row < rows; ++row, ++y) {
    const float* correction = nullptr;
    if (job.correction) correction = job.correction + std::size_t{1} * job.row_class[y] * job.column_classes * all + lane;
    for (int x = 0; x < job.shape.out_w; ++x, to += job.params->channels_out) {
      Counts count = LoadQuad<Counts>(counts);
      counts += kQuad;
      if (!job.doubled) {
        count += count;
        count = count < high ? count : high;
        count = count > low ? count : low;
      }
      Values value = __builtin_convertvector(count, Values) * multiplier;
      value += bias;
      // Class 0 of rows and columns adds nothing.
      if (correction && (job.row_class[y] | job.column_class[x])) value += LoadQuad<Values>(correction + job.column_class[x] * all);
      if (q.valid == kQuad) {
        std::memcpy(to, &value, sizeof value);
      } else {
        for (int c = 0; c < q.valid; ++c) to[c] = value[c];
      }
    }
  }
}

template <typename Isa>
inline void FinishPacked(const Quad& q, const std::int32_t* counts, std::size_t pixels, Word* to) {
  const Counts thresholds = LoadQuad<Counts>(q.job->thresholds + std::size_t{kQuad} * q.block);
  const int words = WordsFor(q.job->params->channels_out), shift = q.channel % kWordBits;
  to += q.channel / kWordBits;
  for (; pixels > 0; --pixels, counts += kQuad, to += words) {
    const Word bits = Isa::Mask(LoadQuad<Counts>(counts) > thresholds) << shift;
    // Blocks come in the order of their channels.
    *to = shift ? *to | bits : bits;
  }
}

inline void FinishCounts(const Quad& q, const std::int32_t* counts, std::size_t pixels, std::int32_t* to) {
  const std::size_t all = std::size_t{kQuad} * q.job->shape.blocks * q.job->params->groups;
  to += std::size_t{kQuad} * q.block;
  for (; pixels > 0; --pixels, counts += kQuad, to += all) std::memcpy(to, counts, sizeof(Counts));
}

// Counts a row's pixels, P at a time, what is left with fewer.
template <typename Isa, int P>
inline void CountRow(const Byte* strip, const std::ptrdiff_t* offsets, int pixels, const typename Isa::Unit* weights, std::size_t units,
                     typename Isa::Unit last, std::int32_t* counts) {
  for (; pixels >= P; pixels -= P, offsets += P, counts += P * kQuad) Isa::template Count<P>(strip, offsets, weights, units, last, counts);
  if constexpr (P > 1) CountRow<Isa, P / 2>(strip, offsets, pixels, weights, units, last, counts);
}

// Isa: Unit, a register of taps; kPixels, how many pixels it counts at a time, a power of two; and
//   Unit FirstBytes(n)       its first n bytes set, the others 0
//   Word Mask(Counts)        bit i: the sign of value i
//   void Count<P>(strip, offsets, weights, units, last, counts)
//                            counts[i][c]: p of patch strip + offsets[i] and weights[units][c]; `last` masks a patch's last unit
template <typename Isa>
struct QuadKernel {
  using Unit = typename Isa::Unit;

  static std::size_t Units(const StripLayout& l) { return (l.patch + sizeof(Unit) - 1) / sizeof(Unit); }

  static std::size_t WeightBytes(const BconvParams& p, const BconvShape& s) {
    return sizeof(Unit) * kQuad * Units(StripLayoutOf(p, s)) * s.blocks * p.groups;
  }

  static void Pack(const BconvParams& p, const BconvShape& s, const Word* filter, void* weights) {
    const StripLayout l = StripLayoutOf(p, s);
    const std::size_t units = Units(l);
    AlignedBuffer patch(units * sizeof(Unit));
    std::memset(patch.as<Byte>(), 0, units * sizeof(Unit));
    std::memset(weights, 0, WeightBytes(p, s));
    for (int c = 0; c < p.channels_out; ++c, filter += std::size_t{1} * p.kernel_h * p.kernel_w * s.words) {
      FillPatch(p, s, l, filter, patch.as<Byte>());
      const int block = c / s.group_channels * s.blocks + c % s.group_channels / kQuad, lane = c % s.group_channels % kQuad;
      Byte* to = static_cast<Byte*>(weights) + sizeof(Unit) * (kQuad * units * block + lane);
      for (std::size_t u = 0; u < units; ++u) std::memcpy(to + sizeof(Unit) * kQuad * u, patch.as<Unit>() + u, sizeof(Unit));
    }
  }

  // Rows whose strips and counts stay in the first level of the cache, at least one.
  static std::size_t BandRows(const BconvShape& s, const StripLayout& l) {
    constexpr std::size_t kBytes = 16 << 10;
    const std::size_t rows = kBytes / (l.strip + sizeof(Counts) * s.out_w);
    return rows < 1 ? 1 : rows < static_cast<std::size_t>(s.out_h) ? rows : s.out_h;
  }

  static std::size_t CountBytes(const BconvShape& s, std::size_t rows) { return RoundUp(sizeof(Counts) * rows * s.out_w, kCacheLine); }

  static std::size_t OffsetBytes(const BconvShape& s) { return RoundUp(sizeof(std::ptrdiff_t) * s.out_w, kCacheLine); }

  // A patch's last unit may reach behind the strips.
  static std::size_t WorkspaceBytes(const BconvParams& p, const BconvShape& s) {
    const StripLayout l = StripLayoutOf(p, s);
    const std::size_t rows = BandRows(s, l);
    return CountBytes(s, rows) + OffsetBytes(s) + rows * l.strip + sizeof(Unit);
  }

  static void Run(const BconvJob& job, const Word* input, int begin, int end, void* output, void* workspace) {
    const BconvParams& p = *job.params;
    const BconvShape& s = job.shape;
    const StripLayout l = StripLayoutOf(p, s);
    const std::size_t units = Units(l), height = BandRows(s, l);
    auto* counts = static_cast<std::int32_t*>(workspace);
    auto* offsets = reinterpret_cast<std::ptrdiff_t*>(static_cast<Byte*>(workspace) + CountBytes(s, height));
    Byte* strips = reinterpret_cast<Byte*>(offsets) + OffsetBytes(s);
    std::memset(strips + height * l.strip, 0, sizeof(Unit));
    SetPatchOffsets(p, s, l, offsets);
    const Unit last = Isa::FirstBytes(l.patch - (units - 1) * sizeof(Unit));
    const std::size_t pixel = job.finish == Finish::kFloat    ? p.channels_out
                              : job.finish == Finish::kPacked ? WordsFor(p.channels_out)
                                                              : kQuad * s.blocks * p.groups;
    for (int first = begin; first < end; first += static_cast<int>(height)) {
      const std::size_t left = end - first, rows = left < height ? left : height;
      const std::size_t to = std::size_t{1} * (first - begin) * s.out_w * pixel;
      for (int group = 0; group < p.groups; ++group) {
        for (std::size_t row = 0; row < rows; ++row) {
          FillStrip(p, s, l, input, group, first + static_cast<int>(row), strips + row * l.strip);
        }
        for (int block = 0; block < s.blocks; ++block) {
          const int channel = block * kQuad, rest = s.group_channels - channel;
          const Quad quad = {&job, group * s.blocks + block, group * s.group_channels + channel, rest < kQuad ? rest : kQuad};
          const Unit* weights = static_cast<const Unit*>(job.weights) + kQuad * units * quad.block;
          for (std::size_t row = 0; row < rows; ++row) {
            CountRow<Isa, Isa::kPixels>(strips + row * l.strip, offsets, s.out_w, weights, units, last, counts + kQuad * row * s.out_w);
          }
          switch (job.finish) {
            case Finish::kFloat:
              FinishFloat(quad, counts, first, rows, static_cast<float*>(output) + to);
              break;
            case Finish::kPacked:
              FinishPacked<Isa>(quad, counts, rows * s.out_w, static_cast<Word*>(output) + to);
              break;
            case Finish::kCounts:
              FinishCounts(quad, counts, rows * s.out_w, static_cast<std::int32_t*>(output) + to);
          }
        }
      }
    }
  }

  static const BconvKernel* Get() {
    static const BconvKernel kernel = {kQuad, INT_MAX, WeightBytes, Pack, WorkspaceBytes, Run};
    return &kernel;
  }
};

}  // namespace
}  // namespace fdabnn
