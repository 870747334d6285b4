// Binary convolution with AVX-512 VPOPCNTDQ: 16 output channels in a vector, a tile of up to 12 output pixels of a row at a time.
//
// An activation word is broadcast from memory and combined with 16 weight words. A 3x3 filter uses linear carry-save: with x_i = a_i ^ w_i,
//
//   popcount(x1) + popcount(x2) + popcount(x3) = popcount(s) + 2 popcount(c)
//   s = x1 ^ x2 ^ x3,  c = x2 ^ ((x1 ^ x2) & (x2 ^ x3))
//
// and every XOR of x's is one of activations ^ one of weights, both of which are prepared: nine words take 23 vector operations instead of
// the 27 of XOR, count and add. The three s are linear, so the same holds for them once more.
#include <climits>

#include "kernels/bconv_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/bconv_planes.h"

namespace fdabnn {
namespace {

constexpr int kLanes = 16;
constexpr int kTile = 12;
constexpr int kSaveVectors = 13;  // weight vectors of nine taps
constexpr int kAndXor = 0x60;     // a & (b ^ c)
constexpr int kXor3 = 0x96;       // a ^ b ^ c

enum class Method {
  kSave,    // 3x3: linear carry-save
  kShared,  // 3x3, at most 16 channels: two taps share a word
  kPlain,
};

Method MethodFor(const BconvParams& p) {
  if (p.kernel_h != 3 || p.kernel_w != 3) return Method::kPlain;
  return p.channels_in / p.groups <= kWordBits / 2 ? Method::kShared : Method::kSave;
}

// Weight vectors of a block.
std::size_t Vectors(const BconvParams& p, const BconvShape& s) {
  switch (MethodFor(p)) {
    case Method::kSave:
      return std::size_t{kSaveVectors} * s.words;
    case Method::kShared:
      return 5;
    case Method::kPlain:
      break;
  }
  return std::size_t{1} * p.kernel_h * p.kernel_w * s.words;
}

int Planes(const BconvParams& p) {
  switch (MethodFor(p)) {
    case Method::kSave:
      return 5;
    case Method::kShared:
      return 3;
    case Method::kPlain:
      break;
  }
  return 1;
}

std::size_t WeightBytes(const BconvParams& p, const BconvShape& s) { return sizeof(__m512i) * Vectors(p, s) * s.blocks * p.groups; }

void PackSave(const Word* filter, int words, int lane, Word* to) {
  for (int w = 0; w < words; ++w, to += kSaveVectors * kLanes) {
    Word row[3];
    for (int ky = 0; ky < 3; ++ky) {
      const Word a = filter[(ky * 3 + 0) * words + w], b = filter[(ky * 3 + 1) * words + w], c = filter[(ky * 3 + 2) * words + w];
      to[(ky * 3 + 0) * kLanes + lane] = a ^ b;
      to[(ky * 3 + 1) * kLanes + lane] = b ^ c;
      to[(ky * 3 + 2) * kLanes + lane] = b;
      row[ky] = a ^ b ^ c;
    }
    to[9 * kLanes + lane] = row[0] ^ row[1];
    to[10 * kLanes + lane] = row[1] ^ row[2];
    to[11 * kLanes + lane] = row[1];
    to[12 * kLanes + lane] = row[0] ^ row[1] ^ row[2];
  }
}

void PackShared(const Word* filter, int lane, Word* to) {
  for (int ky = 0; ky < 3; ++ky) to[ky * kLanes + lane] = filter[ky * 3] | filter[ky * 3 + 1] << 16;
  to[3 * kLanes + lane] = filter[2] | filter[5] << 16;
  to[4 * kLanes + lane] = filter[8];
}

void Pack(const BconvParams& p, const BconvShape& s, const Word* filter, void* weights) {
  const std::size_t taps = std::size_t{1} * p.kernel_h * p.kernel_w * s.words, vectors = Vectors(p, s);
  std::memset(weights, 0, WeightBytes(p, s));
  for (int c = 0; c < p.channels_out; ++c, filter += taps) {
    const int block = c / s.group_channels * s.blocks + c % s.group_channels / kLanes, lane = c % s.group_channels % kLanes;
    Word* to = static_cast<Word*>(weights) + block * vectors * kLanes;
    switch (MethodFor(p)) {
      case Method::kSave:
        PackSave(filter, s.words, lane, to);
        break;
      case Method::kShared:
        PackShared(filter, lane, to);
        break;
      case Method::kPlain:
        for (std::size_t t = 0; t < taps; ++t) to[t * kLanes + lane] = filter[t];
    }
  }
}

std::size_t PlaneBytes(const BconvParams& p, const BconvShape& s) {
  return RoundUp(sizeof(Word) * BandOf(p, s, BandRows(p, s, Planes(p))).words(s), kCacheLine);
}

std::size_t WorkspaceBytes(const BconvParams& p, const BconvShape& s) {
  return PlaneBytes(p, s) * Planes(p) + sizeof(std::ptrdiff_t) * Vectors(p, s);
}

// Where the taps of a band lie, relative to an output pixel's first tap.
struct Source {
  const Word* planes[5];
  std::ptrdiff_t pitch;   // from a word to the pixel's next word
  std::ptrdiff_t row;     // from a tap to the one below
  std::ptrdiff_t column;  // from a tap to the next one
  int words;
  const std::ptrdiff_t* offsets;  // plain and shared: of each weight vector's activations from planes[0]
  std::size_t vectors;
};

inline __m512i Broadcast(const Word* word) { return _mm512_set1_epi32(static_cast<int>(*word)); }

// Adds the popcounts of the carries of three taps: `weights` and the three activations are x1 ^ x2, x2 ^ x3 and x2 of one side each.
template <int P>
inline __attribute__((always_inline)) void CountCarries(const __m512i* weights, const Word* first, const Word* second, const Word* middle,
                                                        std::ptrdiff_t step, __m512i* twos) {
  const __m512i w0 = weights[0], w1 = weights[1], w2 = weights[2];
#pragma GCC unroll 16
  for (int i = 0; i < P; ++i) {
    __m512i t = _mm512_xor_si512(w0, Broadcast(first + i * step));
    t = _mm512_ternarylogic_epi32(t, w1, Broadcast(second + i * step), kAndXor);
    t = _mm512_ternarylogic_epi32(t, w2, Broadcast(middle + i * step), kXor3);
    twos[i] = _mm512_add_epi32(twos[i], _mm512_popcnt_epi32(t));
  }
}

// counts[i]: p of pixel i of the tile, whose first tap is `place` words behind the planes' begin.
template <int P>
inline __attribute__((always_inline)) void CountSave(const Source& source, std::ptrdiff_t place, std::ptrdiff_t step,
                                                     const __m512i* weights, __m512i* counts) {
  __m512i ones[P], twos[P];
  for (int i = 0; i < P; ++i) ones[i] = twos[i] = _mm512_setzero_si512();
  const std::ptrdiff_t row = source.row, column = source.column;
  const Word *words = source.planes[0] + place + column, *pairs = source.planes[1] + place, *rows = source.planes[2] + place + row;
  const Word *stacks = source.planes[3] + place, *totals = source.planes[4] + place;
  for (int w = 0; w < source.words; ++w, weights += kSaveVectors) {
    CountCarries<P>(weights, pairs, pairs + column, words, step, twos);
    CountCarries<P>(weights + 3, pairs + row, pairs + row + column, words + row, step, twos);
    CountCarries<P>(weights + 6, pairs + 2 * row, pairs + 2 * row + column, words + 2 * row, step, twos);
    CountCarries<P>(weights + 9, stacks, stacks + row, rows, step, twos);
    const __m512i w0 = weights[12];
#pragma GCC unroll 16
    for (int i = 0; i < P; ++i) {
      ones[i] = _mm512_add_epi32(ones[i], _mm512_popcnt_epi32(_mm512_xor_si512(w0, Broadcast(totals + i * step))));
    }
    words += source.pitch, pairs += source.pitch, rows += source.pitch, stacks += source.pitch, totals += source.pitch;
  }
  for (int i = 0; i < P; ++i) counts[i] = _mm512_add_epi32(ones[i], _mm512_add_epi32(twos[i], twos[i]));
}

template <int P>
inline __attribute__((always_inline)) void CountPlain(const Source& source, std::ptrdiff_t place, std::ptrdiff_t step,
                                                      const __m512i* weights, __m512i* counts) {
  for (int i = 0; i < P; ++i) counts[i] = _mm512_setzero_si512();
  for (std::size_t v = 0; v < source.vectors; ++v) {
    const Word* word = source.planes[0] + place + source.offsets[v];
    const __m512i w0 = weights[v];
#pragma GCC unroll 16
    for (int i = 0; i < P; ++i) {
      counts[i] = _mm512_add_epi32(counts[i], _mm512_popcnt_epi32(_mm512_xor_si512(w0, Broadcast(word + i * step))));
    }
  }
}

// Where a tile's results go.
struct Target {
  const BconvJob* job;
  void* row;  // of the output
  int y, x;   // first pixel
  int group, block;
  bool plain;  // no pixel needs a clamp or a correction
};

// Whether a pixel of the tile has taps outside of a zero-padded picture.
template <int P>
bool AtBorder(const BconvJob& job, int y, int x) {
  if (!job.correction) return false;
  if (job.row_class[y]) return true;
  std::int32_t classes = 0;
  for (int i = 0; i < P; ++i) classes |= job.column_class[x + i];
  return classes != 0;
}

template <int P>
inline __attribute__((always_inline)) void WriteFloat(const Target& t, const __m512i* counts) {
  const BconvJob& job = *t.job;
  const BconvShape& s = job.shape;
  const std::size_t lane = std::size_t{kLanes} * (t.group * s.blocks + t.block), channels = job.params->channels_out;
  const int left = s.group_channels - t.block * kLanes;
  const __m512 bias = _mm512_loadu_ps(job.bias + lane);
  const __m512 multiplier = _mm512_loadu_ps((job.doubled ? job.doubled : job.multiplier) + lane);
  float* to = static_cast<float*>(t.row) + t.x * channels + t.group * s.group_channels + t.block * kLanes;
  if (t.plain && left >= kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < P; ++i, to += channels) {
      _mm512_storeu_ps(to, _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(counts[i]), multiplier), bias));
    }
    return;
  }
  const std::size_t all = std::size_t{kLanes} * s.blocks * job.params->groups;
  const __mmask16 mask = static_cast<__mmask16>(left >= kLanes ? 0xffff : (1u << left) - 1);
  const __m512i low = _mm512_set1_epi32(job.clamp_min), high = _mm512_set1_epi32(job.clamp_max);
  const std::int32_t row_class = job.correction ? job.row_class[t.y] * job.column_classes : 0;
#pragma GCC unroll 1
  for (int i = 0; i < P; ++i, to += channels) {
    __m512i x = counts[i];
    if (!job.doubled) x = _mm512_max_epi32(_mm512_min_epi32(_mm512_add_epi32(x, x), high), low);
    __m512 y = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(x), multiplier), bias);
    const std::int32_t kind = job.correction ? row_class + job.column_class[t.x + i] : 0;
    if (kind) y = _mm512_add_ps(y, _mm512_loadu_ps(job.correction + kind * all + lane));
    _mm512_mask_storeu_ps(to, mask, y);
  }
}

template <int P>
inline __attribute__((always_inline)) void WritePacked(const Target& t, const __m512i* counts) {
  const BconvJob& job = *t.job;
  const BconvShape& s = job.shape;
  const int words = WordsFor(job.params->channels_out), block = t.group * s.blocks + t.block;
  const __m512i thresholds = _mm512_loadu_si512(job.thresholds + std::size_t{kLanes} * block);
  Word* to = static_cast<Word*>(t.row) + std::size_t{1} * t.x * words + block / 2;
#pragma GCC unroll 16
  for (int i = 0; i < P; ++i, to += words) {
    const Word bits = _mm512_cmpgt_epi32_mask(counts[i], thresholds);
    // The block with the lower half of a word comes first.
    *to = block % 2 ? *to | bits << 16 : bits;
  }
}

template <int P>
inline __attribute__((always_inline)) void WriteCounts(const Target& t, const __m512i* counts) {
  const std::size_t all = std::size_t{kLanes} * t.job->shape.blocks * t.job->params->groups;
  std::int32_t* to = static_cast<std::int32_t*>(t.row) + t.x * all + std::size_t{kLanes} * (t.group * t.job->shape.blocks + t.block);
  for (int i = 0; i < P; ++i, to += all) _mm512_storeu_si512(to, counts[i]);
}

// Stride: of a row, or 0 where only the job knows it.
template <int P, bool Save, int Stride>
void RunTile(const Source& source, std::ptrdiff_t place, Target target) {
  const BconvJob& job = *target.job;
  const std::ptrdiff_t step = Stride ? Stride : job.params->stride_w;
  target.plain = job.doubled && !AtBorder<P>(job, target.y, target.x);
  const std::size_t vectors = Save ? std::size_t{kSaveVectors} * source.words : source.vectors;
  const __m512i* weights = static_cast<const __m512i*>(job.weights) + target.group * job.shape.blocks * vectors;
  for (target.block = 0; target.block < job.shape.blocks; ++target.block, weights += vectors) {
    __m512i counts[P];
    if (Save) {
      CountSave<P>(source, place, step, weights, counts);
    } else {
      CountPlain<P>(source, place, step, weights, counts);
    }
    switch (job.finish) {
      case Finish::kFloat:
        WriteFloat<P>(target, counts);
        break;
      case Finish::kPacked:
        WritePacked<P>(target, counts);
        break;
      case Finish::kCounts:
        WriteCounts<P>(target, counts);
    }
  }
}

using Tile = void (*)(const Source&, std::ptrdiff_t, Target);

template <bool Save, int Stride>
Tile TileOf(int pixels) {
  static constexpr Tile kTiles[kTile] = {RunTile<1, Save, Stride>,  RunTile<2, Save, Stride>,  RunTile<3, Save, Stride>,
                                         RunTile<4, Save, Stride>,  RunTile<5, Save, Stride>,  RunTile<6, Save, Stride>,
                                         RunTile<7, Save, Stride>,  RunTile<8, Save, Stride>,  RunTile<9, Save, Stride>,
                                         RunTile<10, Save, Stride>, RunTile<11, Save, Stride>, RunTile<12, Save, Stride>};
  return kTiles[pixels - 1];
}

Tile TileFor(bool save, int stride, int pixels) {
  switch (stride) {
    case 1:
      return save ? TileOf<true, 1>(pixels) : TileOf<false, 1>(pixels);
    case 2:
      return save ? TileOf<true, 2>(pixels) : TileOf<false, 2>(pixels);
    default:
      return save ? TileOf<true, 0>(pixels) : TileOf<false, 0>(pixels);
  }
}

// XORs along a row of taps and down the rows, for carry-save.
void PrepareSave(const BconvParams& p, const BconvShape& s, const Band& band, Word* const* planes) {
  const std::ptrdiff_t row = std::ptrdiff_t{1} * p.dilation_h * s.words * band.width;
  const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(band.words(s)), column = p.dilation_w;
  // What stands behind a row's last tap is of no use to anybody; only the end of the planes must not be passed.
  for (std::ptrdiff_t i = 0; i < size - 2 * column; ++i) {
    const Word pair = planes[0][i] ^ planes[0][i + column];
    planes[1][i] = pair;
    planes[2][i] = pair ^ planes[0][i + 2 * column];
  }
  for (std::ptrdiff_t i = size - 2 * column > 0 ? size - 2 * column : 0; i < size; ++i) {
    planes[1][i] = i + column < size ? planes[0][i] ^ planes[0][i + column] : 0;
    planes[2][i] = 0;
  }
  for (std::ptrdiff_t i = 0; i < size - row; ++i) {
    const Word pair = planes[2][i] ^ planes[2][i + row];
    planes[3][i] = pair;
    if (i < size - 2 * row) planes[4][i] = pair ^ planes[2][i + 2 * row];
  }
}

// Two taps of 16 bits in a word: the first two of a row, and the third ones of two rows.
void PrepareShared(const BconvParams& p, const BconvShape& s, const Band& band, Word* const* planes) {
  const std::ptrdiff_t row = std::ptrdiff_t{1} * p.dilation_h * s.words * band.width;
  const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(band.words(s)), column = p.dilation_w;
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    planes[1][i] = planes[0][i] | (i + column < size ? planes[0][i + column] << 16 : 0);
    planes[2][i] = planes[0][i] | (i + row < size ? planes[0][i + row] << 16 : 0);
  }
}

void SetOffsets(const BconvParams& p, Source* source, std::ptrdiff_t* offsets) {
  source->offsets = offsets;
  if (MethodFor(p) == Method::kShared) {
    const std::ptrdiff_t pairs = source->planes[1] - source->planes[0], stacks = source->planes[2] - source->planes[0];
    for (int ky = 0; ky < 3; ++ky) *offsets++ = pairs + ky * source->row;
    *offsets++ = stacks + 2 * source->column;
    *offsets++ = 2 * source->row + 2 * source->column;
    return;
  }
  for (int ky = 0; ky < p.kernel_h; ++ky) {
    for (int kx = 0; kx < p.kernel_w; ++kx) {
      for (int w = 0; w < source->words; ++w) *offsets++ = ky * source->row + kx * source->column + w * source->pitch;
    }
  }
}

void Run(const BconvJob& job, const Word* input, int begin, int end, void* output, void* workspace) {
  const BconvParams& p = *job.params;
  const BconvShape& s = job.shape;
  const Method method = MethodFor(p);
  const int height = BandRows(p, s, Planes(p));
  const std::size_t plane_bytes = PlaneBytes(p, s);
  Word* planes[5] = {};
  Source source = {};
  for (int i = 0; i < Planes(p); ++i) {
    planes[i] = reinterpret_cast<Word*>(static_cast<char*>(workspace) + i * plane_bytes);
    source.planes[i] = planes[i];
  }
  source.pitch = BandWidth(p, s);
  source.row = std::ptrdiff_t{1} * p.dilation_h * s.words * source.pitch;
  source.column = p.dilation_w;
  source.words = s.words;
  source.vectors = Vectors(p, s);
  if (method != Method::kSave) {
    SetOffsets(p, &source, reinterpret_cast<std::ptrdiff_t*>(static_cast<char*>(workspace) + Planes(p) * plane_bytes));
  }
  const int unit = job.finish == Finish::kFloat    ? p.channels_out
                   : job.finish == Finish::kPacked ? WordsFor(p.channels_out)
                                                   : kLanes * s.blocks * p.groups;
  const int tiles = (s.out_w + kTile - 1) / kTile;
  for (int first = begin; first < end; first += height) {
    const int last = first + height < end ? first + height : end;
    const Band band = BandOf(p, s, last - first);
    for (int group = 0; group < p.groups; ++group) {
      FillPlane(p, s, band, input, group, first, planes[0]);
      if (method == Method::kSave) PrepareSave(p, s, band, planes);
      if (method == Method::kShared) PrepareShared(p, s, band, planes);
      for (int y = first; y < last; ++y) {
        const std::ptrdiff_t place = std::ptrdiff_t{1} * (y - first) * p.stride_h * s.words * source.pitch;
        void* row = static_cast<Word*>(output) + std::size_t{1} * (y - begin) * s.out_w * unit;
        for (int tile = 0; tile < tiles; ++tile) {
          const int x = s.out_w * tile / tiles, pixels = s.out_w * (tile + 1) / tiles - x;
          TileFor(method == Method::kSave, p.stride_w, pixels)(source, place + std::ptrdiff_t{1} * x * p.stride_w,
                                                               {&job, row, y, x, group, 0, false});
        }
      }
    }
  }
}

}  // namespace

const BconvKernel* BconvAvx512() {
  static const BconvKernel kernel = {kLanes, INT_MAX, WeightBytes, Pack, WorkspaceBytes, Run};
  return &kernel;
}

}  // namespace fdabnn

#else

namespace fdabnn {

const BconvKernel* BconvAvx512() { return nullptr; }

}  // namespace fdabnn

#endif
