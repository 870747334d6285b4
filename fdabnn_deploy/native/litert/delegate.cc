// The external delegate: claims Larq Compute Engine's operators, and differences of float convolutions, in TensorFlow Lite, LiteRT and
// tflite-runtime.
//
// Options of tflite_plugin_create_delegate:
//   threads   how many the kernels use; without it, as many as the interpreter
//   kernels   the level: scalar, popcnt, avx2, avx512, neon or neon_lookup; without it, $FDABNN_KERNELS or the fastest
//   fuse      0 leaves differences of convolutions to the runtime, and turns the engine off; without it, 1
//   engine    0 runs operators one by one; groups runs what belongs together as operators of their own; without it, 1, whole parts of the
//             file as one operator each
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "litert/conv_sum_constants.h"
#include "litert/conv_sum_graph.h"
#include "litert/engine_claims.h"
#include "litert/engine_graph.h"
#include "litert/op.h"
#include "litert/partition.h"
#include "litert/session.h"
#include "litert/tflite_abi.h"

namespace fdabnn {
namespace {

constexpr int kMaxThreads = 1024;

constexpr char kConvSum[] = "FdabnnConvSum";  // in profiles and messages
constexpr char kEngine[] = "FdabnnEngine";

enum class EngineMode { kOff, kGroups, kOn };

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
  Delegate(Level level, int threads, bool fuse, EngineMode engine) : level_(level), threads_(threads), fuse_(fuse), engine_(engine) {
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
  const EngineMode engine_;
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

void ReadNode(TfLiteContext* context, const TfLiteDelegateParams& params, Kernel* kernel) {
  const std::vector<int> nodes = ToVector(params.nodes_to_replace);
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

void ReadTree(TfLiteContext* context, const TfLiteDelegateParams& params, Kernel* kernel) {
  const std::vector<int> nodes = ToVector(params.nodes_to_replace);
  kernel->name = kConvSum;
  const std::vector<ConvSumTree> trees = FindConvSums(*context, nodes);
  if (trees.size() != 1 || trees[0].nodes.size() != nodes.size()) throw Refusal("the runtime has divided the nodes that run together");
  kernel->info.inputs = trees[0].inputs;
  kernel->info.inputs.insert(kernel->info.inputs.end(), trees[0].border.begin(), trees[0].border.end());
  kernel->info.outputs = {trees[0].output};
  kernel->op = MakeConvSum(kernel->info, trees[0].params, trees[0].expression, BorderOf(trees[0]));
}

void ReadEngine(TfLiteContext* context, const TfLiteDelegateParams& params, Kernel* kernel) {
  kernel->name = kEngine;
  EngineGraph graph = ReadEngineGraph(context, ToVector(params.nodes_to_replace), ToVector(params.output_tensors));
  kernel->info.inputs = graph.inputs;
  kernel->info.outputs = graph.outputs;
  kernel->op = MakeEngine(std::move(graph));
}

template <void (*read)(TfLiteContext*, const TfLiteDelegateParams&, Kernel*)>
void* KernelInit(TfLiteContext* context, const char* buffer, std::size_t) noexcept {
  auto* kernel = new (std::nothrow) Kernel;
  if (kernel == nullptr || buffer == nullptr) return kernel;
  const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  try {
    kernel->session = static_cast<Delegate*>(params->delegate->data_)->SessionOf(context);
    read(context, *params, kernel);
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
  const std::vector<Partition> partitions = PreviewPartitions(context, tree.nodes);
  if (partitions.size() != 1) return false;
  std::vector<int> nodes = partitions[0].nodes, wanted = tree.nodes;
  std::sort(nodes.begin(), nodes.end());
  std::sort(wanted.begin(), wanted.end());
  return nodes == wanted && partitions[0].outputs == std::vector<int>{tree.output};
}

// The plan without what stands in a part.
void Remove(const std::vector<int>& part, std::vector<int>* plan) {
  plan->erase(std::remove_if(plan->begin(), plan->end(), [&](int node) { return std::find(part.begin(), part.end(), node) != part.end(); }),
              plan->end());
}

TfLiteStatus Delegate::Prepare(TfLiteContext* context, TfLiteDelegate* c_delegate) noexcept {
  return Guarded(context, "fdabnn", [&] {
    const auto& delegate = *static_cast<Delegate*>(c_delegate->data_);
    TfLiteIntArray* array = nullptr;
    if (context->GetExecutionPlan(context, &array) != kTfLiteOk) throw Refusal("the runtime shows no nodes");
    std::vector<int> plan = ToVector(array);  // a copy: replacing nodes changes the plan
    std::vector<ConvSumTree> trees;
    if (delegate.fuse_) {
      for (ConvSumTree& tree : FindConvSums(*context, plan)) {
        if (IsOnePartition(context, tree)) trees.push_back(std::move(tree));
      }
    }
    if (delegate.fuse_ && delegate.engine_ != EngineMode::kOff) {
      for (const EngineClaim& claim : FindEngineClaims(context, plan, trees, delegate.engine_ == EngineMode::kGroups)) {
        // Claims in front of it may have changed the order of the plan.
        if (PreviewPartitions(context, claim.nodes).size() != 1) continue;
        Replace(context, c_delegate, claim.nodes, KernelInit<ReadEngine>, claim.name);
        Remove(claim.nodes, &plan);
      }
    }
    for (const int index : plan) {
      TfLiteNode* node = nullptr;
      TfLiteRegistration* registration = nullptr;
      if (context->GetNodeAndRegistration(context, index, &node, &registration) != kTfLiteOk) {
        throw Refusal("the runtime does not show a node");
      }
      const Kind* kind = FindKind(registration->custom_name);
      if (kind == nullptr) continue;
      // One call for every node: together they would form larger partitions, whose inner tensors the runtime no longer keeps.
      Replace(context, c_delegate, {index}, KernelInit<ReadNode>, kind->delegate);
    }
    for (const ConvSumTree& tree : trees) {
      if (std::find(plan.begin(), plan.end(), tree.nodes.back()) != plan.end()) {
        Replace(context, c_delegate, tree.nodes, KernelInit<ReadTree>, kConvSum);
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

bool ParseSwitch(const char* text) {
  if (std::strcmp(text, "0") != 0 && std::strcmp(text, "1") != 0) {
    throw Refusal("the option fuse has to be 0 or 1, not '" + std::string(text) + "'");
  }
  return *text == '1';
}

EngineMode ParseEngine(const char* text) {
  if (std::strcmp(text, "groups") == 0) return EngineMode::kGroups;
  if (std::strcmp(text, "0") != 0 && std::strcmp(text, "1") != 0) {
    throw Refusal("the option engine has to be 0, 1 or groups, not '" + std::string(text) + "'");
  }
  return *text == '1' ? EngineMode::kOn : EngineMode::kOff;
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
  EngineMode engine = EngineMode::kOn;
  const char* kernels = nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    if (std::strcmp(keys[i], "threads") == 0) {
      threads = ParseThreads(values[i]);
    } else if (std::strcmp(keys[i], "kernels") == 0) {
      kernels = values[i];
    } else if (std::strcmp(keys[i], "fuse") == 0) {
      fuse = ParseSwitch(values[i]);
    } else if (std::strcmp(keys[i], "engine") == 0) {
      engine = ParseEngine(values[i]);
    } else {
      throw Refusal("unknown option '" + std::string(keys[i]) + "': known are threads, kernels, fuse and engine");
    }
  }
  Level level{};
  std::string reason;
  if (kernels != nullptr) {
    level = ParseLevel(kernels);
  } else if (!ChooseLevel(&level, &reason)) {
    throw Refusal(reason);
  }
  return std::make_unique<Delegate>(level, threads, fuse, engine);
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
