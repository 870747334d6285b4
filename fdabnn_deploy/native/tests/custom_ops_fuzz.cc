// For libFuzzer: clang++ -fsanitize=fuzzer,address,undefined with the library's sources, custom_ops_case.cc and custom_ops_runtime.cc.
#include "tests/custom_ops_case.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fdabnn::RunCustomOpsCase(data, size);
  return 0;
}
