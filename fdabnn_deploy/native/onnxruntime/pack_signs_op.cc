// PackSigns: the signs of a float tensor. Specification: docs/ops/pack-signs.md.
#include <climits>
#include <memory>

#include "kernels/binary_layer.h"
#include "kernels/quantize.h"
#include "onnxruntime/ops.h"
#include "onnxruntime/session_threads.h"

namespace fdabnn::ort {
namespace {

class PackSigns : public Kernel {
 public:
  explicit PackSigns(Level level) : level_(level) {}

  void Compute(const Call& call) override {
    const Tensor x = call.Input(0);
    if (x.shape.size() < 2) throw Refusal("X is " + ToText(x.shape) + ": it needs a batch and channels");
    const std::int64_t batch = x.shape[0], channels = x.shape[1];
    std::int64_t pixels = 1;
    Shape shape = {batch};
    for (std::size_t i = 2; i < x.shape.size(); ++i) {
      pixels *= x.shape[i];
      shape.push_back(x.shape[i]);
    }
    if (channels < 1 || channels > INT_MAX - kWordBits || batch > INT_MAX) throw Refusal("X is " + ToText(x.shape));
    shape.push_back(WordsFor(static_cast<int>(channels)));
    auto* words = static_cast<Word*>(call.Output(0, shape));
    const auto* values = static_cast<const float*>(x.data);
    if (words == nullptr || batch * pixels == 0) return;
    threads_.Run(call, threads_.count(), [&](ThreadPool& pool) {
      if (pixels == 1) {
        QuantizeFloat(values, static_cast<std::size_t>(batch), static_cast<int>(channels), words, level_, pool);
      } else {
        PackPlanes(values, static_cast<int>(batch), static_cast<int>(channels), static_cast<std::size_t>(pixels), words, level_, pool);
      }
    });
  }

 private:
  const Level level_;
  SessionThreads threads_;
};

}  // namespace

std::unique_ptr<Kernel> MakePackSigns(const NodeInfo&, Level level) { return std::make_unique<PackSigns>(level); }

}  // namespace fdabnn::ort
