// Times every operator of a TensorFlow Lite interpreter, those of delegates too, and shows what it has written.
//
// It comes as one more delegate, applied last. It takes no operators; it puts itself in front of the function that runs each one. The
// interpreter's own profiler counts in microseconds and shows no tensors.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "litert/tflite_abi.h"
#include "runner/session.h"
#include "runner/tflite_file.h"

namespace fdabnn::runner {

// One per interpreter, and one at a time, as the functions that it puts in front know no other.
class OpTrace {
 public:
  // `file` is what the interpreter runs; it and this object have to live as long as the interpreter.
  explicit OpTrace(const TfliteFile& file);
  ~OpTrace();
  OpTrace(const OpTrace&) = delete;
  OpTrace& operator=(const OpTrace&) = delete;

  // To be applied after all others.
  TfLiteDelegate* delegate() { return &delegate_; }

  void Observe(Observer observer) { observer_ = std::move(observer); }

  // In the order of execution, without the samples of the first `skipped` runs. Throws Failure where an operator was not seen in every run.
  std::vector<OpTimes> Ops(std::size_t skipped) const;

 private:
  using Invoke = TfLiteStatus (*)(TfLiteContext* context, TfLiteNode* node);

  struct Node {
    const TfLiteNode* node;
    Invoke invoke;
    OpTimes times;
  };

  static TfLiteStatus Prepare(TfLiteContext* context, TfLiteDelegate* delegate) noexcept;
  static TfLiteStatus Timed(TfLiteContext* context, TfLiteNode* node) noexcept;

  void Attach(TfLiteContext* context);
  OpTimes Describe(const TfLiteContext& context, int index, const TfLiteNode& node, const TfLiteRegistration& registration) const;
  Node* Find(const TfLiteNode* node);
  void Show(const TfLiteContext& context, const TfLiteNode& node) const;

  const TfliteFile& file_;
  TfLiteDelegate delegate_{};
  std::vector<Node> nodes_;
  std::size_t next_ = 0;
  bool attached_ = false;
  Observer observer_;
};

}  // namespace fdabnn::runner
