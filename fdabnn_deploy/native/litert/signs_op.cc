#include "litert/signs_op.h"

namespace fdabnn {

void SignsOp::Prepare(const Tensors& tensors, Session&) {
  tensors.CheckCounts(1, 1);
  const TfLiteTensor& input = tensors.Input(0);
  TfLiteTensor& output = tensors.Output(0);
  CheckTypes(input, output);
  const int rank = input.dims->size;
  if (rank < 1) throw Refusal(Describe(input) + " has no channels");
  std::vector<std::int64_t> shape(input.dims->data, input.dims->data + rank);
  shape.back() = OutputDepth(input, output);
  tensors.Resize(output, shape);
}

void SignsOp::Run(const Tensors& tensors, Session& session) {
  const TfLiteTensor& values = packs_ ? tensors.Input(0) : tensors.Output(0);
  const TfLiteTensor& packed = packs_ ? tensors.Output(0) : tensors.Input(0);
  const int last = values.dims->size - 1;
  const std::size_t rows = last < 0 ? 0 : Count(values, 0, last);
  const int channels = last < 0 ? 0 : values.dims->data[last];
  auto* words = Data<Word>(packed);
  if (Count(packed, 0, packed.dims->size) != rows * WordsFor(channels)) throw Refusal("shapes have changed without preparation");
  if (rows == 0 || channels == 0) return;
  Compute(values, words, rows, channels, session.level(), session.Pool(tensors.recommended_threads()));
}

}  // namespace fdabnn
