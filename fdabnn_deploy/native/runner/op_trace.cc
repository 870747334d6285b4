#include "runner/op_trace.h"

#include <algorithm>
#include <exception>

#include "kernels/clock.h"
#include "runner/failure.h"

namespace fdabnn::runner {
namespace {

OpTrace* current = nullptr;

std::vector<std::int64_t> ToVector(const TfLiteIntArray* array) {
  if (array == nullptr || array->size < 0) return {};
  return std::vector<std::int64_t>(array->data, array->data + array->size);
}

const TfLiteTensor* TensorAt(const TfLiteContext& context, int index) {
  return index < 0 || static_cast<std::size_t>(index) >= context.tensors_size ? nullptr : context.tensors + index;
}

}  // namespace

OpTrace::OpTrace(const TfliteFile& file) : file_(file) {
  delegate_.data_ = this;
  delegate_.Prepare = Prepare;
  delegate_.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  current = this;
}

OpTrace::~OpTrace() {
  if (current == this) current = nullptr;
}

TfLiteStatus OpTrace::Prepare(TfLiteContext* context, TfLiteDelegate* delegate) noexcept {
  try {
    static_cast<OpTrace*>(delegate->data_)->Attach(context);
    return kTfLiteOk;
  } catch (const std::exception& error) {
    context->ReportError(context, "tracing: %s", error.what());
    return kTfLiteError;
  }
}

void OpTrace::Attach(TfLiteContext* context) {
  // Further subgraphs belong to control flow, whose time the operator that calls them has.
  if (attached_) return;
  attached_ = true;
  TfLiteIntArray* plan = nullptr;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) throw Damaged("the runtime shows no operators");
  for (const std::int64_t index : ToVector(plan)) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, static_cast<int>(index), &node, &registration) != kTfLiteOk) {
      throw Damaged("the runtime does not show an operator");
    }
    nodes_.push_back({node, registration->invoke, Describe(*context, static_cast<int>(index), *node, *registration)});
    registration->invoke = Timed;
  }
}

OpTimes OpTrace::Describe(const TfLiteContext& context, int index, const TfLiteNode& node, const TfLiteRegistration& registration) const {
  OpTimes times;
  if (node.outputs != nullptr && node.outputs->size > 0) {
    const TfLiteTensor* tensor = TensorAt(context, node.outputs->data[node.outputs->size - 1]);
    if (tensor != nullptr && tensor->name != nullptr) times.name = tensor->name;
  }
  const bool delegated = registration.builtin_code == kTfLiteBuiltinDelegate;
  const char* custom = registration.custom_name;
  times.kernel = delegated && custom != nullptr ? custom : "built-in";
  if (delegated) {
    if (node.builtin_data != nullptr) times.nodes = ToVector(static_cast<const TfLiteDelegateParams*>(node.builtin_data)->nodes_to_replace);
  } else {
    times.nodes = {index};
  }
  // Of several, the one that writes the tensor.
  for (const std::int64_t inner : times.nodes) {
    if (inner < 0 || inner >= static_cast<std::int64_t>(file_.operators.size())) continue;
    const TfliteOperator& known = file_.operators[static_cast<std::size_t>(inner)];
    for (const std::int32_t output : known.outputs) {
      if (file_.tensors[static_cast<std::size_t>(output)].name == times.name) times.node = inner;
    }
    if (times.nodes.size() == 1) times.type = known.name;
  }
  if (times.type.empty()) times.type = custom != nullptr ? custom : "builtin " + std::to_string(registration.builtin_code);
  return times;
}

// They run in one order, run after run.
OpTrace::Node* OpTrace::Find(const TfLiteNode* node) {
  if (next_ < nodes_.size() && nodes_[next_].node != node) {
    const auto found = std::find_if(nodes_.begin(), nodes_.end(), [&](const Node& known) { return known.node == node; });
    next_ = static_cast<std::size_t>(found - nodes_.begin());
  }
  if (next_ >= nodes_.size()) {
    next_ = 0;
    return nullptr;
  }
  Node* found = &nodes_[next_];
  next_ = (next_ + 1) % nodes_.size();
  return found;
}

TfLiteStatus OpTrace::Timed(TfLiteContext* context, TfLiteNode* node) noexcept {
  Node* found = current == nullptr ? nullptr : current->Find(node);
  if (found == nullptr || found->invoke == nullptr) {
    context->ReportError(context, "tracing: the runtime has moved its operators");
    return kTfLiteError;
  }
  const std::int64_t start = Nanoseconds();
  const TfLiteStatus status = found->invoke(context, node);
  const std::int64_t time = Nanoseconds() - start;
  try {
    found->times.samples.push_back(time);
    if (status == kTfLiteOk && current->observer_) current->Show(*context, *node);
  } catch (const std::exception& error) {
    context->ReportError(context, "tracing: %s", error.what());
    return kTfLiteError;
  }
  return status;
}

void OpTrace::Show(const TfLiteContext& context, const TfLiteNode& node) const {
  for (const std::int64_t index : ToVector(node.outputs)) {
    const TfLiteTensor* tensor = TensorAt(context, static_cast<int>(index));
    if (tensor != nullptr && tensor->name != nullptr && tensor->data != nullptr) observer_(tensor->name, tensor->data, tensor->bytes);
  }
}

std::vector<OpTimes> OpTrace::Ops(std::size_t skipped) const {
  std::vector<OpTimes> ops;
  for (const Node& node : nodes_) {
    OpTimes times = node.times;
    if (times.samples.size() != nodes_.front().times.samples.size() || times.samples.size() <= skipped) {
      throw Failure(Exit::kBug, "a bug of the runner: operator " + times.name + " was not seen in every run");
    }
    times.samples.erase(times.samples.begin(), times.samples.begin() + static_cast<std::ptrdiff_t>(skipped));
    ops.push_back(std::move(times));
  }
  return ops;
}

}  // namespace fdabnn::runner
