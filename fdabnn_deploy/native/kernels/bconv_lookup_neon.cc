// Binary convolution with NEON by table look-up: 32 output channels by two pairs of pixels at a time, five taps a look-up.
//
// Five channels of one tap are an index w. The instruction TBL looks up, for 16 output channels at a time, the indices of the filters in
// the table of 32 bytes
//
//   T[w] = popcount(w ^ a) + 16 popcount(w ^ b)
//
// of the same five channels a and b of two pixels. Three look-ups are summed to Z (3 * 5 is what a nibble holds), then S += Z and
// H += Z >> 4, both modulo 256. H is the second pixel's count and S - 16 H the first one's while neither exceeds 255: 17 such sums. That
// makes seven operations for 480 multiply-accumulates, where counting takes more than eleven; but a core must have TBL of two registers in
// both of its vector units (arm_cores.h).
//
// A table is made once and serves all output channels and all taps that read its pixels. The pixels of a pair lie one above the other;
// those of an odd last row lie side by side. Tables are kept for the rows that one pair of output rows reads, and stay for the next pair.
#include "kernels/bconv_kernel.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/aligned_buffer.h"
#include "kernels/bconv_finish.h"
#include "kernels/inner_loop.h"

namespace fdabnn {
namespace {

using Byte = unsigned char;

constexpr int kLanes = 32;
constexpr int kTaps = 5;           // of a look-up
constexpr int kTable = 32;         // bytes
constexpr int kLimb = 64;          // channels that are split together
constexpr int kLimbGroups = 13;    // of five channels, the last has four
constexpr int kAtOnce = 3;         // look-ups that are summed
constexpr int kSumsPerFlush = 17;  // 17 * 15 <= 255
constexpr int kMaxTaps = 65535;    // 16-bit sums
constexpr int kMaxBlocks = 2;      // counted one after the other while a tile's tables are near
constexpr int kMaxColumns = 64;    // output pixels of a strip
constexpr int kUnused = 255;       // an index that no table has: TBL gives 0
constexpr int kMaxKernel = 16, kMaxStep = 8;
constexpr std::size_t kTableBytes = 192 << 10;  // of a strip, where that can be

struct alignas(kCacheLine) Entries {
  Byte of[1 << kTaps][kTable];
};

constexpr Entries MakeEntries(int factor) {
  Entries entries = {};
  for (int a = 0; a < 1 << kTaps; ++a) {
    for (int w = 0; w < kTable; ++w) {
      int count = 0;
      for (int bit = 0; bit < kTaps; ++bit) count += (a ^ w) >> bit & 1;
      entries.of[a][w] = static_cast<Byte>(factor * count);
    }
  }
  return entries;
}

constexpr Entries kFirst = MakeEntries(1), kSecond = MakeEntries(16);

int Groups(const BinaryConvParams& p) {
  const int channels = p.channels_in / p.groups;
  return channels / kLimb * kLimbGroups + (channels % kLimb + kTaps - 1) / kTaps;
}

// The taps of a filter in runs of such whose tables lie one behind the other.
struct Runs {
  int count, taps;
  int sums;  // of kAtOnce look-ups

  std::size_t bytes() const { return std::size_t{kLanes} * kAtOnce * sums; }
};

Runs RunsOf(const BinaryConvParams& p) {
  const bool adjacent = p.dilation_w == 1;
  const int count = adjacent ? p.kernel_h : p.kernel_h * p.kernel_w, taps = adjacent ? p.kernel_w : 1;
  return {count, taps, (taps * Groups(p) + kAtOnce - 1) / kAtOnce};
}

std::size_t BlockBytes(const BinaryConvParams& p) { return RunsOf(p).bytes() * RunsOf(p).count; }

std::size_t WeightBytes(const BinaryConvParams& p, const BconvShape& s) { return BlockBytes(p) * s.blocks * p.groups; }

// [block][run][group of five channels][lane].
void Pack(const BinaryConvParams& p, const BconvShape& s, const Word* filter, void* weights) {
  const Runs runs = RunsOf(p);
  const int channels = p.channels_in / p.groups;
  std::memset(weights, kUnused, WeightBytes(p, s));
  for (int c = 0; c < p.channels_out; ++c) {
    const std::size_t block = std::size_t{1} * (c / s.group_channels) * s.blocks + c % s.group_channels / kLanes;
    Byte* to = static_cast<Byte*>(weights) + block * BlockBytes(p) + c % s.group_channels % kLanes;
    for (int run = 0; run < runs.count; ++run, to += runs.bytes()) {
      Byte* place = to;
      for (int tap = 0; tap < runs.taps; ++tap, filter += s.words) {
        for (int limb = 0; limb < channels; limb += kLimb) {
          std::uint64_t bits = filter[limb / kWordBits];
          if (limb / kWordBits + 1 < s.words) bits |= std::uint64_t{filter[limb / kWordBits + 1]} << kWordBits;
          const int end = channels - limb < kLimb ? channels - limb : kLimb;
          for (int bit = 0; bit < end; bit += kTaps, place += kLanes) *place = static_cast<Byte>(bits >> bit & (kTable - 1));
        }
      }
    }
  }
}

// What a worker keeps: tables of the rows that a pair of output rows reads, [kernel_h][columns][groups]; sums of a strip,
// [kMaxBlocks][pairs][pixel][lane].
struct Layout {
  int columns;                     // output pixels of a strip's row, even
  std::size_t pixel, row, tables;  // bytes
  std::size_t block;               // sums
};

std::size_t TableColumns(const BinaryConvParams& p, int columns) {
  return std::size_t{1} * (columns - 1) * p.stride_w + (p.kernel_w - 1) * p.dilation_w + 1;
}

Layout LayoutOf(const BinaryConvParams& p, const BconvShape& s) {
  Layout l = {};
  l.pixel = std::size_t{kTable} * Groups(p);
  l.columns = s.out_w < kMaxColumns ? (s.out_w + 1) / 2 * 2 : kMaxColumns;
  while (l.columns > 8 && p.kernel_h * TableColumns(p, l.columns) * l.pixel > kTableBytes) l.columns -= 2;
  l.row = TableColumns(p, l.columns) * l.pixel;
  // The last look-ups of a run may read the tables behind it, to no effect.
  l.tables = RoundUp(p.kernel_h * l.row + kAtOnce * kTable, kCacheLine);
  l.block = std::size_t{2} * kLanes * l.columns;
  return l;
}

std::size_t WorkspaceBytes(const BinaryConvParams& p, const BconvShape& s) {
  const Layout l = LayoutOf(p, s);
  return l.tables + sizeof(std::uint16_t) * l.block * kMaxBlocks;
}

inline uint8x16x2_t LoadTable(const Byte* from) { return {{vld1q_u8(from), vld1q_u8(from + 16)}}; }

inline __attribute__((always_inline)) Byte* WriteTables(std::uint64_t a, std::uint64_t b, int groups, Byte* to) {
#pragma GCC unroll 13
  for (int g = 0; g < groups; ++g, to += kTable) {
    const uint8x16x2_t first = LoadTable(kFirst.of[a >> kTaps * g & (kTable - 1)]);
    const uint8x16x2_t second = LoadTable(kSecond.of[b >> kTaps * g & (kTable - 1)]);
    vst1q_u8(to, vaddq_u8(first.val[0], second.val[0]));
    vst1q_u8(to + 16, vaddq_u8(first.val[1], second.val[1]));
  }
  return to;
}

// 64 channels of a pixel, or the 32 that are left; what lies outside, null, is 0.
inline std::uint64_t Limb(const Word* pixel, int word, int words) {
  if (pixel == nullptr) return 0;
  std::uint64_t bits = pixel[word];
  if (word + 1 < words) bits |= std::uint64_t{pixel[word + 1]} << kWordBits;
  return bits;
}

// A row of the image; null outside of it.
const Word* RowAt(const BconvShape& s, const Word* image, std::ptrdiff_t y) {
  return 0 <= y && y < s.in_h ? image + y * s.in_w * s.in_words : nullptr;
}

// The tables of `columns` pixels from (y, x) on, each with the one that lies (down, right) of it. image: of the group.
void FillRow(const BinaryConvParams& p, const BconvShape& s, const Word* image, std::ptrdiff_t y, std::ptrdiff_t x, int down, int right,
             std::size_t columns, Byte* to) {
  const Word *const row = RowAt(s, image, y), *const below = RowAt(s, image, y + down);
  const int words = s.words, channels = p.channels_in / p.groups, limbs = channels / kLimb;
  const int rest = (channels % kLimb + kTaps - 1) / kTaps;
  const std::ptrdiff_t width = s.in_w, step = s.in_words;
  for (const std::ptrdiff_t end = x + static_cast<std::ptrdiff_t>(columns); x < end; ++x) {
    const Word* first = row && 0 <= x && x < width ? row + x * step : nullptr;
    const Word* second = below && 0 <= x + right && x + right < width ? below + (x + right) * step : nullptr;
    for (int i = 0; i < limbs; ++i) to = WriteTables(Limb(first, 2 * i, words), Limb(second, 2 * i, words), kLimbGroups, to);
    if (rest > 0) to = WriteTables(Limb(first, 2 * limbs, words), Limb(second, 2 * limbs, words), rest, to);
  }
}

inline void Flush(uint8x16_t s, uint8x16_t h, bool fresh, std::uint16_t* sums) {
  const uint8x16_t counts[2] = {vsubq_u8(s, vshlq_n_u8(h, 4)), h};
  for (int pixel = 0; pixel < 2; ++pixel, sums += kLanes) {
    uint16x8_t low = vmovl_u8(vget_low_u8(counts[pixel])), high = vmovl_high_u8(counts[pixel]);
    if (!fresh) {
      low = vaddw_u8(vld1q_u16(sums), vget_low_u8(counts[pixel]));
      high = vaddw_high_u8(vld1q_u16(sums + 8), counts[pixel]);
    }
    vst1q_u16(sums, low);
    vst1q_u16(sums + 8, high);
  }
}

}  // namespace

// Counts two pairs whose tables begin at `first` and `second`, count >= 1 times three look-ups. fresh: the sums, [pair][pixel][lane], hold
// nothing yet.
FDABNN_INNER_LOOP void fdabnn_neon_lookup(const Byte* first, const Byte* second, const Byte* weights, std::size_t count, bool fresh,
                                          std::uint16_t* sums) {
  constexpr int kPairs = 2, kVectors = kLanes / 16;
  const Byte* tables[kPairs] = {first, second};
  uint8x16_t s[kPairs][kVectors] = {}, h[kPairs][kVectors] = {};
  do {
    uint8x16_t index[kAtOnce][kVectors];
    for (int g = 0; g < kAtOnce; ++g) {
      for (int v = 0; v < kVectors; ++v, weights += 16) index[g][v] = vld1q_u8(weights);
    }
    for (int i = 0; i < kPairs; ++i) {
      const uint8x16x2_t t0 = LoadTable(tables[i]), t1 = LoadTable(tables[i] + kTable), t2 = LoadTable(tables[i] + 2 * kTable);
      tables[i] += kAtOnce * kTable;
      for (int v = 0; v < kVectors; ++v) {
        const uint8x16_t two = vaddq_u8(vqtbl2q_u8(t0, index[0][v]), vqtbl2q_u8(t1, index[1][v]));
        const uint8x16_t z = vaddq_u8(two, vqtbl2q_u8(t2, index[2][v]));
        s[i][v] = vaddq_u8(s[i][v], z);
        h[i][v] = vsraq_n_u8(h[i][v], z, 4);
      }
    }
  } while (--count > 0);
  for (int i = 0; i < kPairs; ++i) {
    for (int v = 0; v < kVectors; ++v) Flush(s[i][v], h[i][v], fresh, sums + 2 * kLanes * i + 16 * v);
  }
}

namespace {

// area: one row.
void FinishPacked(const Block& block, const Area& area, const std::uint16_t* counts, Word* to) {
  static constexpr std::uint8_t kBits[] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t bits = vld1q_u8(kBits);
  const std::size_t words = WordsFor(block.job->params->channels_out);
  uint16x8_t thresholds[4];  // no count exceeds kMaxTaps, and a negative threshold lies below every count
  uint16x8_t below[4];
  for (int q = 0; q < 4; ++q) {
    const std::int32_t* from = block.job->thresholds + block.lane + 8 * q;
    const int32x4_t low = vld1q_s32(from), high = vld1q_s32(from + 4);
    thresholds[q] = vcombine_u16(vqmovun_s32(low), vqmovun_s32(high));
    below[q] = vcombine_u16(vmovn_u32(vcltzq_s32(low)), vmovn_u32(vcltzq_s32(high)));
  }
  to += block.channel / kWordBits;
  for (int x = 0; x < area.columns; ++x, counts += area.step, to += words) {
    uint16x8_t larger[4];
    for (int q = 0; q < 4; ++q) larger[q] = vorrq_u16(vcgtq_u16(vld1q_u16(counts + 8 * q), thresholds[q]), below[q]);
    const uint8x16_t low = vuzp1q_u8(vreinterpretq_u8_u16(larger[0]), vreinterpretq_u8_u16(larger[1]));
    const uint8x16_t high = vuzp1q_u8(vreinterpretq_u8_u16(larger[2]), vreinterpretq_u8_u16(larger[3]));
    uint8x16_t joined = vpaddq_u8(vandq_u8(low, bits), vandq_u8(high, bits));
    joined = vpaddq_u8(joined, joined);
    joined = vpaddq_u8(joined, joined);
    *to = vgetq_lane_u32(vreinterpretq_u32_u8(joined), 0);
  }
}

// counts: of one row. output: where the band's first row goes.
void FinishRow(const Block& block, const Area& area, int begin, const std::uint16_t* counts, void* output) {
  const BconvJob& job = *block.job;
  const std::size_t place = (std::size_t{1} * (area.y - begin) * job.shape.out_w + area.x) * OutputElements(job);
  switch (job.finish) {
    case Finish::kFloat:
      return FinishFloat<kLanes>(block, area, counts, static_cast<float*>(output) + place);
    case Finish::kPacked:
      return FinishPacked(block, area, counts, static_cast<Word*>(output) + place);
    case Finish::kCounts:
      return FinishCounts<kLanes>(block, area, counts, static_cast<std::int32_t*>(output) + place);
  }
}

// What the pairs of a strip read.
struct Strip {
  const BinaryConvParams* params;
  const Layout* layout;
  const Byte* rows[kMaxKernel];  // the tables of the filter's rows
  std::size_t step;              // bytes from a pair's tables to the next one's
  int pairs;
};

void CountStrip(const Strip& strip, const Byte* weights, int blocks, std::uint16_t* sums) {
  const BinaryConvParams& p = *strip.params;
  const Runs runs = RunsOf(p);
  const int parts = (runs.sums + kSumsPerFlush - 1) / kSumsPerFlush, per_row = runs.count / p.kernel_h, pairs = strip.pairs;
  const std::size_t step = strip.step, block_bytes = runs.bytes() * runs.count, block_sums = strip.layout->block;
  for (int run = 0; run < runs.count; ++run) {
    const Byte* tables = strip.rows[run / per_row] + run % per_row * p.dilation_w * strip.layout->pixel;
    for (int part = 0; part < parts; ++part) {
      const std::size_t begin = runs.sums * part / parts, count = runs.sums * (part + 1) / parts - begin;
      const bool fresh = run == 0 && part == 0;
      const Byte* first = tables + begin * kAtOnce * kTable;
      const Byte* const index = weights + run * runs.bytes() + begin * kAtOnce * kLanes;
      std::uint16_t* to = sums;
      for (int i = 0; i < pairs; i += 2, first += 2 * step, to += 4 * kLanes) {
        const Byte* second = i + 1 < pairs ? first + step : first;
        for (int b = 0; b < blocks; ++b) fdabnn_neon_lookup(first, second, index + b * block_bytes, count, fresh, to + b * block_sums);
      }
    }
  }
}

void Run(const BconvJob& job, const Word* input, int begin, int end, void* output, void* workspace) {
  const BinaryConvParams& p = *job.params;
  const BconvShape& s = job.shape;
  const Layout l = LayoutOf(p, s);
  Byte* tables = static_cast<Byte*>(workspace);
  auto* sums = reinterpret_cast<std::uint16_t*>(tables + l.tables);
  for (int group = 0; group < p.groups; ++group) {
    const Word* image = input + std::ptrdiff_t{group} * s.words;
    for (int x = 0; x < s.out_w; x += l.columns) {
      const int columns = s.out_w - x < l.columns ? s.out_w - x : l.columns;
      std::ptrdiff_t stored[kMaxKernel];  // the row of the image whose tables a place holds
      for (int y = begin; y < end; y += 2) {
        const bool single = y + 1 == end;
        Strip strip = {&p, &l, {}, l.pixel * p.stride_w * (single ? 2 : 1), single ? (columns + 1) / 2 : columns};
        for (int ky = 0; ky < p.kernel_h; ++ky) {
          const std::ptrdiff_t row = std::ptrdiff_t{y} * p.stride_h + ky * p.dilation_h;
          const std::ptrdiff_t place = p.dilation_h == 1 ? row % p.kernel_h : ky;
          Byte* to = tables + place * l.row;
          strip.rows[ky] = to;
          if (y != begin && !single && stored[place] == row) continue;
          stored[place] = row;
          FillRow(p, s, image, row - s.pad_top, std::ptrdiff_t{x} * p.stride_w - s.pad_left, single ? 0 : p.stride_h,
                  single ? p.stride_w : 0, TableColumns(p, columns), to);
        }
        for (int b = 0; b < s.blocks; b += kMaxBlocks) {
          const std::size_t index = std::size_t{1} * group * s.blocks + b;
          const int blocks = s.blocks - b < kMaxBlocks ? s.blocks - b : kMaxBlocks;
          CountStrip(strip, static_cast<const Byte*>(job.weights) + index * BlockBytes(p), blocks, sums);
          for (int v = 0; v < blocks; ++v) {
            const int channel = (b + v) * kLanes, rest = s.group_channels - channel;
            const Block block = {&job, kLanes * (index + v), group * s.group_channels + channel, rest < kLanes ? rest : kLanes};
            const std::uint16_t* counts = sums + v * l.block;
            if (single) {
              FinishRow(block, {y, 1, x, columns, kLanes}, begin, counts, output);
            } else {
              FinishRow(block, {y, 1, x, columns, 2 * kLanes}, begin, counts, output);
              FinishRow(block, {y + 1, 1, x, columns, 2 * kLanes}, begin, counts + kLanes, output);
            }
          }
        }
      }
    }
  }
}

}  // namespace

bool BconvNeonLookupPays(const BinaryConvParams& p) {
  const std::int64_t taps = std::int64_t{p.kernel_h} * p.kernel_w * (p.channels_in / p.groups);
  if (taps > kMaxTaps || p.kernel_h > kMaxKernel || p.kernel_w > kMaxKernel) return false;
  if (p.stride_h > kMaxStep || p.stride_w > kMaxStep || p.dilation_h > kMaxStep || p.dilation_w > kMaxStep) return false;
  // Of two pixels and all channels of a group, in operations, two a cycle: seven for three look-ups of 16 channels, the flushes, and what
  // it takes to make the tables, against three for 128 taps and their reduction.
  const Runs runs = RunsOf(p);
  const std::int64_t channels = p.channels_out / p.groups, vectors = (channels + kLanes - 1) / kLanes * (kLanes / 16);
  const std::int64_t flushes = (runs.sums + kSumsPerFlush - 1) / kSumsPerFlush;
  const std::int64_t rows = p.dilation_h == 1 && p.kernel_h > 2 * p.stride_h ? 2 * p.stride_h : p.kernel_h;
  const std::int64_t lookup = runs.count * (7 * runs.sums + 6 * flushes) * vectors + 5 * rows * p.stride_w * Groups(p);
  const std::int64_t plain = 2 * channels * (3 * ((taps + 63) / 64) / 2 + 1);
  return lookup < plain;
}

const BconvKernel* BconvNeonLookup() {
  static const BconvKernel kernel = {kLanes, kMaxTaps, WeightBytes, Pack, WorkspaceBytes, Run};
  return &kernel;
}

}  // namespace fdabnn

#endif
