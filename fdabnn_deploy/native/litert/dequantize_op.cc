// LceDequantize: signs, int32 [..., WordsFor(C)] -> float32, int8 or bool [..., C].
#include <algorithm>
#include <cmath>

#include "kernels/quantize.h"
#include "litert/signs_op.h"

namespace fdabnn {
namespace {

// +1 or -1 as an int8 of this scale and zero point: zero_point +- round(1 / scale), clipped.
std::uint8_t QuantizedSign(const TfLiteQuantizationParams& params, int sign) {
  const float steps = std::min(std::round(1.0f / params.scale), 1024.0f);
  const std::int64_t value = static_cast<std::int64_t>(params.zero_point) + sign * static_cast<std::int64_t>(steps);
  return static_cast<std::uint8_t>(std::min<std::int64_t>(std::max<std::int64_t>(value, -128), 127));
}

class Dequantize : public SignsOp {
 public:
  Dequantize() : SignsOp(false) {}

 private:
  void CheckTypes(const TfLiteTensor& input, const TfLiteTensor& output) const override {
    CheckType(input, {kTfLiteInt32});
    CheckType(output, {kTfLiteFloat32, kTfLiteInt8, kTfLiteBool});
  }

  int OutputDepth(const TfLiteTensor& input, const TfLiteTensor& output) const override {
    const int rank = input.dims->size;
    CheckRank(output, rank);
    if (output.type == kTfLiteInt8 && !(output.params.scale > 0)) throw Refusal(Describe(output) + " has no scale");
    // Only the output's shape in the file tells how many channels the words hold.
    const int channels = output.dims->data[rank - 1];
    if (WordsFor(channels) != input.dims->data[rank - 1]) {
      throw Refusal(Describe(input) + " has words for other than the " + std::to_string(channels) + " channels of " + Describe(output));
    }
    return channels;
  }

  void Compute(const TfLiteTensor& values, Word* words, std::size_t rows, int channels, Level level, ThreadPool& pool) const override {
    if (values.type == kTfLiteFloat32) {
      DequantizeFloat(words, rows, channels, Data<float>(values), level, pool);
    } else {
      const bool quantized = values.type == kTfLiteInt8;
      const std::uint8_t plus = quantized ? QuantizedSign(values.params, 1) : 1;
      const std::uint8_t minus = quantized ? QuantizedSign(values.params, -1) : 0;
      DequantizeBytes(words, rows, channels, plus, minus, Data<std::uint8_t>(values), level, pool);
    }
  }
};

}  // namespace

std::unique_ptr<Op> MakeDequantize(const OpInfo&) { return std::make_unique<Dequantize>(); }

}  // namespace fdabnn
