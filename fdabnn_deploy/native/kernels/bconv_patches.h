// What kernels share whose register holds many taps of one output channel: the loops around the counting, and the finishing. In an
// anonymous namespace, because files of different instruction sets compile it.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/bconv_kernel.h"
#include "kernels/bconv_strips.h"

namespace fdabnn {
namespace {

constexpr int kQuad = 4;  // values of a vector, whatever the lanes

using Counts = std::int32_t __attribute__((vector_size(16)));
using Values = float __attribute__((vector_size(16)));

template <typename Vector>
inline Vector LoadQuad(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

// A block of output channels to finish; its counts are [pixels][lanes].
struct Block {
  const BconvJob* job;
  std::size_t lane;  // the first one, of all groups
  std::size_t all;   // lanes of all groups
  int channel;       // the first one
  int valid;         // channels, the other lanes are neutral
};

template <int Lanes>
inline void FinishFloat(const Block& block, const std::int32_t* counts, int y, std::size_t rows, float* to) {
  constexpr int kQuads = Lanes / kQuad;
  const BconvJob& job = *block.job;
  const Counts low = Counts{} + job.clamp_min, high = Counts{} + job.clamp_max;
  Values multiplier[kQuads], bias[kQuads];
  for (int q = 0; q < kQuads; ++q) {
    multiplier[q] = LoadQuad<Values>((job.doubled ? job.doubled : job.multiplier) + block.lane + q * kQuad);
    bias[q] = LoadQuad<Values>(job.bias + block.lane + q * kQuad);
  }
  to += block.channel;
  for (std::size_t row = 0; row < rows; ++row, ++y) {
    for (int x = 0; x < job.shape.out_w; ++x, counts += Lanes, to += job.params->channels_out) {
      const std::int32_t kind = job.correction ? job.row_class[y] * job.column_classes + job.column_class[x] : 0;
      Values values[kQuads];
      for (int q = 0; q < kQuads; ++q) {
        Counts count = LoadQuad<Counts>(counts + q * kQuad);
        if (!job.doubled) {
          count += count;
          count = count < high ? count : high;
          count = count > low ? count : low;
        }
        values[q] = __builtin_convertvector(count, Values) * multiplier[q];
        values[q] += bias[q];
        if (kind) values[q] += LoadQuad<Values>(job.correction + kind * block.all + block.lane + q * kQuad);
      }
      if (block.valid == Lanes) {
        std::memcpy(to, values, sizeof values);
      } else {
        for (int c = 0; c < block.valid; ++c) to[c] = values[c / kQuad][c % kQuad];
      }
    }
  }
}

template <typename Isa>
inline void FinishPacked(const Block& block, const std::int32_t* counts, std::size_t pixels, Word* to) {
  constexpr int kQuads = Isa::kLanes / kQuad;
  const int words = WordsFor(block.job->params->channels_out), shift = block.channel % kWordBits;
  Counts thresholds[kQuads];
  for (int q = 0; q < kQuads; ++q) thresholds[q] = LoadQuad<Counts>(block.job->thresholds + block.lane + q * kQuad);
  to += block.channel / kWordBits;
  for (; pixels > 0; --pixels, counts += Isa::kLanes, to += words) {
    Word bits = 0;
    for (int q = 0; q < kQuads; ++q) bits |= Isa::Mask(LoadQuad<Counts>(counts + q * kQuad) > thresholds[q]) << (q * kQuad);
    // Blocks come in the order of their channels, and none goes beyond a word.
    *to = shift ? *to | bits << shift : bits;
  }
}

template <int Lanes>
inline void FinishCounts(const Block& block, const std::int32_t* counts, std::size_t pixels, std::int32_t* to) {
  for (to += block.lane; pixels > 0; --pixels, counts += Lanes, to += block.all) std::memcpy(to, counts, sizeof *to * Lanes);
}

// Counts a row's pixels, P at a time, what is left with fewer.
template <typename Isa, int P>
inline void CountRow(const Byte* strip, const std::ptrdiff_t* offsets, int pixels, const typename Isa::Unit* weights, std::size_t units,
                     typename Isa::Unit last, std::int32_t* counts) {
  for (; pixels >= P; pixels -= P, offsets += P, counts += P * Isa::kLanes) {
    Isa::template Count<P>(strip, offsets, weights, units, last, counts);
  }
  if constexpr (P > 1) CountRow<Isa, P / 2>(strip, offsets, pixels, weights, units, last, counts);
}

// Isa: Unit, a register of taps; kLanes, 4 or 8; kPixels, how many pixels are counted at a time, a power of two; and
//   Unit FirstBytes(n)       its first n bytes set, the others 0
//   Word Mask(Counts)        bit i: the sign of value i
//   void Count<P>(strip, offsets, weights, units, last, counts)
//                            counts[i][c]: p of patch strip + offsets[i] and weights[units][c]; `last` masks a patch's last unit
template <typename Isa>
struct PatchKernel {
  using Unit = typename Isa::Unit;

  static constexpr int kLanes = Isa::kLanes;

  static std::size_t Units(const StripLayout& l) { return (l.patch + sizeof(Unit) - 1) / sizeof(Unit); }

  static std::size_t WeightBytes(const BconvParams& p, const BconvShape& s) {
    return sizeof(Unit) * kLanes * Units(StripLayoutOf(p, s)) * s.blocks * p.groups;
  }

  static void Pack(const BconvParams& p, const BconvShape& s, const Word* filter, void* weights) {
    const StripLayout l = StripLayoutOf(p, s);
    const std::size_t units = Units(l);
    AlignedBuffer patch(units * sizeof(Unit));
    std::memset(patch.as<Byte>(), 0, units * sizeof(Unit));
    std::memset(weights, 0, WeightBytes(p, s));
    for (int c = 0; c < p.channels_out; ++c, filter += std::size_t{1} * p.kernel_h * p.kernel_w * s.words) {
      FillPatch(p, s, l, filter, patch.as<Byte>());
      const int block = c / s.group_channels * s.blocks + c % s.group_channels / kLanes, lane = c % s.group_channels % kLanes;
      Unit* to = static_cast<Unit*>(weights) + kLanes * units * block + lane;
      for (std::size_t u = 0; u < units; ++u) to[kLanes * u] = patch.as<Unit>()[u];
    }
  }

  static std::size_t CountBytes(const BconvShape& s, std::size_t rows) {
    return RoundUp(sizeof(std::int32_t) * kLanes * rows * s.out_w, kCacheLine);
  }

  static std::size_t OffsetBytes(const BconvShape& s) { return RoundUp(sizeof(std::ptrdiff_t) * s.out_w, kCacheLine); }

  // Rows whose strips and counts stay in the first level of the cache, at least one.
  static std::size_t BandRows(const BconvShape& s, const StripLayout& l) {
    constexpr std::size_t kBytes = 16 << 10;
    const std::size_t rows = kBytes / (l.strip + CountBytes(s, 1));
    return rows < 1 ? 1 : rows < static_cast<std::size_t>(s.out_h) ? rows : s.out_h;
  }

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
    const std::size_t units = Units(l), height = BandRows(s, l), all = std::size_t{kLanes} * s.blocks * p.groups;
    auto* counts = static_cast<std::int32_t*>(workspace);
    auto* offsets = reinterpret_cast<std::ptrdiff_t*>(static_cast<Byte*>(workspace) + CountBytes(s, height));
    Byte* strips = reinterpret_cast<Byte*>(offsets) + OffsetBytes(s);
    std::memset(strips + height * l.strip, 0, sizeof(Unit));
    SetPatchOffsets(p, s, l, offsets);
    const Unit last = Isa::FirstBytes(l.patch - (units - 1) * sizeof(Unit));
    const std::size_t pixel = job.finish == Finish::kFloat    ? p.channels_out
                              : job.finish == Finish::kPacked ? WordsFor(p.channels_out)
                                                              : all;
    for (int first = begin; first < end; first += static_cast<int>(height)) {
      const std::size_t left = end - first, rows = left < height ? left : height;
      const std::size_t to = std::size_t{1} * (first - begin) * s.out_w * pixel;
      for (int group = 0; group < p.groups; ++group) {
        for (std::size_t row = 0; row < rows; ++row) {
          FillStrip(p, s, l, input, group, first + static_cast<int>(row), strips + row * l.strip);
        }
        for (int b = 0; b < s.blocks; ++b) {
          const std::size_t index = std::size_t{1} * group * s.blocks + b;
          const int channel = b * kLanes, rest = s.group_channels - channel;
          const Block block = {&job, kLanes * index, all, group * s.group_channels + channel, rest < kLanes ? rest : kLanes};
          const Unit* weights = static_cast<const Unit*>(job.weights) + kLanes * units * index;
          for (std::size_t row = 0; row < rows; ++row) {
            CountRow<Isa, Isa::kPixels>(strips + row * l.strip, offsets, s.out_w, weights, units, last, counts + kLanes * row * s.out_w);
          }
          switch (job.finish) {
            case Finish::kFloat:
              FinishFloat<kLanes>(block, counts, first, rows, static_cast<float*>(output) + to);
              break;
            case Finish::kPacked:
              FinishPacked<Isa>(block, counts, rows * s.out_w, static_cast<Word*>(output) + to);
              break;
            case Finish::kCounts:
              FinishCounts<kLanes>(block, counts, rows * s.out_w, static_cast<std::int32_t*>(output) + to);
          }
        }
      }
    }
  }

  static const BconvKernel* Get() {
    static const BconvKernel kernel = {kLanes, INT_MAX, WeightBytes, Pack, WorkspaceBytes, Run};
    return &kernel;
  }
};

}  // namespace
}  // namespace fdabnn
