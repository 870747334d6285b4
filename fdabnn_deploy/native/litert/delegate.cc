// The external delegate: claims Larq Compute Engine's operators in TensorFlow Lite, LiteRT and tflite-runtime.
//
// Options of tflite_plugin_create_delegate:
//   threads   how many the kernels use; without it, as many as the interpreter
//   kernels   the level: scalar, popcnt, avx2, avx512 or neon; without it, $FDABNN_KERNELS or the fastest
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "litert/op.h"
#include "litert/session.h"
#include "litert/tflite_abi.h"

namespace fdabnn {
namespace {

constexpr int kMaxThreads = 1024;

struct Kind {
  const char* name;      // in files
  const char* delegate;  // in profiles
  std::unique_ptr<Op> (*make)(const OpInfo& info);
};

constexpr Kind kKinds[] = {
    {"LceQuantize", "FdabnnQuantize", MakeQuantize},
    {"LceDequantize", "FdabnnDequantize", MakeDequantize},
    {"LceBconv2d", "FdabnnBconv2d", MakeBconv},
    {"LceBMaxPool2d", "FdabnnBMaxPool2d", MakeBmaxpool},
};

const Kind* FindKind(const char* name) {
  if (name == nullptr) return nullptr;
  for (const Kind& kind : kKinds) {
    if (std::strcmp(kind.name, name) == 0) return &kind;
  }
  return nullptr;
}

// One delegate may serve several interpreters, in threads of their own. Each gets a session, which its kernels hold.
class Delegate {
 public:
  Delegate(Level level, int threads) : level_(level), threads_(threads) {
    c_.data_ = this;
    c_.Prepare = Prepare;
    // Otherwise the runtime prepares every node first, and fails on operators that it does not know.
    c_.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  }

  TfLiteDelegate* c() { return &c_; }

  std::shared_ptr<Session> SessionOf(const TfLiteContext* context) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto entry = sessions_.begin(); entry != sessions_.end();) {
      entry = entry->second.expired() ? sessions_.erase(entry) : std::next(entry);
    }
    std::shared_ptr<Session> session = sessions_[context].lock();
    if (!session) {
      session = std::make_shared<Session>(level_, threads_);
      sessions_[context] = session;
    }
    return session;
  }

 private:
  static TfLiteStatus Prepare(TfLiteContext* context, TfLiteDelegate* delegate) noexcept;

  TfLiteDelegate c_{};
  const Level level_;
  const int threads_;
  std::mutex mutex_;
  std::map<const TfLiteContext*, std::weak_ptr<Session>> sessions_;
};

// A node of the delegate: one operator of the file.
struct Kernel {
  const char* name = "";
  OpInfo info;
  std::unique_ptr<Op> op;
  std::shared_ptr<Session> session;
  std::string failure;  // of `init`, which has no way to report it
  bool prepared = false;
};

// Runs code that may throw, and reports what it throws.
template <typename F>
TfLiteStatus Guarded(TfLiteContext* context, const char* name, F code) noexcept {
  try {
    code();
    return kTfLiteOk;
  } catch (const std::bad_alloc&) {
    context->ReportError(context, "%s: not enough memory", name);
  } catch (const std::exception& error) {
    context->ReportError(context, "%s: %s", name, error.what());
  } catch (...) {
    context->ReportError(context, "%s: unknown error", name);
  }
  return kTfLiteError;
}

std::vector<int> ToVector(const TfLiteIntArray* array) {
  if (array == nullptr || array->size < 0) return {};
  return std::vector<int>(array->data, array->data + array->size);
}

void ReadNode(TfLiteContext* context, const TfLiteDelegateParams& params, Kernel* kernel) {
  if (params.nodes_to_replace == nullptr || params.nodes_to_replace->size != 1) throw Refusal("the delegate runs single nodes");
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  if (context->GetNodeAndRegistration(context, params.nodes_to_replace->data[0], &node, &registration) != kTfLiteOk) {
    throw Refusal("the runtime does not show the node");
  }
  const Kind* kind = FindKind(registration->custom_name);
  if (kind == nullptr) throw Refusal("no operator of this delegate");
  kernel->name = kind->name;
  // The delegate's own node leaves optional inputs out and names every tensor once: only the original has them in order.
  kernel->info.inputs = ToVector(node->inputs);
  kernel->info.outputs = ToVector(node->outputs);
  kernel->info.options = static_cast<const std::uint8_t*>(node->custom_initial_data);
  kernel->info.options_size = node->custom_initial_data_size > 0 ? static_cast<std::size_t>(node->custom_initial_data_size) : 0;
  kernel->op = kind->make(kernel->info);
}

extern "C" {

void* KernelInit(TfLiteContext* context, const char* buffer, std::size_t) noexcept {
  auto* kernel = new (std::nothrow) Kernel;
  if (kernel == nullptr || buffer == nullptr) return kernel;
  const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  try {
    kernel->session = static_cast<Delegate*>(params->delegate->data_)->SessionOf(context);
    ReadNode(context, *params, kernel);
  } catch (const Refusal& error) {
    kernel->op.reset();
    kernel->failure = error.what();
  } catch (...) {
    kernel->op.reset();
  }
  return kernel;
}

void KernelFree(TfLiteContext*, void* kernel) noexcept { delete static_cast<Kernel*>(kernel); }

TfLiteStatus KernelPrepare(TfLiteContext* context, TfLiteNode* node) noexcept {
  auto* kernel = static_cast<Kernel*>(node->user_data);
  return Guarded(context, kernel == nullptr ? "fdabnn" : kernel->name, [&] {
    if (kernel == nullptr || (!kernel->op && kernel->failure.empty())) throw std::bad_alloc();
    if (!kernel->op) throw Refusal(kernel->failure);
    kernel->prepared = false;
    kernel->op->Prepare(Tensors(context, kernel->info), *kernel->session);
    kernel->prepared = true;
  });
}

TfLiteStatus KernelInvoke(TfLiteContext* context, TfLiteNode* node) noexcept {
  auto* kernel = static_cast<Kernel*>(node->user_data);
  return Guarded(context, kernel == nullptr ? "fdabnn" : kernel->name, [&] {
    if (kernel == nullptr || !kernel->prepared) throw Refusal("run without preparation");
    kernel->op->Run(Tensors(context, kernel->info), *kernel->session);
  });
}

}  // extern "C"

TfLiteStatus Delegate::Prepare(TfLiteContext* context, TfLiteDelegate* delegate) noexcept {
  return Guarded(context, "fdabnn", [&] {
    TfLiteIntArray* plan = nullptr;
    if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) throw Refusal("the runtime shows no nodes");
    // A copy: replacing nodes changes the plan.
    for (const int index : ToVector(plan)) {
      TfLiteNode* node = nullptr;
      TfLiteRegistration* registration = nullptr;
      if (context->GetNodeAndRegistration(context, index, &node, &registration) != kTfLiteOk) {
        throw Refusal("the runtime does not show a node");
      }
      const Kind* kind = FindKind(registration->custom_name);
      if (kind == nullptr) continue;
      TfLiteRegistration kernel{};
      kernel.init = KernelInit;
      kernel.free = KernelFree;
      kernel.prepare = KernelPrepare;
      kernel.invoke = KernelInvoke;
      kernel.builtin_code = kTfLiteBuiltinDelegate;
      kernel.custom_name = kind->delegate;
      kernel.version = 1;
      // One call for every node: together they would form larger partitions, whose inner tensors the runtime no longer keeps.
      const TfLiteIntArray one{1, {index}};
      if (context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, &one, delegate) != kTfLiteOk) {
        throw Refusal("the runtime does not replace " + std::string(kind->name));
      }
    }
  });
}

int ParseThreads(const char* text) {
  char* end = nullptr;
  const long threads = std::strtol(text, &end, 10);
  if (end == text || *end != '\0' || threads < 1 || threads > kMaxThreads) {
    throw Refusal("the option threads has to be a number from 1 to " + std::to_string(kMaxThreads) + ", not '" + text + "'");
  }
  return static_cast<int>(threads);
}

Level ParseLevel(const char* text) {
  std::string known;
  for (int i = 0; i < kLevels; ++i) {
    const Level level = static_cast<Level>(i);
    if (!Supported(level)) continue;
    if (std::strcmp(Name(level), text) == 0) return level;
    known += (known.empty() ? "" : ", ") + std::string(Name(level));
  }
  throw Refusal("the option kernels has to be one of " + known + " on this processor, not '" + text + "'");
}

std::unique_ptr<Delegate> Create(const char* const* keys, const char* const* values, std::size_t count) {
  int threads = 0;
  const char* kernels = nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    if (std::strcmp(keys[i], "threads") == 0) {
      threads = ParseThreads(values[i]);
    } else if (std::strcmp(keys[i], "kernels") == 0) {
      kernels = values[i];
    } else {
      throw Refusal("unknown option '" + std::string(keys[i]) + "': known are threads and kernels");
    }
  }
  Level level{};
  std::string reason;
  if (kernels != nullptr) {
    level = ParseLevel(kernels);
  } else if (!ChooseLevel(&level, &reason)) {
    throw Refusal(reason);
  }
  return std::make_unique<Delegate>(level, threads);
}

}  // namespace
}  // namespace fdabnn

extern "C" {

__attribute__((visibility("default"))) TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                                                                     std::size_t count,
                                                                                     void (*report_error)(const char*)) noexcept {
  try {
    return fdabnn::Create(keys, values, count).release()->c();
  } catch (const std::exception& error) {
    if (report_error != nullptr) report_error(error.what());
  } catch (...) {
    if (report_error != nullptr) report_error("unknown error");
  }
  return nullptr;
}

__attribute__((visibility("default"))) void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) noexcept {
  if (delegate != nullptr) delete static_cast<fdabnn::Delegate*>(delegate->data_);
}

}  // extern "C"
