// What packing and unpacking of signs have in common: values [..., C] on one side, words [..., WordsFor(C)] on the other.
#pragma once

#include "kernels/words.h"
#include "litert/op.h"

namespace fdabnn {

class SignsOp : public Op {
 public:
  void Prepare(const Tensors& tensors, Session& session) final;
  void Run(const Tensors& tensors, Session& session) final;

 protected:
  // packs: values are the input and words the output, else the other way round.
  explicit SignsOp(bool packs) : packs_(packs) {}

 private:
  // Checks the tensors' types.
  virtual void CheckTypes(const TfLiteTensor& input, const TfLiteTensor& output) const = 0;

  // The output's last dimension. Throws Refusal where the tensors do not fit each other.
  virtual int OutputDepth(const TfLiteTensor& input, const TfLiteTensor& output) const = 0;

  // values [rows, channels], words [rows, WordsFor(channels)], of which the output is written.
  virtual void Compute(const TfLiteTensor& values, Word* words, std::size_t rows, int channels, Level level, ThreadPool& pool) const = 0;

  const bool packs_;
};

}  // namespace fdabnn
