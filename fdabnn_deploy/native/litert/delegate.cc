// The external delegate: claims Larq Compute Engine's operators, and differences of float convolutions, in TensorFlow Lite, LiteRT and
// tflite-runtime.
//
// Options of tflite_plugin_create_delegate:
//   threads   how many the kernels use; without it, as many as the interpreter
//   kernels   the level: scalar, popcnt, avx2, avx512, neon or neon_lookup; without it, $FDABNN_KERNELS or the fastest
//   fuse      0 leaves differences of convolutions to the runtime; without it, 1
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "litert/conv_sum_graph.h"
#include "litert/op.h"
#include "litert/session.h"
#include "litert/tflite_abi.h"

namespace fdabnn {
namespace {

constexpr int kMaxThreads = 1024;

constexpr char kConvSum[] = "FdabnnConvSum";  // in profiles and messages

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
  Delegate(Level level, int threads, bool fuse) : level_(level), threads_(threads), fuse_(fuse) {
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
  const bool fuse_;
  std::mutex mutex_;
  std::map<const TfLiteContext*, std::weak_ptr<Session>> sessions_;
};

// A node of the delegate: one operator of the file, or a tree of them.
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

void ReadNode(TfLiteContext* context, const std::vector<int>& nodes, Kernel* kernel) {
  if (nodes.size() != 1) throw Refusal("the delegate runs single nodes");
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  if (context->GetNodeAndRegistration(context, nodes[0], &node, &registration) != kTfLiteOk) {
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

void ReadTree(TfLiteContext* context, const std::vector<int>& nodes, Kernel* kernel) {
  kernel->name = kConvSum;
  const std::vector<ConvSumTree> trees = FindConvSums(*context, nodes);
  if (trees.size() != 1 || trees[0].nodes.size() != nodes.size()) throw Refusal("the runtime has divided the nodes that run together");
  kernel->info.inputs = trees[0].inputs;
  kernel->info.inputs.insert(kernel->info.inputs.end(), trees[0].border.begin(), trees[0].border.end());
  kernel->info.outputs = {trees[0].output};
  kernel->op = MakeConvSum(kernel->info, trees[0].params, trees[0].expression, !trees[0].border.empty());
}

template <void (*read)(TfLiteContext*, const std::vector<int>&, Kernel*)>
void* KernelInit(TfLiteContext* context, const char* buffer, std::size_t) noexcept {
  auto* kernel = new (std::nothrow) Kernel;
  if (kernel == nullptr || buffer == nullptr) return kernel;
  const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  try {
    kernel->session = static_cast<Delegate*>(params->delegate->data_)->SessionOf(context);
    read(context, ToVector(params->nodes_to_replace), kernel);
  } catch (const Refusal& error) {
    kernel->op.reset();
    kernel->failure = error.what();
  } catch (...) {
    kernel->op.reset();
  }
  return kernel;
}

extern "C" {

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

// Followed by the nodes, as the runtime wants them.
struct NodeList {
  explicit NodeList(const std::vector<int>& nodes) : values(nodes) { values.insert(values.begin(), static_cast<int>(nodes.size())); }
  const TfLiteIntArray* get() const { return reinterpret_cast<const TfLiteIntArray*>(values.data()); }
  std::vector<int> values;
};

void Replace(TfLiteContext* context, TfLiteDelegate* delegate, const std::vector<int>& nodes, decltype(TfLiteRegistration::init) init,
             const char* name) {
  TfLiteRegistration kernel{};
  kernel.init = init;
  kernel.free = KernelFree;
  kernel.prepare = KernelPrepare;
  kernel.invoke = KernelInvoke;
  kernel.builtin_code = kTfLiteBuiltinDelegate;
  kernel.custom_name = name;
  kernel.version = 1;
  if (context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, NodeList(nodes).get(), delegate) != kTfLiteOk) {
    throw Refusal("the runtime does not replace " + std::string(name));
  }
}

// Whether the runtime would make one kernel of the tree, of which nothing but the result is seen from outside.
bool IsOnePartition(TfLiteContext* context, const ConvSumTree& tree) {
  TfLiteDelegateParams* partitions = nullptr;
  int count = 0;
  if (context->PreviewDelegatePartitioning == nullptr ||
      context->PreviewDelegatePartitioning(context, NodeList(tree.nodes).get(), &partitions, &count) != kTfLiteOk || count != 1) {
    return false;
  }
  std::vector<int> nodes = ToVector(partitions->nodes_to_replace), wanted = tree.nodes;
  std::sort(nodes.begin(), nodes.end());
  std::sort(wanted.begin(), wanted.end());
  return nodes == wanted && ToVector(partitions->output_tensors) == std::vector<int>{tree.output};
}

TfLiteStatus Delegate::Prepare(TfLiteContext* context, TfLiteDelegate* delegate) noexcept {
  return Guarded(context, "fdabnn", [&] {
    TfLiteIntArray* array = nullptr;
    if (context->GetExecutionPlan(context, &array) != kTfLiteOk) throw Refusal("the runtime shows no nodes");
    const std::vector<int> plan = ToVector(array);  // a copy: replacing nodes changes the plan
    for (const int index : plan) {
      TfLiteNode* node = nullptr;
      TfLiteRegistration* registration = nullptr;
      if (context->GetNodeAndRegistration(context, index, &node, &registration) != kTfLiteOk) {
        throw Refusal("the runtime does not show a node");
      }
      const Kind* kind = FindKind(registration->custom_name);
      if (kind == nullptr) continue;
      // One call for every node: together they would form larger partitions, whose inner tensors the runtime no longer keeps.
      Replace(context, delegate, {index}, KernelInit<ReadNode>, kind->delegate);
    }
    if (!static_cast<Delegate*>(delegate->data_)->fuse_) return;
    for (const ConvSumTree& tree : FindConvSums(*context, plan)) {
      if (IsOnePartition(context, tree)) Replace(context, delegate, tree.nodes, KernelInit<ReadTree>, kConvSum);
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

bool ParseSwitch(const char* text) {
  if (std::strcmp(text, "0") != 0 && std::strcmp(text, "1") != 0) {
    throw Refusal("the option fuse has to be 0 or 1, not '" + std::string(text) + "'");
  }
  return *text == '1';
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
  bool fuse = true;
  const char* kernels = nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    if (std::strcmp(keys[i], "threads") == 0) {
      threads = ParseThreads(values[i]);
    } else if (std::strcmp(keys[i], "kernels") == 0) {
      kernels = values[i];
    } else if (std::strcmp(keys[i], "fuse") == 0) {
      fuse = ParseSwitch(values[i]);
    } else {
      throw Refusal("unknown option '" + std::string(keys[i]) + "': known are threads, kernels and fuse");
    }
  }
  Level level{};
  std::string reason;
  if (kernels != nullptr) {
    level = ParseLevel(kernels);
  } else if (!ChooseLevel(&level, &reason)) {
    throw Refusal(reason);
  }
  return std::make_unique<Delegate>(level, threads, fuse);
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
