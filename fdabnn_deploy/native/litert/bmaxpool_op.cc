// LceBMaxPool2d: signs, int32 [N, H, W, words] -> signs, int32 [N, H', W', words].
#include <limits>
#include <utility>

#include "kernels/bmaxpool.h"
#include "litert/image_op.h"

namespace fdabnn {
namespace {

class BmaxpoolOp : public ImageOp<Bmaxpool> {
 public:
  explicit BmaxpoolOp(const OpInfo& info) : ImageOp({0}) {
    constexpr int most = std::numeric_limits<int>::max();
    params_.kernel_h = info.Option("filter_height", 1, most);
    params_.kernel_w = info.Option("filter_width", 1, most);
    info.ReadStrides(&params_);
  }

 private:
  bool Read(const Tensors& tensors) override {
    tensors.CheckCounts(1, 1);
    const TfLiteTensor& input = tensors.Input(0);
    CheckType(input, {kTfLiteInt32});
    CheckType(tensors.Output(0), {kTfLiteInt32});
    CheckRank(input, 4);
    const int before = std::exchange(params_.words, input.dims->data[3]);
    return before != params_.words;
  }

  std::unique_ptr<Bmaxpool> Create(const Tensors&, Level, std::string* reason) const override { return Bmaxpool::Create(params_, reason); }

  int InputDepth() const override { return params_.words; }
  int OutputDepth() const override { return params_.words; }

  BmaxpoolTensors Gather(const Tensors& tensors) override { return {Data<const Word>(tensors.Input(0)), Data<Word>(tensors.Output(0))}; }

  BmaxpoolParams params_;
};

}  // namespace

std::unique_ptr<Op> MakeBmaxpool(const OpInfo& info) { return std::make_unique<BmaxpoolOp>(info); }

}  // namespace fdabnn
