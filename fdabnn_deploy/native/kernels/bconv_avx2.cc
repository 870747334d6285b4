// Binary convolution with AVX2: popcounts by table look-up, 32 output channels in a vector, two output pixels in every byte.
//
// Four channels of one tap are a nibble. A shuffle looks up, for 32 output channels at a time, the nibble w of the weights in the table
//
//   T[w] = popcount(w ^ a) + 16 popcount(w ^ b)
//
// of the nibbles a and b of two neighbouring pixels; the 256 tables stand ready. The bytes of three look-ups are summed to Z (a nibble
// holds 3 * 4), then S += Z as bytes and H += Z >> 4 as 16-bit words. All modulo 256, of the two bytes (lo, hi) of a word:
//
//   H.hi = b.hi,  S.hi = a.hi + 16 b.hi,  H.lo = b.lo + 16 a.hi,  S.lo = a.lo + 16 b.lo
//
// for the four sums, which follow one from another while they are at most 255: `kWordsPerFlush` words are.
#include <climits>

#include "kernels/bconv_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/bconv_planes.h"

namespace fdabnn {
namespace {

constexpr int kLanes = 32;
constexpr int kNibbles = 8;        // of a word
constexpr int kWordsPerFlush = 7;  // 7 * 32 <= 255
constexpr int kPairs = 2;          // pixel pairs of a tile
constexpr int kMaxTaps = 65535;    // 16-bit sums
constexpr int kPlanes = 3;         // the words, and the table numbers of their even and odd nibbles

struct alignas(16) Tables {
  std::uint8_t entry[256][16];
};

constexpr int Bits(int nibble) { return (nibble & 1) + (nibble >> 1 & 1) + (nibble >> 2 & 1) + (nibble >> 3 & 1); }

constexpr Tables MakeTables() {
  Tables tables = {};
  for (int pair = 0; pair < 256; ++pair) {
    for (int w = 0; w < 16; ++w) tables.entry[pair][w] = static_cast<std::uint8_t>(Bits(w ^ (pair & 15)) + 16 * Bits(w ^ pair >> 4));
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

std::size_t TapWords(const BconvParams& p, const BconvShape& s) { return std::size_t{1} * p.kernel_h * p.kernel_w * s.words; }

std::size_t BlockBytes(const BconvParams& p, const BconvShape& s) { return TapWords(p, s) * kNibbles * kLanes; }

std::size_t WeightBytes(const BconvParams& p, const BconvShape& s) { return BlockBytes(p, s) * s.blocks * p.groups; }

// A byte per nibble and channel; of a word the even nibbles come first, as in the planes.
void Pack(const BconvParams& p, const BconvShape& s, const Word* filter, void* weights) {
  std::memset(weights, 0, WeightBytes(p, s));
  for (int c = 0; c < p.channels_out; ++c) {
    const int block = c / s.group_channels * s.blocks + c % s.group_channels / kLanes, lane = c % s.group_channels % kLanes;
    std::uint8_t* to = static_cast<std::uint8_t*>(weights) + block * BlockBytes(p, s) + lane;
    for (std::size_t t = 0; t < TapWords(p, s); ++t, ++filter) {
      for (int n = 0; n < kNibbles; ++n, to += kLanes) *to = *filter >> 4 * (n < 4 ? 2 * n : 2 * n - 7) & 15;
    }
  }
}

std::size_t PlaneBytes(const BconvParams& p, const BconvShape& s) {
  return RoundUp(sizeof(Word) * BandOf(p, s, BandRows(p, s, kPlanes)).words(s), kCacheLine);
}

std::size_t WorkspaceBytes(const BconvParams& p, const BconvShape& s) {
  return PlaneBytes(p, s) * kPlanes + sizeof(std::ptrdiff_t) * TapWords(p, s);
}

struct Source {
  const Word* even;
  const Word* odd;
  const std::ptrdiff_t* offsets;  // of every word of the filter, from an output pixel's first tap
  std::size_t words;
  std::size_t block;  // bytes of a block's weights
};

struct Target {
  const BconvJob* job;
  void* row;
  int y, x;
  int group, block;
};

// Sums of two pixels, 32 channels each: 16-bit, channels 0-7 and 16-23 in [0], 8-15 and 24-31 in [1].
struct Sums {
  __m256i first[2], second[2];
};

inline __m256i TableOf(std::uint8_t pair) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(kTables.entry[pair])));
}

inline __m256i LookUp(__m256i table, const std::uint8_t* weights) {
  return _mm256_shuffle_epi8(table, _mm256_load_si256(reinterpret_cast<const __m256i*>(weights)));
}

inline void Flush(__m256i s, __m256i h, Sums* sums) {
  const __m256i high = _mm256_set1_epi16(static_cast<short>(0xff00)), nibbles = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
  // a.hi in the high bytes, S.lo in the low ones.
  const __m256i a_high = _mm256_sub_epi8(s, _mm256_slli_epi16(_mm256_and_si256(h, high), 4));
  const __m256i b = _mm256_sub_epi8(h, _mm256_andnot_si256(high, _mm256_slli_epi16(_mm256_srli_epi16(a_high, 8), 4)));
  const __m256i a = _mm256_sub_epi8(s, _mm256_slli_epi16(_mm256_and_si256(b, nibbles), 4));
  sums->first[0] = _mm256_add_epi16(sums->first[0], _mm256_unpacklo_epi8(a, zero));
  sums->first[1] = _mm256_add_epi16(sums->first[1], _mm256_unpackhi_epi8(a, zero));
  sums->second[0] = _mm256_add_epi16(sums->second[0], _mm256_unpacklo_epi8(b, zero));
  sums->second[1] = _mm256_add_epi16(sums->second[1], _mm256_unpackhi_epi8(b, zero));
}

// `Pairs` pixel pairs and `Blocks` blocks of channels. step: columns from a pair to the next.
template <int Pairs, int Blocks>
inline __attribute__((always_inline)) void Count(const Source& source, std::ptrdiff_t place, std::ptrdiff_t step,
                                                 const std::uint8_t* weights, Sums (*sums)[Blocks]) {
  for (int i = 0; i < Pairs; ++i) {
    for (int v = 0; v < Blocks; ++v) sums[i][v] = {};
  }
  for (std::size_t begin = 0; begin < source.words; begin += kWordsPerFlush) {
    const std::size_t end = begin + kWordsPerFlush < source.words ? begin + kWordsPerFlush : source.words;
    __m256i s[Pairs][Blocks], h[Pairs][Blocks];
    for (int i = 0; i < Pairs; ++i) {
      for (int v = 0; v < Blocks; ++v) s[i][v] = h[i][v] = _mm256_setzero_si256();
    }
    for (std::size_t t = begin; t < end; ++t, weights += kNibbles * kLanes) {
#pragma GCC unroll 2
      for (int i = 0; i < Pairs; ++i) {
        // Weights are read again for every pair: compilers that keep them push the sums out of the 16 registers.
        asm volatile("" ::: "memory");
        const std::ptrdiff_t word = place + source.offsets[t] + i * step;
        const std::uint8_t* even = reinterpret_cast<const std::uint8_t*>(source.even + word);
        const std::uint8_t* odd = reinterpret_cast<const std::uint8_t*>(source.odd + word);
#pragma GCC unroll 3
        for (int third = 0; third < 3; ++third) {
          const int n = 3 * third;  // nibbles n to n + 2; the last third has two
          const __m256i t0 = TableOf(n < 4 ? even[n] : odd[n - 4]), t1 = TableOf(n + 1 < 4 ? even[n + 1] : odd[n - 3]);
          const __m256i t2 = third < 2 ? TableOf(n + 2 < 4 ? even[n + 2] : odd[n - 2]) : t1;
#pragma GCC unroll 2
          for (int v = 0; v < Blocks; ++v) {
            const std::uint8_t* w = weights + v * source.block + n * kLanes;
            __m256i z = _mm256_add_epi8(LookUp(t0, w), LookUp(t1, w + kLanes));
            if (third < 2) z = _mm256_add_epi8(z, LookUp(t2, w + 2 * kLanes));
            s[i][v] = _mm256_add_epi8(s[i][v], z);
            h[i][v] = _mm256_add_epi8(h[i][v], _mm256_srli_epi16(z, 4));
          }
        }
      }
    }
    for (int i = 0; i < Pairs; ++i) {
      for (int v = 0; v < Blocks; ++v) Flush(s[i][v], h[i][v], &sums[i][v]);
    }
  }
}

// Eight channels as int32.
inline __m256i Eight(const __m256i* sums, int eighth) {
  const __m256i part = sums[eighth % 2];
  return _mm256_cvtepu16_epi32(eighth < 2 ? _mm256_castsi256_si128(part) : _mm256_extracti128_si256(part, 1));
}

// Of the first `count` of eight lanes.
inline __m256i FirstLanes(int count) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }

inline void WriteFloat(const Target& t, int x, const __m256i* sums) {
  const BconvJob& job = *t.job;
  const BconvShape& s = job.shape;
  const std::size_t lane = std::size_t{kLanes} * (t.group * s.blocks + t.block), all = std::size_t{kLanes} * s.blocks * job.params->groups;
  float* to = static_cast<float*>(t.row) + std::size_t{1} * x * job.params->channels_out + t.group * s.group_channels + t.block * kLanes;
  const int kind = job.correction ? job.row_class[t.y] * job.column_classes + job.column_class[x] : 0;
  const float* multiplier = (job.doubled ? job.doubled : job.multiplier) + lane;
  for (int q = 0, left = s.group_channels - t.block * kLanes; q < 4 && left > 0; ++q, left -= 8) {
    __m256i p = Eight(sums, q);
    if (!job.doubled) {
      p = _mm256_min_epi32(_mm256_add_epi32(p, p), _mm256_set1_epi32(job.clamp_max));
      p = _mm256_max_epi32(p, _mm256_set1_epi32(job.clamp_min));
    }
    __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(p), _mm256_loadu_ps(multiplier + 8 * q));
    y = _mm256_add_ps(y, _mm256_loadu_ps(job.bias + lane + 8 * q));
    if (kind) y = _mm256_add_ps(y, _mm256_loadu_ps(job.correction + kind * all + lane + 8 * q));
    if (left >= 8) {
      _mm256_storeu_ps(to + 8 * q, y);
    } else {
      _mm256_maskstore_ps(to + 8 * q, FirstLanes(left), y);
    }
  }
}

inline void WritePacked(const Target& t, int x, const __m256i* sums) {
  const BconvJob& job = *t.job;
  const int block = t.group * job.shape.blocks + t.block;
  const std::int32_t* thresholds = job.thresholds + std::size_t{kLanes} * block;
  Word bits = 0;
  for (int q = 0; q < 4; ++q) {
    const __m256i limit = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(thresholds + 8 * q));
    bits |= static_cast<Word>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(Eight(sums, q), limit)))) << 8 * q;
  }
  static_cast<Word*>(t.row)[std::size_t{1} * x * WordsFor(job.params->channels_out) + block] = bits;
}

inline void WriteCounts(const Target& t, int x, const __m256i* sums) {
  const BconvShape& s = t.job->shape;
  std::int32_t* to = static_cast<std::int32_t*>(t.row) +
                     std::size_t{kLanes} * (std::size_t{1} * x * s.blocks * t.job->params->groups + t.group * s.blocks + t.block);
  for (int q = 0; q < 4; ++q) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8 * q), Eight(sums, q));
}

inline void Write(const Target& t, int x, const __m256i* sums) {
  if (x >= t.job->shape.out_w) return;  // the second pixel of an odd row's last pair
  switch (t.job->finish) {
    case Finish::kFloat:
      WriteFloat(t, x, sums);
      break;
    case Finish::kPacked:
      WritePacked(t, x, sums);
      break;
    case Finish::kCounts:
      WriteCounts(t, x, sums);
  }
}

template <int Pairs, int Blocks>
void RunTile(const Source& source, std::ptrdiff_t place, Target target) {
  Sums sums[Pairs][Blocks];
  const BconvShape& s = target.job->shape;
  const auto* weights = static_cast<const std::uint8_t*>(target.job->weights) + (target.group * s.blocks + target.block) * source.block;
  Count<Pairs, Blocks>(source, place, std::ptrdiff_t{2} * target.job->params->stride_w, weights, sums);
  for (int v = 0; v < Blocks; ++v, ++target.block) {
    for (int i = 0; i < Pairs; ++i) {
      Write(target, target.x + 2 * i, sums[i][v].first);
      Write(target, target.x + 2 * i + 1, sums[i][v].second);
    }
  }
}

// The table numbers of pairs of pixels `stride` columns apart: four even nibbles of both in a word, four odd ones in another.
void PreparePairs(const BconvParams& p, const BconvShape& s, const Band& band, const Word* plane, Word* even, Word* odd) {
  const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(band.words(s)), stride = p.stride_w;
  const Word low = 0x0f0f0f0f;
  std::ptrdiff_t i = 0;
  for (; i < size - stride; ++i) {
    const Word a = plane[i], b = plane[i + stride];
    even[i] = (a & low) | (b & low) << 4;
    odd[i] = (a >> 4 & low) | (b & ~low);
  }
  // Here no second pixel is of use.
  for (; i < size; ++i) {
    even[i] = plane[i] & low;
    odd[i] = plane[i] >> 4 & low;
  }
}

void Run(const BconvJob& job, const Word* input, int begin, int end, void* output, void* workspace) {
  const BconvParams& p = *job.params;
  const BconvShape& s = job.shape;
  const int height = BandRows(p, s, kPlanes);
  const std::size_t plane_bytes = PlaneBytes(p, s);
  Word* planes[kPlanes];
  for (int i = 0; i < kPlanes; ++i) planes[i] = reinterpret_cast<Word*>(static_cast<char*>(workspace) + i * plane_bytes);
  auto* offsets = reinterpret_cast<std::ptrdiff_t*>(static_cast<char*>(workspace) + kPlanes * plane_bytes);
  const Source source = {planes[1], planes[2], offsets, TapWords(p, s), BlockBytes(p, s)};
  const std::ptrdiff_t pitch = BandWidth(p, s);
  for (int ky = 0; ky < p.kernel_h; ++ky) {
    for (int kx = 0; kx < p.kernel_w; ++kx) {
      for (int w = 0; w < s.words; ++w) *offsets++ = (std::ptrdiff_t{1} * ky * p.dilation_h * s.words + w) * pitch + kx * p.dilation_w;
    }
  }
  const int unit = job.finish == Finish::kFloat    ? p.channels_out
                   : job.finish == Finish::kPacked ? WordsFor(p.channels_out)
                                                   : kLanes * s.blocks * p.groups;
  for (int first = begin; first < end; first += height) {
    const int last = first + height < end ? first + height : end;
    const Band band = BandOf(p, s, last - first);
    for (int group = 0; group < p.groups; ++group) {
      FillPlane(p, s, band, input, group, first, planes[0]);
      PreparePairs(p, s, band, planes[0], planes[1], planes[2]);
      // Weights outside: they are eight times as large as packed ones.
      for (int block = 0; block < s.blocks; block += 2) {
        for (int y = first; y < last; ++y) {
          const std::ptrdiff_t place = std::ptrdiff_t{1} * (y - first) * p.stride_h * s.words * pitch;
          void* row = static_cast<Word*>(output) + std::size_t{1} * (y - begin) * s.out_w * unit;
          for (int x = 0; x < s.out_w; x += 2 * kPairs) {
            const bool whole = x + 2 < s.out_w, two = block + 1 < s.blocks;
            const auto tile = whole ? (two ? RunTile<kPairs, 2> : RunTile<kPairs, 1>) : (two ? RunTile<1, 2> : RunTile<1, 1>);
            tile(source, place + std::ptrdiff_t{1} * x * p.stride_w, {&job, row, y, x, group, block});
          }
        }
      }
    }
  }
}

}  // namespace

const BconvKernel* BconvAvx2() {
  static const BconvKernel kernel = {kLanes, kMaxTaps, WeightBytes, Pack, WorkspaceBytes, Run};
  return &kernel;
}

}  // namespace fdabnn

#else

namespace fdabnn {

const BconvKernel* BconvAvx2() { return nullptr; }

}  // namespace fdabnn

#endif
