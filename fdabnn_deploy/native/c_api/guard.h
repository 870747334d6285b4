// What the functions of the C interface share: no exception leaves them, and a refusal becomes a text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <string>

#include "c_api/fdabnn.h"
#include "kernels/level.h"
#include "kernels/thread_pool.h"
#include "kernels/windows.h"

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

// A kernel (kernels/image_kernel.h) behind a type of the C interface.
template <class K>
struct Prepared {
  std::unique_ptr<K> kernel;
  bool sized = false;
};

template <class K>
int ResizePrepared(Prepared<K>* prepared, int in_height, int in_width, int* out_height, int* out_width, char* error) {
  return Guard(-1, error, [&] {
    prepared->sized = false;
    std::string reason;
    if (!prepared->kernel->Resize(in_height, in_width, &reason)) return Refuse(reason, error);
    prepared->sized = true;
    *out_height = prepared->kernel->out_height();
    *out_width = prepared->kernel->out_width();
    return 0;
  });
}

template <class K>
std::size_t PreparedWorkspaceBytes(const Prepared<K>* prepared, int threads) {
  return prepared->sized ? prepared->kernel->WorkspaceBytes(threads) : 0;
}

template <class K>
int RunPrepared(const Prepared<K>* prepared, const typename K::CallTensors& tensors, int batch, fdabnn_pool* pool, void* workspace,
                char* error) {
  return Guard(-1, error, [&] {
    if (!prepared->sized) return Refuse("no size of the input has been set", error);
    if (batch < 0) return Refuse("a batch of " + std::to_string(batch), error);
    if (reinterpret_cast<std::uintptr_t>(workspace) % 64 != 0) return Refuse("the workspace is not aligned to 64 bytes", error);
    const char* reason = prepared->kernel->Run(tensors, batch, pool->pool, workspace);
    return reason == nullptr ? 0 : Refuse(reason, error);
  });
}

// Fills Windows from the structures of the C interface.
template <class Params>
void CopyConv(const Params& from, fdabnn::Windows* to) {
  to->kernel_h = from.kernel_h;
  to->kernel_w = from.kernel_w;
  to->stride_h = from.stride_h;
  to->stride_w = from.stride_w;
  to->dilation_h = from.dilation_h;
  to->dilation_w = from.dilation_w;
}

template <class Params>
void CopyPads(const Params& from, fdabnn::Windows* to) {
  to->pad_top = from.pad_top;
  to->pad_left = from.pad_left;
  to->pad_bottom = from.pad_bottom;
  to->pad_right = from.pad_right;
}

bool IsLevel(int level) { return level >= 0 && level < fdabnn::kLevels; }

bool IsSupported(int level, char* error) {
  if (IsLevel(level) && fdabnn::Supported(static_cast<Level>(level))) return true;
  Say("level " + (IsLevel(level) ? std::string(fdabnn::Name(static_cast<Level>(level))) : std::to_string(level)) + " is not supported here",
      error);
  return false;
}

// What create(level, &reason) makes, or null and the reason.
template <class Made, class Create>
Made* Make(int level, char* error, Create create) {
  return Guard<Made*>(nullptr, error, [&]() -> Made* {
    if (!IsSupported(level, error)) return nullptr;
    std::string reason;
    auto made = std::make_unique<Made>();
    made->kernel = create(static_cast<Level>(level), &reason);
    if (made->kernel != nullptr) return made.release();
    Say(reason, error);
    return nullptr;
  });
}

}  // namespace
