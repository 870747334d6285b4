// The inner loops of bconv_avx512.cc: a tile is 16 pixels of a row by a vector of 16 output channels, 8 by two of them, or 4 by four.
//
// Activations are read by broadcasts of a word, which wait for a load port that a neighbour on the same core may be using too; with four
// vectors per tile each of them serves four times.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/epilogue.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/vectors_avx512.h"

namespace fdabnn {
namespace {

constexpr int kLanes = 16;
constexpr int kTile = 16;      // sums of a tile, all in registers
constexpr int kAndXor = 0x60;  // a & (b ^ c)
constexpr int kXor3 = 0x96;    // a ^ b ^ c

// What is counted: carries twice, words once. Weights are stored by block: three vectors for each carry, then one for each word.
struct Source {
  const Word* plane;
  // From a pixel's first tap in `plane`: x1 ^ x2, x2 ^ x3 and x2 of a carry, and the words.
  const std::ptrdiff_t* carry_offsets;
  const std::ptrdiff_t* word_offsets;
  std::size_t carries;
  std::size_t words;

  std::size_t vectors() const { return 3 * carries + words; }
};

// Where a tile's results go.
struct Target {
  const BconvJob* job;
  void* row;  // of the output
  int y, x;   // first pixel
  int group;
  int begin, end;  // blocks of the group
  bool inside;     // no pixel has taps outside of a zero-padded image
};

inline __m512i Broadcast(const Word* word) { return _mm512_set1_epi32(static_cast<int>(*word)); }

// weights, next: of the first block, and from there to the second one.
template <int P, int V, bool First>
inline __attribute__((always_inline)) void CountCarry(const __m512i* weights, std::size_t next, const Word* place,
                                                      const std::ptrdiff_t* offsets, std::ptrdiff_t step, __m512i (*counts)[V]) {
  const Word *first = place + offsets[0], *second = place + offsets[1], *middle = place + offsets[2];
  __m512i w0[V], w1[V], w2[V];
  for (int v = 0; v < V; ++v) w0[v] = weights[v * next], w1[v] = weights[v * next + 1], w2[v] = weights[v * next + 2];
#pragma GCC unroll 16
  for (int i = 0; i < P; ++i) {
    const __m512i a0 = Broadcast(first + i * step), a1 = Broadcast(second + i * step), a2 = Broadcast(middle + i * step);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      __m512i t = _mm512_xor_si512(w0[v], a0);
      t = _mm512_ternarylogic_epi32(t, w1[v], a1, kAndXor);
      t = _mm512_popcnt_epi32(_mm512_ternarylogic_epi32(t, w2[v], a2, kXor3));
      counts[i][v] = First ? t : _mm512_add_epi32(counts[i][v], t);
    }
  }
}

template <int P, int V, bool First>
inline __attribute__((always_inline)) void CountWord(const __m512i* weights, std::size_t next, const Word* word, std::ptrdiff_t step,
                                                     __m512i (*counts)[V]) {
  __m512i w[V];
  for (int v = 0; v < V; ++v) w[v] = weights[v * next];
#pragma GCC unroll 16
  for (int i = 0; i < P; ++i) {
    const __m512i a = Broadcast(word + i * step);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const __m512i t = _mm512_popcnt_epi32(_mm512_xor_si512(w[v], a));
      counts[i][v] = First ? t : _mm512_add_epi32(counts[i][v], t);
    }
  }
}

// counts[i][v]: p of pixel i in the v-th block. The first addition is none: that is a twentieth of the work where pixels have one word.
template <int P, int V>
inline __attribute__((always_inline)) void Count(const Source& source, const Word* place, std::ptrdiff_t step, const __m512i* weights,
                                                 std::size_t next, __m512i (*counts)[V]) {
  std::size_t word = 0;
  if (source.carries > 0) {
    CountCarry<P, V, true>(weights, next, place, source.carry_offsets, step, counts);
    weights += 3;
    for (std::size_t c = 1; c < source.carries; ++c, weights += 3) {
      CountCarry<P, V, false>(weights, next, place, source.carry_offsets + 3 * c, step, counts);
    }
#pragma GCC unroll 16
    for (int i = 0; i < P; ++i) {
      for (int v = 0; v < V; ++v) counts[i][v] = _mm512_add_epi32(counts[i][v], counts[i][v]);
    }
  } else {
    CountWord<P, V, true>(weights, next, place + source.word_offsets[0], step, counts);
    ++weights, ++word;
  }
  for (; word < source.words; ++word, ++weights) {
    CountWord<P, V, false>(weights, next, place + source.word_offsets[word], step, counts);
  }
}

// Of blocks with fewer channels than lanes, or with 2p clamped.
template <int P, int V>
void WriteFloatOdd(const Target& t, int block, const __m512i (*counts)[V]) {
  const BconvJob& job = *t.job;
  const BconvShape& s = job.shape;
  const std::size_t channels = job.params->channels_out;
  const RowCorrection corrections = CorrectionsOf(job, t.y);
  for (int v = 0; v < V; ++v, ++block) {
    const int some = Least(s.group_channels - block * kLanes, kLanes);
    const std::size_t lane = std::size_t{kLanes} * (t.group * s.blocks + block);
    const auto multiplier = Load<Floats>((job.doubled ? job.doubled : job.multiplier) + lane), bias = Load<Floats>(job.bias + lane);
    float* to = static_cast<float*>(t.row) + t.x * channels + t.group * s.group_channels + block * kLanes;
#pragma GCC unroll 1
    for (int i = 0; i < P; ++i, to += channels) {
      const auto p = Load<Ints>(&counts[i][v]);
      Floats y = job.doubled ? BconvValue<true>(job, p, multiplier, bias) : BconvValue<false>(job, p, multiplier, bias);
      if (corrections.correction) y = y + Load<Floats>(corrections.InTable(t.x + i) + lane);
      Avx512Vectors::StoreSome(to, y, some);
    }
  }
}

template <int P, int V, bool Inside>
inline __attribute__((always_inline)) void WriteFloat(const Target& t, int block, const __m512i (*counts)[V]) {
  const BconvJob& job = *t.job;
  const BconvShape& s = job.shape;
  const std::size_t lane = std::size_t{kLanes} * (t.group * s.blocks + block), channels = job.params->channels_out;
  const RowCorrection corrections = CorrectionsOf(job, t.y);
  float* to = static_cast<float*>(t.row) + t.x * channels + t.group * s.group_channels + block * kLanes;
  Floats multiplier[V], bias[V];
  for (int v = 0; v < V; ++v) {
    multiplier[v] = Load<Floats>(job.doubled + lane + v * kLanes);
    bias[v] = Load<Floats>(job.bias + lane + v * kLanes);
  }
#pragma GCC unroll 16
  for (int i = 0; i < P; ++i, to += channels) {
    const float* correction = Inside ? nullptr : corrections.InTable(t.x + i) + lane;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Floats y = BconvValue<true>(job, Load<Ints>(&counts[i][v]), multiplier[v], bias[v]);
      if (!Inside) y = y + Load<Floats>(correction + v * kLanes);
      std::memcpy(to + v * kLanes, &y, sizeof y);
    }
  }
}

template <int P, int V>
inline __attribute__((always_inline)) void WritePacked(const Target& t, int block, const __m512i (*counts)[V]) {
  const BconvJob& job = *t.job;
  const int words = WordsFor(job.params->channels_out), number = t.group * job.shape.blocks + block;
  Ints thresholds[V];
  for (int v = 0; v < V; ++v) thresholds[v] = Load<Ints>(job.thresholds + std::size_t{kLanes} * (number + v));
  Word* to = static_cast<Word*>(t.row) + std::size_t{1} * t.x * words + number / 2;
#pragma GCC unroll 16
  for (int i = 0; i < P; ++i, to += words) {
    __mmask16 bits[V];  // a whole word would be put together by the unit that counts
    for (int v = 0; v < V; ++v) bits[v] = static_cast<__mmask16>(Avx512Vectors::Mask(Load<Ints>(&counts[i][v]) > thresholds[v]));
    // The block with the lower half of a word comes first.
    if (V == 1) *to = number % 2 ? *to | Word{bits[0]} << 16 : bits[0];
    for (int v = 1; v < V; v += 2) to[v / 2] = bits[v - 1] | Word{bits[v]} << 16;
  }
}

template <int P, int V>
inline __attribute__((always_inline)) void WriteCounts(const Target& t, int block, const __m512i (*counts)[V]) {
  const std::size_t all = t.job->shape.counts;
  std::int32_t* to = static_cast<std::int32_t*>(t.row) + t.x * all + std::size_t{kLanes} * (t.group * t.job->shape.blocks + block);
  for (int i = 0; i < P; ++i, to += all) {
    for (int v = 0; v < V; ++v) _mm512_storeu_si512(to + v * kLanes, counts[i][v]);
  }
}

// Stride: of a row, or 0 where only the job knows it. place: the first tap of the tile's first pixel.
template <int P, int V, int Stride>
void RunTile(const Source& source, const Word* place, const Target& t) {
  const BconvJob& job = *t.job;
  const std::ptrdiff_t step = Stride ? Stride : job.params->stride_w;
  const std::size_t next = source.vectors();
  const __m512i* weights = static_cast<const __m512i*>(job.weights) + (std::size_t{1} * t.group * job.shape.blocks + t.begin) * next;
  for (int block = t.begin; block < t.end; block += V, weights += V * next) {
    __m512i counts[P][V];
    Count<P, V>(source, place, step, weights, next, counts);
    if (job.finish == Finish::kPacked) {
      WritePacked<P, V>(t, block, counts);
    } else if (job.finish == Finish::kCounts) {
      WriteCounts<P, V>(t, block, counts);
    } else if (!job.doubled || job.shape.group_channels < (block + V) * kLanes) {
      WriteFloatOdd<P, V>(t, block, counts);
    } else if (t.inside) {
      WriteFloat<P, V, true>(t, block, counts);
    } else {
      WriteFloat<P, V, false>(t, block, counts);
    }
  }
}

using Tile = void (*)(const Source&, const Word*, const Target&);

// The tile for so many pixels, up to kTile / V.
template <int V, int Stride, int P = kTile / V>
Tile TileOf(int pixels) {
  if constexpr (P > 1) {
    if (pixels < P) return TileOf<V, Stride, P - 1>(pixels);
  }
  return RunTile<P, V, Stride>;
}

template <int V>
Tile TileFor(int stride, int pixels) {
  return stride == 1 ? TileOf<V, 1>(pixels) : TileOf<V, 0>(pixels);
}

}  // namespace
}  // namespace fdabnn

#endif
