// What the delegate takes, one operator or a tree of them, in a runtime of our own, described by bytes: sound, then damaged in the ways
// that a file can be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "litert/tflite_abi.h"

extern "C" {
TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, std::size_t count,
                                              void (*report_error)(const char*)) noexcept;
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) noexcept;
}

namespace fdabnn {

struct CaseResult {
  bool damaged = false;  // the bytes asked for damage
  bool ran = false;      // every preparation and run went well
  std::string message;   // what was reported last
};

// Every buffer is as large as its tensor says and no larger, for sanitizers to watch.
CaseResult RunCase(const std::uint8_t* data, std::size_t size, TfLiteDelegate* delegate);

}  // namespace fdabnn
