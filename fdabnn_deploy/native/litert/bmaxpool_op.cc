// LceBMaxPool2d: signs, int32 [N, H, W, words] -> signs, int32 [N, H', W', words].
#include <limits>

#include "kernels/bmaxpool.h"
#include "litert/op.h"

namespace fdabnn {
namespace {

class Bmaxpool : public Op {
 public:
  explicit Bmaxpool(const OpInfo& info) {
    constexpr int most = std::numeric_limits<int>::max();
    params_.kernel_h = info.Option("filter_height", 1, most);
    params_.kernel_w = info.Option("filter_width", 1, most);
    params_.stride_h = info.Option("stride_height", 1, most);
    params_.stride_w = info.Option("stride_width", 1, most);
    params_.same_padding = info.Option("padding", 0, 1) == 0;
  }

  void Prepare(const Tensors& tensors, Session&) override {
    tensors.CheckCounts(1, 1);
    const TfLiteTensor& input = tensors.Input(0);
    TfLiteTensor& output = tensors.Output(0);
    CheckType(input, {kTfLiteInt32});
    CheckType(output, {kTfLiteInt32});
    CheckRank(input, 4);
    const int* shape = input.dims->data;
    size_.in_height = shape[1];
    size_.in_width = shape[2];
    size_.words = shape[3];
    std::string reason;
    if (!ResizeBmaxpool(params_, &size_, &reason)) throw Refusal(reason);
    tensors.Resize(output, {shape[0], size_.out_height, size_.out_width, shape[3]});
  }

  void Run(const Tensors& tensors, Session& session) override {
    const TfLiteTensor& input = tensors.Input(0);
    const TfLiteTensor& output = tensors.Output(0);
    const int* in = input.dims->data;
    const int* out = output.dims->data;
    if (input.dims->size != 4 || output.dims->size != 4 || in[0] != out[0] || in[1] != size_.in_height || in[2] != size_.in_width ||
        in[3] != size_.words || out[1] != size_.out_height || out[2] != size_.out_width || out[3] != size_.words) {
      throw Refusal("shapes have changed without preparation");
    }
    const Word* words = Data<const Word>(input);
    Word* result = Data<Word>(output);
    if (in[0] == 0 || size_.words == 0) return;
    RunBmaxpool(params_, size_, words, in[0], result, session.level(), session.Pool(tensors.recommended_threads()));
  }

 private:
  BmaxpoolParams params_;
  BmaxpoolSize size_;
};

}  // namespace

std::unique_ptr<Op> MakeBmaxpool(const OpInfo& info) { return std::make_unique<Bmaxpool>(info); }

}  // namespace fdabnn
