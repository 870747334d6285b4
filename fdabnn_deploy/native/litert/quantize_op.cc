// LceQuantize: float32, int8 or bool [..., C] -> signs, int32 [..., WordsFor(C)].
#include "kernels/quantize.h"
#include "litert/signs_op.h"

namespace fdabnn {
namespace {

class Quantize : public SignsOp {
 public:
  Quantize() : SignsOp(true) {}

 private:
  void CheckTypes(const TfLiteTensor& input, const TfLiteTensor& output) const override {
    CheckType(input, {kTfLiteFloat32, kTfLiteInt8, kTfLiteBool});
    CheckType(output, {kTfLiteInt32});
  }

  int OutputDepth(const TfLiteTensor& input, const TfLiteTensor&) const override {
    return WordsFor(input.dims->data[input.dims->size - 1]);
  }

  void Compute(const TfLiteTensor& values, Word* words, std::size_t rows, int channels, Level level, ThreadPool& pool) const override {
    if (values.type == kTfLiteFloat32) {
      QuantizeFloat(Data<float>(values), rows, channels, words, level, pool);
    } else if (values.type == kTfLiteInt8) {
      QuantizeInt8(Data<std::int8_t>(values), rows, channels, values.params.zero_point, words, level, pool);
    } else {
      QuantizeBool(Data<std::uint8_t>(values), rows, channels, words, level, pool);
    }
  }
};

}  // namespace

std::unique_ptr<Op> MakeQuantize(const OpInfo&) { return std::make_unique<Quantize>(); }

}  // namespace fdabnn
