// What the functions of the C interface share: no exception leaves them, and a refusal becomes a text.
#pragma once

#include <algorithm>
#include <new>
#include <string>

#include "c_api/fdabnn.h"
#include "kernels/level.h"
#include "kernels/thread_pool.h"

#define FDABNN_EXPORT __attribute__((visibility("default")))

struct fdabnn_pool {
  explicit fdabnn_pool(int threads) : pool(threads) {}
  fdabnn::ThreadPool pool;
};

namespace {

using fdabnn::Level;

void Say(const std::string& reason, char* error) {
  const std::size_t length = std::min<std::size_t>(reason.size(), FDABNN_ERROR_BYTES - 1);
  reason.copy(error, length);
  error[length] = '\0';
}

int Refuse(const std::string& reason, char* error) {
  Say(reason, error);
  return -1;
}

// What action() returns, or `failed` and a text in place of an exception.
template <class Result, class Action>
Result Guard(Result failed, char* error, Action action) noexcept {
  try {
    return action();
  } catch (const std::bad_alloc&) {
    constexpr char kText[] = "out of memory";
    std::copy(std::begin(kText), std::end(kText), error);
  } catch (...) {
    constexpr char kText[] = "unexpected error";
    std::copy(std::begin(kText), std::end(kText), error);
  }
  return failed;
}

bool IsLevel(int level) { return level >= 0 && level < fdabnn::kLevels; }

bool IsSupported(int level, char* error) {
  if (IsLevel(level) && fdabnn::Supported(static_cast<Level>(level))) return true;
  Say("level " + (IsLevel(level) ? std::string(fdabnn::Name(static_cast<Level>(level))) : std::to_string(level)) + " is not supported here",
      error);
  return false;
}

}  // namespace
