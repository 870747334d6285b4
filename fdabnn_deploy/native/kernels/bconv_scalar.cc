// The specification of all binary convolution kernels, one channel at a time.
#include <climits>
#include <cstring>

#include "kernels/epilogue.h"

namespace fdabnn {
namespace {

std::size_t FilterWords(const BinaryConvParams& params, const BconvShape& shape) {
  return std::size_t{1} * params.kernel_h * params.kernel_w * shape.words;
}

std::size_t WeightBytes(const BinaryConvParams& params, const BconvShape& shape) {
  return sizeof(Word) * FilterWords(params, shape) * params.channels_out;
}

void Pack(const BinaryConvParams& params, const BconvShape& shape, const Word* filter, void* weights) {
  std::memcpy(weights, filter, WeightBytes(params, shape));
}

std::size_t WorkspaceBytes(const BinaryConvParams&, const BconvShape&) { return 0; }

std::int32_t Count(const BconvJob& job, const Word* input, int channel, int y, int x) {
  const BinaryConvParams& p = *job.params;
  const BconvShape& s = job.shape;
  const Word* filter = static_cast<const Word*>(job.weights) + channel * FilterWords(p, s);
  const int group = channel / s.group_channels;
  std::int32_t count = 0;
  for (int ky = 0; ky < p.kernel_h; ++ky) {
    const int row = y * p.stride_h - s.pad_top + ky * p.dilation_h;
    for (int kx = 0; kx < p.kernel_w; ++kx) {
      const int column = x * p.stride_w - s.pad_left + kx * p.dilation_w;
      const bool inside = row >= 0 && row < s.in_h && column >= 0 && column < s.in_w;
      const Word* pixel = inside ? input + (std::size_t{1} * row * s.in_w + column) * s.in_words + group * s.words : nullptr;
      for (int w = 0; w < s.words; ++w) count += __builtin_popcount(*filter++ ^ (pixel ? pixel[w] : 0));
    }
  }
  return count;
}

void Run(const BconvJob& job, const Word* input, int begin, int end, void* output, void*) {
  const BconvShape& s = job.shape;
  const int channels = job.params->channels_out;
  const std::size_t elements = OutputElements(job);
  for (int y = begin; y < end; ++y) {
    const RowCorrection corrections = CorrectionsOf(job, y);
    for (int x = 0; x < s.out_w; ++x) {
      auto* pixel = static_cast<Word*>(output) + (std::size_t{1} * (y - begin) * s.out_w + x) * elements;
      if (job.finish == Finish::kPacked) std::memset(pixel, 0, elements * sizeof(Word));
      for (int c = 0; c < channels; ++c) {
        const std::int32_t count = Count(job, input, c, y, x);
        if (job.finish == Finish::kPacked) {
          pixel[c / kWordBits] |= static_cast<Word>(count > job.thresholds[c]) << (c % kWordBits);
        } else if (job.finish == Finish::kCounts) {
          std::memcpy(pixel + c, &count, sizeof count);
        } else {
          float value = BconvValue<false>(job, OneInt{count}, OneFloat{job.multiplier[c]}, OneFloat{job.bias[c]})[0];
          if (const float* correction = corrections.At(x)) value += correction[c];
          std::memcpy(pixel + c, &value, sizeof value);
        }
      }
    }
  }
}

}  // namespace

const BconvKernel* BconvScalar() {
  static const BconvKernel kernel = {1, INT_MAX, WeightBytes, Pack, WorkspaceBytes, Run};
  return &kernel;
}

}  // namespace fdabnn
