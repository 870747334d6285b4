// The common base of operators that move windows over images [N, H, W, ...]: their kernel is an ImageKernel.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "litert/op.h"

namespace fdabnn {

template <class K>
class ImageOp : public Op {
 public:
  void Prepare(const Tensors& tensors, Session& session) final {
    // Resizing an interpreter's inputs changes no constant: the weights are repacked once.
    if (Read(tensors)) kernel_.reset();
    if (!kernel_) {
      std::string reason;
      kernel_ = Create(tensors, session.level(), &reason);
      if (!kernel_) throw Refusal(reason);
    }
    const int* in = tensors.Input(images_[0]).dims->data;
    in_height_ = in[1];
    in_width_ = in[2];
    std::string reason;
    if (!kernel_->Resize(in_height_, in_width_, &reason)) throw Refusal(reason);
    tensors.Resize(tensors.Output(0), {in[0], kernel_->out_height(), kernel_->out_width(), OutputDepth()});
  }

  void Run(const Tensors& tensors, Session& session) final {
    const TfLiteTensor& output = tensors.Output(0);
    const int batch = output.dims->size == 4 ? output.dims->data[0] : -1;
    CheckShape(output, {batch, kernel_->out_height(), kernel_->out_width(), OutputDepth()});
    for (const std::size_t position : images_) CheckShape(tensors.Input(position), {batch, in_height_, in_width_, InputDepth()});
    const typename K::CallTensors call = Gather(tensors);
    if (batch == 0) return;
    ThreadPool& pool = session.Pool(tensors.recommended_threads());
    void* workspace = session.Workspace(kernel_->WorkspaceBytes(pool.threads()));
    if (const char* reason = kernel_->Run(call, batch, pool, workspace)) throw Refusal(reason);
  }

 protected:
  // images: where the images stand among the operator's inputs.
  explicit ImageOp(std::vector<std::size_t> images) : images_(std::move(images)) {}

  const std::vector<std::size_t>& images() const { return images_; }

 private:
  // Checks everything but what the kernel does, images of rank 4 among it. Returns whether the kernel has to be made anew. Throws.
  virtual bool Read(const Tensors& tensors) = 0;

  // Null and the reason where the kernel refuses. Throws.
  virtual std::unique_ptr<K> Create(const Tensors& tensors, Level level, std::string* reason) const = 0;

  // The last dimensions, as they have been read.
  virtual int InputDepth() const = 0;
  virtual int OutputDepth() const = 0;

  // Throws Refusal where a tensor's data is not what its shape says.
  virtual typename K::CallTensors Gather(const Tensors& tensors) = 0;

  const std::vector<std::size_t> images_;
  std::unique_ptr<K> kernel_;
  int in_height_ = 0;
  int in_width_ = 0;
};

}  // namespace fdabnn
