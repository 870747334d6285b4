// LceQuantize: float32, int8 or bool [..., C] -> signs, int32 [..., WordsFor(C)].
#include "kernels/quantize.h"
#include "litert/op.h"

namespace fdabnn {
namespace {

class Quantize : public Op {
 public:
  void Prepare(const Tensors& tensors, Session&) override {
    tensors.CheckCounts(1, 1);
    const TfLiteTensor& input = tensors.Input(0);
    TfLiteTensor& output = tensors.Output(0);
    CheckType(input, {kTfLiteFloat32, kTfLiteInt8, kTfLiteBool});
    CheckType(output, {kTfLiteInt32});
    const int rank = input.dims->size;
    if (rank < 1) throw Refusal(Describe(input) + " has no channels");
    std::vector<std::int64_t> shape(input.dims->data, input.dims->data + rank);
    shape.back() = WordsFor(input.dims->data[rank - 1]);
    tensors.Resize(output, shape);
  }

  void Run(const Tensors& tensors, Session& session) override {
    const TfLiteTensor& input = tensors.Input(0);
    const TfLiteTensor& output = tensors.Output(0);
    const int last = input.dims->size - 1;
    const std::size_t rows = last < 0 ? 0 : Count(input, 0, last);
    const int channels = last < 0 ? 0 : input.dims->data[last];
    Word* words = Data<Word>(output);
    if (Count(output, 0, output.dims->size) != rows * WordsFor(channels)) throw Refusal("shapes have changed without preparation");
    if (rows == 0 || channels == 0) return;
    ThreadPool& pool = session.Pool(tensors.recommended_threads());
    if (input.type == kTfLiteFloat32) {
      QuantizeFloat(Data<float>(input), rows, channels, words, session.level(), pool);
    } else if (input.type == kTfLiteInt8) {
      QuantizeInt8(Data<std::int8_t>(input), rows, channels, input.params.zero_point, words, session.level(), pool);
    } else {
      QuantizeBool(Data<std::uint8_t>(input), rows, channels, words, session.level(), pool);
    }
  }
};

}  // namespace

std::unique_ptr<Op> MakeQuantize(const OpInfo&) { return std::make_unique<Quantize>(); }

}  // namespace fdabnn
