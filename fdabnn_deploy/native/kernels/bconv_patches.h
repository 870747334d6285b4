// What kernels share whose register holds many taps of one output channel: the loops around the counting, and the finishing. In an
// anonymous namespace, because files of different instruction sets compile it.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/bconv_finish.h"
#include "kernels/bconv_kernel.h"
#include "kernels/bconv_strips.h"

namespace fdabnn {
namespace {

template <typename Isa>
inline void FinishPacked(const Block& block, const std::int32_t* counts, std::size_t pixels, Word* to) {
  constexpr int kQuads = Isa::kLanes / kQuad;
  const int words = WordsFor(block.job->params->channels_out), shift = block.channel % kWordBits;
  Counts thresholds[kQuads];
  for (int q = 0; q < kQuads; ++q) thresholds[q] = Load<Counts>(block.job->thresholds + block.lane + q * kQuad);
  to += block.channel / kWordBits;
  for (; pixels > 0; --pixels, counts += Isa::kLanes, to += words) {
    const Word bits = Isa::Larger(counts, thresholds);
    // Blocks come in the order of their channels, and none goes beyond a word.
    *to = shift ? *to | bits << shift : bits;
  }
}

// Counts pixels, P at a time, what is left with fewer.
template <typename Isa, int P>
inline void CountPixels(const Byte* strips, const std::ptrdiff_t* offsets, std::size_t pixels, const typename Isa::Unit* weights,
                        std::size_t units, typename Isa::Tail tail, int channels, std::int32_t* counts) {
  for (; pixels >= P; pixels -= P, offsets += P, counts += P * Isa::kLanes) {
    Isa::template Count<P>(strips, offsets, weights, units, tail, channels, counts);
  }
  if constexpr (P > 1) CountPixels<Isa, P / 2>(strips, offsets, pixels, weights, units, tail, channels, counts);
}

// Isa: Unit, a register of taps; kLanes, 8 or 16; kChannels, how many of them are counted at a time; kPixels, how many pixels are, a power
// of two; and
//   Tail TailOf(n)           what it needs to know of a patch's last unit, of which n bytes are the patch's
//   void PackTail(tail, w)   brings the weights of the last unit, Unit[kChannels], into the order that it wants
//   Word Larger(counts, t)   bit i: counts[i] > t[i / 4][i % 4]
//   void Count<P>(strips, offsets, weights, units, tail, channels, counts)
//                            counts[i][c]: p of the patch strips + offsets[i] and weights[c / kChannels][units][c % kChannels], where
//                            c < channels
template <typename Isa>
struct PatchKernel {
  using Unit = typename Isa::Unit;

  static constexpr int kLanes = Isa::kLanes, kChannels = Isa::kChannels;

  static std::size_t Units(const StripLayout& l) { return (l.patch + sizeof(Unit) - 1) / sizeof(Unit); }

  static typename Isa::Tail TailOf(const StripLayout& l) { return Isa::TailOf(l.patch - (Units(l) - 1) * sizeof(Unit)); }

  static std::size_t WeightBytes(const BinaryConvParams& p, const BconvShape& s) {
    return sizeof(Unit) * kLanes * Units(StripLayoutOf(p, s)) * s.blocks * p.groups;
  }

  static void Pack(const BinaryConvParams& p, const BconvShape& s, const Word* filter, void* weights) {
    const StripLayout l = StripLayoutOf(p, s);
    const std::size_t units = Units(l);
    AlignedBuffer patch(units * sizeof(Unit));
    std::memset(patch.as<Byte>(), 0, units * sizeof(Unit));
    std::memset(weights, 0, WeightBytes(p, s));
    for (int c = 0; c < p.channels_out; ++c, filter += std::size_t{1} * p.kernel_h * p.kernel_w * s.words) {
      FillPatch(p, s, l, filter, patch.as<Byte>());
      const int block = c / s.group_channels * s.blocks + c % s.group_channels / kLanes, lane = c % s.group_channels % kLanes;
      Unit* to = static_cast<Unit*>(weights) + units * (kLanes * block + lane / kChannels * kChannels) + lane % kChannels;
      for (std::size_t u = 0; u < units; ++u) to[kChannels * u] = patch.as<Unit>()[u];
    }
    const int parts = kLanes / kChannels * s.blocks * p.groups;
    for (int i = 1; i <= parts; ++i) Isa::PackTail(TailOf(l), static_cast<Unit*>(weights) + kChannels * (units * i - 1));
  }

  static std::size_t CountBytes(const BconvShape& s, std::size_t rows) {
    return RoundUp(sizeof(std::int32_t) * kLanes * rows * s.out_w, kCacheLine);
  }

  static std::size_t OffsetBytes(const BconvShape& s, std::size_t rows) {
    return RoundUp(sizeof(std::ptrdiff_t) * rows * s.out_w, kCacheLine);
  }

  // Rows whose strips and counts stay in the first level of the cache, at least one.
  static std::size_t BandRows(const BconvShape& s, const StripLayout& l) {
    constexpr std::size_t kBytes = 16 << 10;
    const std::size_t rows = kBytes / (l.strip + CountBytes(s, 1));
    return rows < 1 ? 1 : rows < static_cast<std::size_t>(s.out_h) ? rows : s.out_h;
  }

  // A patch's last unit may reach behind the strips.
  static std::size_t WorkspaceBytes(const BinaryConvParams& p, const BconvShape& s) {
    const StripLayout l = StripLayoutOf(p, s);
    const std::size_t rows = BandRows(s, l);
    return CountBytes(s, rows) + OffsetBytes(s, rows) + rows * l.strip + sizeof(Unit);
  }

  static void Run(const BconvJob& job, const Word* input, int begin, int end, void* output, void* workspace) {
    const BinaryConvParams& p = *job.params;
    const BconvShape& s = job.shape;
    const StripLayout l = StripLayoutOf(p, s);
    const std::size_t units = Units(l), height = BandRows(s, l), pixel = OutputElements(job);
    auto* counts = static_cast<std::int32_t*>(workspace);
    auto* offsets = reinterpret_cast<std::ptrdiff_t*>(static_cast<Byte*>(workspace) + CountBytes(s, height));
    Byte* strips = reinterpret_cast<Byte*>(offsets) + OffsetBytes(s, height);
    std::memset(strips + height * l.strip, 0, sizeof(Unit));
    SetPatchOffsets(p, s, l, height, offsets);
    const typename Isa::Tail tail = TailOf(l);
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
          const Block block = {&job, kLanes * index, group * s.group_channels + channel, rest < kLanes ? rest : kLanes};
          const Unit* weights = static_cast<const Unit*>(job.weights) + kLanes * units * index;
          CountPixels<Isa, Isa::kPixels>(strips, offsets, rows * s.out_w, weights, units, tail, block.valid, counts);
          const Area area = {first, static_cast<int>(rows), 0, s.out_w, kLanes};
          switch (job.finish) {
            case Finish::kFloat:
              FinishFloat<kLanes>(block, area, counts, static_cast<float*>(output) + to);
              break;
            case Finish::kPacked:
              FinishPacked<Isa>(block, counts, rows * s.out_w, static_cast<Word*>(output) + to);
              break;
            case Finish::kCounts:
              FinishCounts<kLanes>(block, area, counts, static_cast<std::int32_t*>(output) + to);
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
