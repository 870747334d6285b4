// libFuzzer's target over options, shapes, types, sizes and indices of the delegate's operators: -fsanitize=fuzzer,address,undefined with
// kernels/*.cc, litert/*.cc, delegate_case.cc and delegate_runtime.cc, each kernel with the flags that its name stands for. What ten
// minutes kept is in delegate_corpus.txt.
#include "tests/delegate_case.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static TfLiteDelegate* const delegate = tflite_plugin_create_delegate(nullptr, nullptr, 0, nullptr);
  const fdabnn::CaseResult result = fdabnn::RunCase(data, size, delegate);
  if (!result.ran && !result.damaged) __builtin_trap();
  return 0;
}
