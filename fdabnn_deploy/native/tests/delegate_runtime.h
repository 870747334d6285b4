// A runtime of our own for a file of a few operators. Every buffer is as large as its tensor says and no larger, for sanitizers to watch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "litert/tflite_abi.h"

namespace fdabnn {

struct FileTensor {
  TfLiteType type = kTfLiteInt32;
  int channels = 0;  // of packed signs: bits behind the last one are 0; nothing is cleared where it is 0
  std::vector<int> dims;
  bool constant = false;
  std::int64_t bytes = -1;  // of its buffer where not those of its shape
  bool no_dims = false;
  bool no_data = false;
  TfLiteQuantizationParams params{0.25f, -3};
  TfLiteQuantizationType quantization = kTfLiteAffineQuantization;
};

struct FileNode {
  const char* custom = nullptr;  // the name of a custom operator
  std::int32_t builtin = 32;     // else the number of a built-in one
  std::vector<std::uint8_t> options;
  std::vector<int> fields;  // of a built-in operator's struct of ints
  std::vector<int> inputs;
  std::vector<int> outputs;
};

struct File {
  std::vector<FileTensor> tensors;
  std::vector<FileNode> nodes;
  std::vector<int> inputs;  // that a user resizes
  std::vector<int> outputs;
};

class Runtime {
 public:
  explicit Runtime(const File& file);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  TfLiteContext* context() { return &context_; }
  const std::string& message() const { return message_; }

  // Of the delegate's kernels; false where there are none.
  bool Prepare();
  bool Invoke();

  // As a user resizes an input: the first dimension.
  bool ResizeInputs(int batch);

 private:
  struct Kernel {
    TfLiteRegistration registration{};
    TfLiteNode node{};
  };

  static Runtime* Of(TfLiteContext* context) { return static_cast<Runtime*>(context->impl_); }
  static void Report(TfLiteContext* context, const char* format, ...);
  TfLiteStatus GetNode(int index, TfLiteNode** node, TfLiteRegistration** registration);
  TfLiteStatus Replace(const TfLiteRegistration& registration, const TfLiteIntArray* nodes, TfLiteDelegate* delegate);
  TfLiteStatus Preview(const TfLiteIntArray* nodes, TfLiteDelegateParams** partitions, int* count);
  TfLiteStatus Resize(TfLiteTensor* tensor, TfLiteIntArray* dims);
  void FreePreview();

  const File& file_;
  std::vector<TfLiteTensor> tensors_;
  std::vector<TfLiteNode> nodes_;
  std::vector<TfLiteRegistration> registrations_;
  std::vector<Kernel> kernels_;
  TfLiteContext context_{};
  TfLiteDelegateParams preview_{};
  TfLiteIntArray* plan_ = nullptr;
  std::string message_;
};

}  // namespace fdabnn
