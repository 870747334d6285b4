// LceDequantize: signs, int32 [..., WordsFor(C)] -> float32, int8 or bool [..., C].
#include <algorithm>
#include <cmath>

#include "kernels/quantize.h"
#include "litert/op.h"

namespace fdabnn {
namespace {

// +1 or -1 as an int8 of this scale and zero point: zero_point +- round(1 / scale), clipped.
std::uint8_t QuantizedSign(const TfLiteQuantizationParams& params, int sign) {
  const float steps = std::min(std::round(1.0f / params.scale), 1024.0f);
  const std::int64_t value = static_cast<std::int64_t>(params.zero_point) + sign * static_cast<std::int64_t>(steps);
  return static_cast<std::uint8_t>(std::min<std::int64_t>(std::max<std::int64_t>(value, -128), 127));
}

class Dequantize : public Op {
 public:
  void Prepare(const Tensors& tensors, Session&) override {
    tensors.CheckCounts(1, 1);
    const TfLiteTensor& input = tensors.Input(0);
    TfLiteTensor& output = tensors.Output(0);
    CheckType(input, {kTfLiteInt32});
    CheckType(output, {kTfLiteFloat32, kTfLiteInt8, kTfLiteBool});
    const int rank = input.dims->size;
    if (rank < 1) throw Refusal(Describe(input) + " has no channels");
    CheckRank(output, rank);
    if (output.type == kTfLiteInt8 && !(output.params.scale > 0)) throw Refusal(Describe(output) + " has no scale");
    // Only the output's shape in the file tells how many channels the words hold.
    const int channels = output.dims->data[rank - 1];
    if (WordsFor(channels) != input.dims->data[rank - 1]) {
      throw Refusal(Describe(input) + " has words for other than the " + std::to_string(channels) + " channels of " + Describe(output));
    }
    std::vector<std::int64_t> shape(input.dims->data, input.dims->data + rank);
    shape.back() = channels;
    tensors.Resize(output, shape);
  }

  void Run(const Tensors& tensors, Session& session) override {
    const TfLiteTensor& input = tensors.Input(0);
    const TfLiteTensor& output = tensors.Output(0);
    const int last = output.dims->size - 1;
    const std::size_t rows = last < 0 ? 0 : Count(output, 0, last);
    const int channels = last < 0 ? 0 : output.dims->data[last];
    const Word* words = Data<const Word>(input);
    if (Count(input, 0, input.dims->size) != rows * WordsFor(channels)) throw Refusal("shapes have changed without preparation");
    if (rows == 0 || channels == 0) return;
    ThreadPool& pool = session.Pool(tensors.recommended_threads());
    if (output.type == kTfLiteFloat32) {
      DequantizeFloat(words, rows, channels, Data<float>(output), session.level(), pool);
    } else {
      const bool quantized = output.type == kTfLiteInt8;
      const std::uint8_t plus = quantized ? QuantizedSign(output.params, 1) : 1;
      const std::uint8_t minus = quantized ? QuantizedSign(output.params, -1) : 0;
      DequantizeBytes(words, rows, channels, plus, minus, Data<std::uint8_t>(output), session.level(), pool);
    }
  }
};

}  // namespace

std::unique_ptr<Op> MakeDequantize(const OpInfo&) { return std::make_unique<Dequantize>(); }

}  // namespace fdabnn
