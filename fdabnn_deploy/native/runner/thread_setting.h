// Tells a TensorFlow Lite interpreter how many threads to compute with, where its runtime has no way to: LiteRT 2.3 passes its option on to
// XNNPACK alone, and leaves built-in kernels and other delegates at one.
#pragma once

#include "litert/tflite_abi.h"

namespace fdabnn::runner {

// A delegate that takes no operators, to be applied before all others. It has to live as long as the interpreter.
class ThreadSetting {
 public:
  explicit ThreadSetting(int threads) : threads_(threads) {
    delegate_.data_ = this;
    delegate_.Prepare = Prepare;
    delegate_.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  }
  ThreadSetting(const ThreadSetting&) = delete;
  ThreadSetting& operator=(const ThreadSetting&) = delete;

  TfLiteDelegate* delegate() { return &delegate_; }

 private:
  static TfLiteStatus Prepare(TfLiteContext* context, TfLiteDelegate* delegate) noexcept {
    context->recommended_num_threads = static_cast<ThreadSetting*>(delegate->data_)->threads_;
    return kTfLiteOk;
  }

  TfLiteDelegate delegate_{};
  const int threads_;
};

}  // namespace fdabnn::runner
