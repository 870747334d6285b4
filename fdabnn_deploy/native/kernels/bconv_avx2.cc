// Binary convolution with AVX2: popcounts by table look-up, 32 output channels in a vector, two output pixels in every byte.
//
// Four channels of one tap are a nibble. A shuffle looks up, for 32 output channels at a time, the nibble w of the weights in the table
//
//   T[w] = popcount(w ^ a) + 16 popcount(w ^ b)
//
// of the nibbles a and b of two pixels; the 256 tables stand ready. The bytes of three look-ups are summed to Z (a nibble holds 3 * 4),
// then S += Z and H += (Z as 16-bit words) >> 4. All modulo 256, of the two bytes (lo, hi) of a word:
//
//   H.hi = b.hi,  S.hi = a.hi + 16 b.hi,  H.lo = b.lo + 16 a.hi,  S.lo = a.lo + 16 b.lo
//
// for the four sums, which follow one from another while they are at most 255: `kWordsPerFlush` words are.
//
// The pixels of a pair lie one above the other, so that rows of odd width waste nothing; those of an odd last row lie side by side.
// Pairs are counted in strips: all pairs of a strip with one part of the filter, then with the next, so that the weights, eight times as
// large as packed ones, come from the first level of the cache whatever the size of the filter.
#include "kernels/bconv_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#include "kernels/aligned_buffer.h"
#include "kernels/epilogue.h"
#include "kernels/vectors_avx2.h"

namespace fdabnn {
namespace {

constexpr int kLanes = 32;
constexpr int kNibbles = 8;        // of a word
constexpr int kWordsPerFlush = 7;  // 7 * 32 <= 255
constexpr int kMaxBlocks = 2;      // counted together, of two pairs: S and H take half of the registers
constexpr int kMaxPairs = 32;      // of a strip
constexpr int kPairBytes = 16;     // of a word of a pair: where the tables of nibbles 0 4 1 5 2 6 3 7 begin, each as 16 bits
constexpr int kMaxTaps = 65534;    // 16-bit sums, and a limit above them all
constexpr std::size_t kBandBytes = 256 << 10;

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

// Of a pair and a block: the first pixel's channels 0-7 and 16-23 in [0], 8-15 and 24-31 in [1], the second one's in [2] and [3].
struct Sums {
  __m256i of[4];
};

std::size_t TapWords(const BinaryConvParams& p, const BconvShape& s) { return std::size_t{1} * p.kernel_h * p.kernel_w * s.words; }
std::size_t BlockBytes(const BinaryConvParams& p, const BconvShape& s) { return TapWords(p, s) * kNibbles * kLanes; }
std::size_t WeightBytes(const BinaryConvParams& p, const BconvShape& s) { return BlockBytes(p, s) * s.blocks * p.groups; }

// Of the blocks from `first`, a multiple of kMaxBlocks.
int BlocksAtOnce(const BconvShape& s, int first) { return s.blocks - first < kMaxBlocks ? s.blocks - first : kMaxBlocks; }

// [group][blocks / kMaxBlocks][words of the filter][nibble][blocks at once][lane], a byte per nibble.
void Pack(const BinaryConvParams& p, const BconvShape& s, const Word* filter, void* weights) {
  std::memset(weights, 0, WeightBytes(p, s));
  for (int c = 0; c < p.channels_out; ++c) {
    const int group = c / s.group_channels, block = c % s.group_channels / kLanes, lane = c % s.group_channels % kLanes;
    const int first = block / kMaxBlocks * kMaxBlocks, step = BlocksAtOnce(s, first) * kLanes;
    std::uint8_t* to = static_cast<std::uint8_t*>(weights) + (std::size_t{1} * group * s.blocks + first) * BlockBytes(p, s);
    to += (block - first) * kLanes + (lane / 16 * 8 + lane % 8) * 2 + lane / 8 % 2;
    for (std::size_t t = 0; t < TapWords(p, s); ++t, ++filter) {
      for (int n = 0; n < kNibbles; ++n, to += step) *to = *filter >> (n % 2 * 16 + n / 2 * 4) & 15;
    }
  }
}

int InputRows(const BinaryConvParams& p, int out_rows) { return (out_rows - 1) * p.stride_h + (p.kernel_h - 1) * p.dilation_h + 1; }

// What a band reads of the image: [rows][columns][words], padding written out.
struct Band {
  int rows;
  std::size_t columns, row_words, plane_bytes, pair_bytes;
};

Band BandOf(const BinaryConvParams& p, const BconvShape& s, int out_rows) {
  constexpr std::size_t kVector = 8;  // words
  const int rows = InputRows(p, out_rows);
  const std::size_t columns = std::size_t{1} * (s.out_w - 1) * p.stride_w + (p.kernel_w - 1) * p.dilation_w + 1;
  const std::size_t row_words = columns * s.words, words = rows * row_words;
  // The pixels beside those of the last row reach into one row more.
  return {rows, columns, row_words, RoundUp((words + row_words + kVector) * sizeof(Word), kCacheLine),
          RoundUp((words + kVector) * kPairBytes, kCacheLine)};
}

// Output rows of the bands; even, or the whole image.
int BandHeight(const BinaryConvParams& p, const BconvShape& s) {
  int height = 2;
  for (; height < s.out_h; height += 2) {
    const Band next = BandOf(p, s, height + 2);
    if (next.plane_bytes + next.pair_bytes > kBandBytes) break;
  }
  return height < s.out_h ? height : s.out_h;
}

std::size_t WorkspaceBytes(const BinaryConvParams& p, const BconvShape& s) {
  const Band band = BandOf(p, s, BandHeight(p, s));
  return band.plane_bytes + band.pair_bytes + sizeof(std::ptrdiff_t) * TapWords(p, s);
}

void FillPlane(const BinaryConvParams& p, const BconvShape& s, const Band& band, const Word* input, int group, int first_out_row,
               Word* plane) {
  std::memset(plane, 0, band.plane_bytes);
  const std::size_t room = band.columns - s.pad_left, in_w = s.in_w, columns = room < in_w ? room : in_w;
  for (int r = 0; r < band.rows; ++r) {
    const std::ptrdiff_t in_row = first_out_row * p.stride_h - s.pad_top + r;
    if (in_row < 0 || in_row >= s.in_h) continue;
    const Word* from = input + (in_row * s.in_w * p.groups + group) * s.words;
    Word* to = plane + (r * band.columns + s.pad_left) * s.words;
    if (p.groups == 1) {
      std::memcpy(to, from, columns * s.words * sizeof(Word));
      continue;
    }
    for (std::size_t x = 0; x < columns; ++x, from += s.in_words, to += s.words) {
      for (int w = 0; w < s.words; ++w) to[w] = from[w];
    }
  }
}

inline __m256i Load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

void PairWords(const Word* first, const Word* second, std::size_t count, std::uint8_t* pairs) {
  const __m256i low = _mm256_set1_epi32(0x000f000f);
  for (std::size_t i = 0; i < count; i += 8, pairs += 8 * kPairBytes) {
    const __m256i a = Load(first + i), b = Load(second + i);
    __m256i n[4];  // of nibbles k and k + 4
    for (int k = 0; k < 4; ++k) {
      n[k] = _mm256_or_si256(_mm256_slli_epi32(_mm256_and_si256(_mm256_srli_epi32(a, 4 * k), low), 4),
                             _mm256_slli_epi32(_mm256_and_si256(_mm256_srli_epi32(b, 4 * k), low), 8));
    }
    const __m256i low01 = _mm256_unpacklo_epi32(n[0], n[1]), high01 = _mm256_unpackhi_epi32(n[0], n[1]);
    const __m256i low23 = _mm256_unpacklo_epi32(n[2], n[3]), high23 = _mm256_unpackhi_epi32(n[2], n[3]);
    // Words k and k + 4.
    const __m256i words[4] = {_mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
                              _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
    for (int k = 0; k < 4; ++k) {
      _mm_store_si128(reinterpret_cast<__m128i*>(pairs) + k, _mm256_castsi256_si128(words[k]));
      _mm_store_si128(reinterpret_cast<__m128i*>(pairs) + k + 4, _mm256_extracti128_si256(words[k], 1));
    }
  }
}

inline __m256i TableAt(std::uint16_t place) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(kTables.entry[0] + place)));
}

inline void Flush(__m256i s, __m256i h, bool fresh, Sums* sums) {
  const __m256i low = _mm256_set1_epi16(255);
  const __m256i b_high = _mm256_srli_epi16(h, 8);
  const __m256i a_high = _mm256_srli_epi16(_mm256_sub_epi16(s, _mm256_slli_epi16(b_high, 12)), 8);
  const __m256i b_low = _mm256_and_si256(_mm256_sub_epi16(h, _mm256_slli_epi16(a_high, 4)), low);
  const __m256i a_low = _mm256_and_si256(_mm256_sub_epi16(s, _mm256_slli_epi16(b_low, 4)), low);
  const __m256i counts[4] = {a_low, a_high, b_low, b_high};
  for (int k = 0; k < 4; ++k) sums->of[k] = fresh ? counts[k] : _mm256_add_epi16(sums->of[k], counts[k]);
}

// Counts `Pairs` pairs, `step` bytes apart, with at most kWordsPerFlush words of the filter. fresh: the sums hold nothing yet.
template <int Pairs, int Blocks>
inline __attribute__((always_inline)) void Count(const std::uint8_t* pairs, std::ptrdiff_t step, const std::ptrdiff_t* offsets,
                                                 std::size_t words, const std::uint8_t* weights, bool fresh, Sums* sums) {
  __m256i s[Pairs][Blocks], h[Pairs][Blocks];
  for (int i = 0; i < Pairs; ++i) {
    for (int v = 0; v < Blocks; ++v) s[i][v] = h[i][v] = _mm256_setzero_si256();
  }
  for (std::size_t t = 0; t < words; ++t, weights += kNibbles * Blocks * kLanes) {
    const std::uint8_t* first = pairs + offsets[t];
#pragma GCC unroll 3
    for (int n = 0; n < kNibbles; n += 3) {
      // All pairs share the weights of three nibbles; compilers that read more of them ahead push the sums out of the 16 registers.
      asm volatile("" ::: "memory");
#pragma GCC unroll 4
      for (int i = 0; i < Pairs; ++i) {
        const auto* table = reinterpret_cast<const std::uint16_t*>(first + i * step) + n;
        const bool three = n + 2 < kNibbles;
        const __m256i t0 = TableAt(table[0]), t1 = TableAt(table[1]), t2 = TableAt(table[three ? 2 : 1]);
#pragma GCC unroll 2
        for (int v = 0; v < Blocks; ++v) {
          const std::uint8_t* w = weights + (n * Blocks + v) * kLanes;
          __m256i z = _mm256_add_epi8(_mm256_shuffle_epi8(t0, Load(w)), _mm256_shuffle_epi8(t1, Load(w + Blocks * kLanes)));
          if (three) z = _mm256_add_epi8(z, _mm256_shuffle_epi8(t2, Load(w + 2 * Blocks * kLanes)));
          s[i][v] = _mm256_add_epi8(s[i][v], z);
          h[i][v] = _mm256_add_epi8(h[i][v], _mm256_srli_epi16(z, 4));
        }
      }
    }
  }
  for (int i = 0; i < Pairs; ++i) {
    for (int v = 0; v < Blocks; ++v) Flush(s[i][v], h[i][v], fresh, &sums[i * Blocks + v]);
  }
}

// sums: [count][Blocks].
template <int Blocks>
void CountStrip(const std::uint8_t* pairs, std::ptrdiff_t step, int count, const std::ptrdiff_t* offsets, std::size_t words,
                const std::uint8_t* weights, Sums* sums) {
  constexpr int kPairs = 4 / Blocks;
  bool fresh = true;
  for (std::size_t parts = (words + kWordsPerFlush - 1) / kWordsPerFlush; parts > 0; --parts, fresh = false) {
    const std::size_t part = words / parts;
    int i = 0;
    for (; i + kPairs <= count; i += kPairs) {
      Count<kPairs, Blocks>(pairs + i * step, step, offsets, part, weights, fresh, sums + i * Blocks);
    }
    for (; i < count; ++i) Count<1, Blocks>(pairs + i * step, step, offsets, part, weights, fresh, sums + i * Blocks);
    offsets += part;
    words -= part;
    weights += part * kNibbles * Blocks * kLanes;
  }
}

// `count` pixels of an output row, `step` columns apart, and a block of their channels.
struct Target {
  const BconvJob* job;
  void* row;
  int y, x, step, count;
  int group, block;

  std::size_t block_index() const { return std::size_t{1} * group * job->shape.blocks + block; }
};

// Eight channels of a pixel as int32.
inline __m256i Eight(const __m256i* sums, int eighth) {
  return _mm256_cvtepu16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(sums + eighth % 2) + eighth / 2));
}

// The first `channels` of the block's.
template <bool Doubled>
inline void WritePixel(const BconvJob& job, const __m256i* sums, std::size_t lane, const float* correction, int channels, float* to) {
  Floats y[kLanes / kSide];
  for (int h = 0; h < kLanes / kSide; ++h, lane += kSide) {
    const __m256i counts[2] = {Eight(sums, 2 * h), Eight(sums, 2 * h + 1)};
    const auto multiplier = Load<Floats>((Doubled ? job.doubled : job.multiplier) + lane), bias = Load<Floats>(job.bias + lane);
    y[h] = BconvValue<Doubled>(job, Load<Ints>(counts), multiplier, bias);
    if (correction) y[h] = y[h] + Load<Floats>(correction + lane);
  }
#pragma GCC unroll 2
  for (int h = 0; h < kLanes / kSide; ++h) {
    if (channels > kSide * h) StoreFirst<Avx2Vectors>(to + kSide * h, y[h], Least(channels - kSide * h, kSide));
  }
}

template <bool Doubled>
void WriteFloat(const Target& t, const __m256i* sums, std::ptrdiff_t sums_step) {
  const BconvJob& job = *t.job;
  const BconvShape& s = job.shape;
  const std::size_t lane = t.block_index() * kLanes;
  const int channels = s.group_channels - t.block * kLanes;
  const std::ptrdiff_t all_channels = job.params->channels_out;
  const RowCorrection corrections = CorrectionsOf(job, t.y);
  float* to = static_cast<float*>(t.row) + t.x * all_channels + t.group * s.group_channels + t.block * kLanes;
  for (int i = 0, x = t.x; i < t.count; ++i, x += t.step, to += t.step * all_channels, sums += sums_step) {
    if (const float* correction = corrections.At(x)) {
      WritePixel<Doubled>(job, sums, lane, correction, channels, to);
    } else {
      WritePixel<Doubled>(job, sums, lane, nullptr, channels, to);
    }
  }
}

void WritePacked(const Target& t, const __m256i* sums, std::ptrdiff_t sums_step) {
  __m256i limits[4];  // p > threshold as p >= limit in 16 bits: no sum reaches 65535
  for (int q = 0; q < 4; ++q) {
    const __m256i thresholds = Load(t.job->thresholds + t.block_index() * kLanes + 8 * q);
    limits[q] = _mm256_add_epi32(_mm256_min_epi32(thresholds, _mm256_set1_epi32(kMaxTaps)), _mm256_set1_epi32(1));
  }
  const __m256i limit0 = _mm256_permute4x64_epi64(_mm256_packus_epi32(limits[0], limits[2]), 0xd8);
  const __m256i limit1 = _mm256_permute4x64_epi64(_mm256_packus_epi32(limits[1], limits[3]), 0xd8);
  const std::ptrdiff_t words = WordsFor(t.job->params->channels_out);
  Word* to = static_cast<Word*>(t.row) + t.x * words + t.block_index();
  for (int i = 0; i < t.count; ++i, to += t.step * words, sums += sums_step) {
    const __m256i bits0 = _mm256_cmpeq_epi16(_mm256_max_epu16(sums[0], limit0), sums[0]);
    const __m256i bits1 = _mm256_cmpeq_epi16(_mm256_max_epu16(sums[1], limit1), sums[1]);
    *to = static_cast<Word>(_mm256_movemask_epi8(_mm256_packs_epi16(bits0, bits1)));
  }
}

void WriteCounts(const Target& t, const __m256i* sums, std::ptrdiff_t sums_step) {
  const std::ptrdiff_t lanes = t.job->shape.counts;
  std::int32_t* to = static_cast<std::int32_t*>(t.row) + t.x * lanes + t.block_index() * kLanes;
  for (int i = 0; i < t.count; ++i, to += t.step * lanes, sums += sums_step) {
    for (int q = 0; q < 4; ++q) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8 * q), Eight(sums, q));
  }
}

using Writer = void (*)(const Target& target, const __m256i* sums, std::ptrdiff_t sums_step);

Writer WriterFor(const BconvJob& job) {
  if (job.finish == Finish::kCounts) return WriteCounts;
  if (job.finish == Finish::kPacked) return WritePacked;
  return job.doubled ? WriteFloat<true> : WriteFloat<false>;
}

// The output rows y and y + 1, or y alone, `single`, for as many blocks as are counted together. row: where y goes.
void RunRows(const BconvJob& job, const std::uint8_t* pairs, const std::ptrdiff_t* offsets, int y, bool single, char* row,
             std::size_t row_bytes, int group, int block) {
  const BinaryConvParams& p = *job.params;
  const BconvShape& s = job.shape;
  const int columns = single ? 2 : 1, count = (s.out_w + columns - 1) / columns, blocks = BlocksAtOnce(s, block);
  const int strips = (count + kMaxPairs - 1) / kMaxPairs, strip = (count + strips - 1) / strips;
  const std::ptrdiff_t step = std::ptrdiff_t{kPairBytes} * columns * p.stride_w * s.words;
  const auto* weights = static_cast<const std::uint8_t*>(job.weights) + (std::size_t{1} * group * s.blocks + block) * BlockBytes(p, s);
  const auto count_strip = blocks == 2 ? CountStrip<2> : CountStrip<1>;
  const Writer write = WriterFor(job);
  Sums sums[kMaxPairs * kMaxBlocks];
  for (int i = 0; i < count; i += strip) {
    const int pixels = count - i < strip ? count - i : strip;
    count_strip(pairs + i * step, step, pixels, offsets, TapWords(p, s), weights, sums);
    Target first = {&job, row, y, i * columns, columns, pixels, group, block}, second = first;
    if (single) {
      ++second.x;
      if (second.x + 2 * (pixels - 1) >= s.out_w) --second.count;
    } else {
      ++second.y;
      second.row = row + row_bytes;
    }
    for (int v = 0; v < blocks; ++v, ++first.block, ++second.block) {
      write(first, sums[v].of, blocks * 4);
      write(second, sums[v].of + 2, blocks * 4);
    }
  }
}

void Run(const BconvJob& job, const Word* input, int begin, int end, void* output, void* workspace) {
  const BinaryConvParams& p = *job.params;
  const BconvShape& s = job.shape;
  const int height = BandHeight(p, s);
  const Band highest = BandOf(p, s, height);
  auto* plane = static_cast<Word*>(workspace);
  auto* pairs = static_cast<std::uint8_t*>(workspace) + highest.plane_bytes;
  auto* offsets = reinterpret_cast<std::ptrdiff_t*>(pairs + highest.pair_bytes);
  for (std::size_t ky = 0, t = 0; ky < static_cast<std::size_t>(p.kernel_h); ++ky) {
    for (std::size_t kx = 0; kx < static_cast<std::size_t>(p.kernel_w); ++kx) {
      const std::size_t place = (ky * p.dilation_h * highest.columns + kx * p.dilation_w) * s.words;
      for (int w = 0; w < s.words; ++w) offsets[t++] = kPairBytes * static_cast<std::ptrdiff_t>(place + w);
    }
  }
  const std::size_t row_bytes = sizeof(Word) * s.out_w * OutputElements(job);
  for (int first = begin; first < end; first += height) {
    const int rows = end - first < height ? end - first : height, even_rows = rows / 2 * 2;
    const Band band = BandOf(p, s, rows);
    for (int group = 0; group < p.groups; ++group) {
      FillPlane(p, s, band, input, group, first, plane);
      const auto run = [&](int from, int to, bool single) {
        const std::size_t stride = p.stride_h * band.row_words;
        const Word* words = plane + from * stride;
        const std::size_t second = !single ? stride : s.out_w > 1 ? std::size_t{1} * p.stride_w * s.words : 0;
        PairWords(words, words + second, InputRows(p, single ? 1 : to - from - 1) * band.row_words, pairs);
        for (int block = 0; block < s.blocks; block += kMaxBlocks) {
          for (int y = from; y < to; y += 2) {
            char* row = static_cast<char*>(output) + row_bytes * (first - begin + y);
            RunRows(job, pairs + kPairBytes * (y - from) * stride, offsets, first + y, single, row, row_bytes, group, block);
          }
        }
      };
      if (even_rows > 0) run(0, even_rows, false);
      if (even_rows < rows) run(even_rows, rows, true);
    }
  }
}

}  // namespace

const BconvKernel* BconvAvx2() {
  static const BconvKernel kernel = {kLanes, kMaxTaps, WeightBytes, Pack, WorkspaceBytes, Run};
  return &kernel;
}

}  // namespace fdabnn

#endif
