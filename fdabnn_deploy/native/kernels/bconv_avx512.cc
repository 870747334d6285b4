// Binary convolution with AVX-512 VPOPCNTDQ: 16 output channels in a vector; the inner loops are in bconv_avx512_tile.h.
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

#include "kernels/bconv_avx512_tile.h"
#include "kernels/bconv_planes.h"

namespace fdabnn {
namespace {

constexpr int kMaxPlanes = 5;

enum class Method {
  kSave,    // 3x3: linear carry-save
  kShared,  // 3x3, at most 16 channels: two taps share a word
  kPlain,
};

Method MethodFor(const BinaryConvParams& p) {
  if (p.kernel_h != 3 || p.kernel_w != 3) return Method::kPlain;
  return p.channels_in / p.groups <= kWordBits / 2 ? Method::kShared : Method::kSave;
}

// How many carries of three words, and how many words, a pixel's taps are.
std::size_t Carries(const BinaryConvParams& p, const BconvShape& s) { return MethodFor(p) == Method::kSave ? std::size_t{4} * s.words : 0; }

std::size_t PlainWords(const BinaryConvParams& p, const BconvShape& s) {
  switch (MethodFor(p)) {
    case Method::kSave:
      return s.words;
    case Method::kShared:
      return 5;
    case Method::kPlain:
      break;
  }
  return std::size_t{1} * p.kernel_h * p.kernel_w * s.words;
}

std::size_t Vectors(const BinaryConvParams& p, const BconvShape& s) { return 3 * Carries(p, s) + PlainWords(p, s); }

int Planes(const BinaryConvParams& p) {
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

std::size_t WeightBytes(const BinaryConvParams& p, const BconvShape& s) { return sizeof(__m512i) * Vectors(p, s) * s.blocks * p.groups; }

// The rows' carries of every word, then the carry of their sums, then the sums of those.
void PackSave(const Word* filter, int words, int lane, Word* to) {
  Word* total = to + std::size_t{12} * words * kLanes;
  for (int w = 0; w < words; ++w, to += 12 * kLanes, total += kLanes) {
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
    total[lane] = row[0] ^ row[1] ^ row[2];
  }
}

void PackShared(const Word* filter, int lane, Word* to) {
  for (int ky = 0; ky < 3; ++ky) to[ky * kLanes + lane] = filter[ky * 3] | filter[ky * 3 + 1] << 16;
  to[3 * kLanes + lane] = filter[2] | filter[5] << 16;
  to[4 * kLanes + lane] = filter[8];
}

void Pack(const BinaryConvParams& p, const BconvShape& s, const Word* filter, void* weights) {
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

std::size_t PlaneBytes(const BinaryConvParams& p, const BconvShape& s) {
  return RoundUp(sizeof(Word) * BandOf(p, s, BandRows(p, s, Planes(p))).words(s), kCacheLine);
}

std::size_t WorkspaceBytes(const BinaryConvParams& p, const BconvShape& s) {
  return PlaneBytes(p, s) * Planes(p) + sizeof(std::ptrdiff_t) * Vectors(p, s);
}

// XORs along a row of taps and down the rows, for carry-save.
void PrepareSave(const BinaryConvParams& p, const BconvShape& s, const Band& band, Word* const* planes) {
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
void PrepareShared(const BinaryConvParams& p, const BconvShape& s, const Band& band, Word* const* planes) {
  const std::ptrdiff_t row = std::ptrdiff_t{1} * p.dilation_h * s.words * band.width;
  const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(band.words(s)), column = p.dilation_w;
  // Behind these ends nothing is of use, and words of 16 bits stay as they are.
  std::memcpy(planes[1], planes[0], sizeof(Word) * size);
  std::memcpy(planes[2], planes[0], sizeof(Word) * size);
  for (std::ptrdiff_t i = 0; i < size - column; ++i) planes[1][i] |= planes[0][i + column] << 16;
  for (std::ptrdiff_t i = 0; i < size - row; ++i) planes[2][i] |= planes[0][i + row] << 16;
}

// pitch: from a word to the pixel's next word.
Source MakeSource(const BinaryConvParams& p, const BconvShape& s, Word* const* planes, std::ptrdiff_t pitch, std::ptrdiff_t* offsets) {
  const std::ptrdiff_t row = std::ptrdiff_t{1} * p.dilation_h * s.words * pitch, column = p.dilation_w;
  std::ptrdiff_t at[kMaxPlanes] = {};
  for (int i = 1; i < Planes(p); ++i) at[i] = planes[i] - planes[0];
  Source source = {planes[0], offsets, offsets + 3 * Carries(p, s), Carries(p, s), PlainWords(p, s)};
  switch (MethodFor(p)) {
    case Method::kSave:
      for (std::ptrdiff_t word = 0; word < s.words * pitch; word += pitch) {
        for (int ky = 0; ky < 3; ++ky) {
          *offsets++ = at[1] + word + ky * row;
          *offsets++ = at[1] + word + ky * row + column;
          *offsets++ = word + ky * row + column;
        }
        *offsets++ = at[3] + word;
        *offsets++ = at[3] + word + row;
        *offsets++ = at[2] + word + row;
      }
      for (std::ptrdiff_t word = 0; word < s.words * pitch; word += pitch) *offsets++ = at[4] + word;
      break;
    case Method::kShared:
      for (int ky = 0; ky < 3; ++ky) *offsets++ = at[1] + ky * row;
      *offsets++ = at[2] + 2 * column;
      *offsets++ = 2 * row + 2 * column;
      break;
    case Method::kPlain:
      for (int ky = 0; ky < p.kernel_h; ++ky) {
        for (int kx = 0; kx < p.kernel_w; ++kx) {
          for (int w = 0; w < s.words; ++w) *offsets++ = ky * row + kx * column + w * pitch;
        }
      }
  }
  return source;
}

// The pixels of a row that have no taps beside a zero-padded image.
struct Inside {
  int begin, end;
};

Inside InsideOf(const BconvJob& job) {
  Inside inside = {0, job.shape.out_w};
  if (!job.correction) return inside;
  while (inside.begin < inside.end && job.column_class[inside.begin]) ++inside.begin;
  while (inside.begin < inside.end && job.column_class[inside.end - 1]) --inside.end;
  return inside;
}

// The tiles of a row for the blocks that `target` names, V at a time. place: of the row's first tap.
template <int V>
void RunRow(const Source& source, const Word* place, const Inside& inside, Target target) {
  if (target.begin >= target.end) return;
  const BinaryConvParams& p = *target.job->params;
  constexpr int kPixels = kTile / V;
  const int width = target.job->shape.out_w, tiles = (width + kPixels - 1) / kPixels;
  for (int tile = 0, next; tile < tiles; ++tile, target.x = next) {
    next = width * (tile + 1) / tiles;
    target.inside = target.x >= inside.begin && next <= inside.end;
    TileFor<V>(p.stride_w, next - target.x)(source, place + std::ptrdiff_t{1} * target.x * p.stride_w, target);
  }
}

// Whether the tiles of a row are full enough for four vectors: 7 pixels are better one tile of two vectors than two tiles of four.
bool FoursPay(int width) {
  constexpr int kPixels = kTile / 4;
  return 16 * width >= 15 * kPixels * ((width + kPixels - 1) / kPixels);
}

void Run(const BconvJob& job, const Word* input, int begin, int end, void* output, void* workspace) {
  const BinaryConvParams& p = *job.params;
  const BconvShape& s = job.shape;
  const Method method = MethodFor(p);
  const int height = BandRows(p, s, Planes(p));
  const std::size_t plane_bytes = PlaneBytes(p, s);
  Word* planes[kMaxPlanes] = {};
  for (int i = 0; i < Planes(p); ++i) planes[i] = reinterpret_cast<Word*>(static_cast<char*>(workspace) + i * plane_bytes);
  auto* offsets = reinterpret_cast<std::ptrdiff_t*>(static_cast<char*>(workspace) + Planes(p) * plane_bytes);
  const std::ptrdiff_t pitch = BandWidth(p, s);
  const Source source = MakeSource(p, s, planes, pitch, offsets);
  const std::size_t unit = OutputElements(job);
  const Inside columns = InsideOf(job);
  for (int first = begin; first < end; first += height) {
    const int last = first + height < end ? first + height : end;
    const Band band = BandOf(p, s, last - first);
    for (int group = 0; group < p.groups; ++group) {
      FillPlane(p, s, band, input, group, first, planes[0]);
      if (method == Method::kSave) PrepareSave(p, s, band, planes);
      if (method == Method::kShared) PrepareShared(p, s, band, planes);
      // Two blocks are a word of a packed output, unless an odd number of blocks comes before them.
      const bool paired = job.finish != Finish::kPacked || group * s.blocks % 2 == 0;
      const int twos = paired ? s.blocks / 2 * 2 : 0, fours = FoursPay(s.out_w) ? twos / 4 * 4 : 0;
      for (int y = first; y < last; ++y) {
        const Word* place = source.plane + std::ptrdiff_t{1} * (y - first) * p.stride_h * s.words * pitch;
        void* row = static_cast<Word*>(output) + (y - begin) * s.out_w * unit;
        const Inside inside = job.correction && job.row_class[y] ? Inside{0, 0} : columns;
        RunRow<4>(source, place, inside, {&job, row, y, 0, group, 0, fours, false});
        RunRow<2>(source, place, inside, {&job, row, y, 0, group, fours, twos, false});
        RunRow<1>(source, place, inside, {&job, row, y, 0, group, twos, s.blocks, false});
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

#endif
