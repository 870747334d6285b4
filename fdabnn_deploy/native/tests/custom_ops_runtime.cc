#include "tests/custom_ops_runtime.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>

struct OrtTensorTypeAndShapeInfo {
  std::vector<std::int64_t> shape;
  OrtElementType type;
};

struct OrtCustomOpDomain {
  std::vector<const OrtCustomOp*> ops;
};

struct OrtSessionOptions {
  OrtCustomOpDomain* domain = nullptr;
};

extern "C" OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base);

namespace fdabnn {
namespace {

constexpr int kThreads = 3;

OrtStatus* Fail(const char* message) { return new OrtStatus{message}; }

OrtApi MakeApi() {
  OrtApi api{};
  api.CreateStatus = [](OrtErrorCode, const char* message) { return Fail(message); };
  api.GetErrorMessage = [](const OrtStatus* status) { return status->message.c_str(); };
  api.ReleaseStatus = [](OrtStatus* status) { delete status; };
  api.CreateCustomOpDomain = [](const char*, OrtCustomOpDomain** out) -> OrtStatus* {
    // As in the runtime, the domain lives as long as the options, here as long as the process.
    static OrtCustomOpDomain domain;
    *out = &domain;
    return nullptr;
  };
  api.CustomOpDomain_Add = [](OrtCustomOpDomain* domain, const OrtCustomOp* op) -> OrtStatus* {
    domain->ops.push_back(op);
    return nullptr;
  };
  api.AddCustomOpDomain = [](OrtSessionOptions* options, OrtCustomOpDomain* domain) -> OrtStatus* {
    options->domain = domain;
    return nullptr;
  };
  api.GetTensorMutableData = [](OrtValue* value, void** out) -> OrtStatus* {
    *out = value->bytes ? static_cast<void*>(value->bytes.get()) : value->data.get();
    return nullptr;
  };
  api.GetTensorTypeAndShape = [](const OrtValue* value, OrtTensorTypeAndShapeInfo** out) -> OrtStatus* {
    *out = new OrtTensorTypeAndShapeInfo{value->shape, value->type};
    return nullptr;
  };
  api.GetTensorElementType = [](const OrtTensorTypeAndShapeInfo* info, OrtElementType* out) -> OrtStatus* {
    *out = info->type;
    return nullptr;
  };
  api.GetDimensionsCount = [](const OrtTensorTypeAndShapeInfo* info, std::size_t* out) -> OrtStatus* {
    *out = info->shape.size();
    return nullptr;
  };
  api.GetDimensions = [](const OrtTensorTypeAndShapeInfo* info, std::int64_t* values, std::size_t length) -> OrtStatus* {
    std::copy_n(info->shape.begin(), length, values);
    return nullptr;
  };
  api.ReleaseTensorTypeAndShapeInfo = [](OrtTensorTypeAndShapeInfo* info) { delete info; };
  api.KernelInfoGetAttribute_int64 = [](const OrtKernelInfo* info, const char* name, std::int64_t* out) -> OrtStatus* {
    const auto found = info->ints.find(name);
    if (found == info->ints.end()) return Fail("no such attribute");
    *out = found->second;
    return nullptr;
  };
  api.KernelInfoGetAttributeArray_int64 = [](const OrtKernelInfo* info, const char* name, std::int64_t* out,
                                             std::size_t* size) -> OrtStatus* {
    const auto found = info->lists.find(name);
    if (found == info->lists.end()) return Fail("no such attribute");
    if (out != nullptr) {
      if (*size < found->second.size()) return Fail("not enough room");
      std::copy(found->second.begin(), found->second.end(), out);
    }
    *size = found->second.size();
    return nullptr;
  };
  api.KernelInfoGetConstantInput_tensor = [](const OrtKernelInfo* info, std::size_t index, int* constant,
                                             const OrtValue** out) -> OrtStatus* {
    const auto found = info->constants.find(index);
    *constant = found != info->constants.end();
    *out = *constant ? found->second : nullptr;
    return nullptr;
  };
  api.KernelContext_GetInput = [](const OrtKernelContext* context, std::size_t index, const OrtValue** out) -> OrtStatus* {
    const auto found = context->inputs.find(index);
    *out = found != context->inputs.end() ? found->second : nullptr;
    return nullptr;
  };
  api.KernelContext_GetOutput = [](OrtKernelContext* context, std::size_t index, const std::int64_t* dims, std::size_t count,
                                   OrtValue** out) -> OrtStatus* {
    const auto found = context->outputs.find(index);
    if (found == context->outputs.end()) {
      *out = nullptr;
      return nullptr;
    }
    found->second = std::make_unique<OrtValue>(std::vector<std::int64_t>(dims, dims + count));
    *out = found->second.get();
    return nullptr;
  };
  api.KernelContext_ParallelFor = [](const OrtKernelContext*, void (*body)(void* data, std::size_t index), std::size_t total, std::size_t,
                                     void* data) -> OrtStatus* {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      for (std::size_t index = next++; index < total; index = next++) body(data, index);
    };
    std::vector<std::thread> threads;
    for (int i = 1; i < kThreads; ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    return nullptr;
  };
  return api;
}

}  // namespace

const OrtApi* CustomOpsApi() {
  static const OrtApi api = MakeApi();
  return &api;
}

const OrtCustomOp* FindCustomOp(const std::string& name) {
  static const OrtSessionOptions options = [] {
    OrtSessionOptions made;
    const OrtApiBase base = {[](std::uint32_t) { return CustomOpsApi(); }, nullptr};
    RegisterCustomOps(&made, &base);
    return made;
  }();
  for (const OrtCustomOp* op : options.domain->ops) {
    if (name == op->GetName(op)) return op;
  }
  return nullptr;
}

}  // namespace fdabnn
