// The door for ONNX Runtime: SessionOptions.register_custom_ops_library(path) calls RegisterCustomOps, which adds the domain `fdabnn`.
#include <exception>
#include <memory>
#include <new>
#include <string>

#include "onnxruntime/ops.h"

namespace fdabnn::ort {
namespace {

// An operator's schema. Inputs and outputs: a letter each, `f` float32, `i` int32 and `a` any type, capital where optional.
struct Op : OrtCustomOp {
  const char* name;
  const char* inputs;
  const char* outputs;
  std::unique_ptr<Kernel> (*make)(const NodeInfo& node, Level level);
};

struct Made {
  const OrtApi* api;
  const char* name;
  std::unique_ptr<Kernel> kernel;
};

OrtElementType TypeOf(char letter) {
  if (letter == 'a') return kOrtAny;
  return letter == 'f' || letter == 'F' ? kOrtFloat : kOrtInt32;
}

OrtCharacteristic CharacteristicOf(char letter) { return letter == 'F' || letter == 'I' ? kOrtOptional : kOrtRequired; }

const Op& AsOp(const OrtCustomOp* op) { return *static_cast<const Op*>(op); }

// Runs code that may throw, and reports what it throws.
template <class Code>
OrtStatus* Guarded(const OrtApi& api, const char* name, Code code) noexcept {
  try {
    code();
    return nullptr;
  } catch (const Refusal& refusal) {
    try {
      return api.CreateStatus(kOrtInvalidArgument, (std::string(name) + ": " + refusal.what()).c_str());
    } catch (...) {
      return api.CreateStatus(kOrtInvalidArgument, name);
    }
  } catch (const std::bad_alloc&) {
    return api.CreateStatus(kOrtFail, "fdabnn: not enough memory");
  } catch (const std::exception& error) {
    return api.CreateStatus(kOrtFail, error.what());
  } catch (...) {
    return api.CreateStatus(kOrtFail, "fdabnn: unknown error");
  }
}

extern "C" {

const char* GetName(const OrtCustomOp* op) { return AsOp(op).name; }
const char* GetProvider(const OrtCustomOp*) { return nullptr; }  // the processor
std::size_t CountInputs(const OrtCustomOp* op) { return std::char_traits<char>::length(AsOp(op).inputs); }
std::size_t CountOutputs(const OrtCustomOp* op) { return std::char_traits<char>::length(AsOp(op).outputs); }
OrtElementType GetInputType(const OrtCustomOp* op, std::size_t index) { return TypeOf(AsOp(op).inputs[index]); }
OrtElementType GetOutputType(const OrtCustomOp* op, std::size_t index) { return TypeOf(AsOp(op).outputs[index]); }
OrtCharacteristic GetInputCharacteristic(const OrtCustomOp* op, std::size_t index) { return CharacteristicOf(AsOp(op).inputs[index]); }
OrtCharacteristic GetOutputCharacteristic(const OrtCustomOp* op, std::size_t index) { return CharacteristicOf(AsOp(op).outputs[index]); }
int GetInputMemory(const OrtCustomOp*, std::size_t) { return 0; }
int GetArity(const OrtCustomOp*) { return 1; }  // of variadic ones, which no operator has

OrtStatus* CreateKernel(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
  *kernel = nullptr;
  return Guarded(*api, AsOp(op).name, [&] {
    Level level;
    std::string reason;
    if (!ChooseLevel(&level, &reason)) throw Refusal(reason);
    *kernel = new Made{api, AsOp(op).name, AsOp(op).make(NodeInfo(*api, info), level)};
  });
}

OrtStatus* Compute(void* kernel, OrtKernelContext* context) {
  const Made& made = *static_cast<const Made*>(kernel);
  return Guarded(*made.api, made.name, [&] { made.kernel->Compute(Call(*made.api, context)); });
}

void Destroy(void* kernel) { delete static_cast<Made*>(kernel); }

}  // extern "C"

Op MakeOp(const char* name, const char* inputs, const char* outputs, std::unique_ptr<Kernel> (*make)(const NodeInfo& node, Level level)) {
  Op op{};
  op.version = kOrtApiVersion;
  op.GetName = GetName;
  op.GetExecutionProviderType = GetProvider;
  op.GetInputType = GetInputType;
  op.GetInputTypeCount = CountInputs;
  op.GetOutputType = GetOutputType;
  op.GetOutputTypeCount = CountOutputs;
  op.KernelDestroy = Destroy;
  op.GetInputCharacteristic = GetInputCharacteristic;
  op.GetOutputCharacteristic = GetOutputCharacteristic;
  op.GetInputMemoryType = GetInputMemory;
  op.GetVariadicInputMinArity = GetArity;
  op.GetVariadicInputHomogeneity = GetArity;
  op.GetVariadicOutputMinArity = GetArity;
  op.GetVariadicOutputHomogeneity = GetArity;
  op.CreateKernelV2 = CreateKernel;
  op.KernelComputeV2 = Compute;
  op.name = name;
  op.inputs = inputs;
  op.outputs = outputs;
  op.make = make;
  return op;
}

const Op kOps[] = {
    MakeOp("PackSigns", "f", "i", MakePackSigns),
    MakeOp("BinaryConv", "iiFFFF", "FI", MakeBinaryConv),
    MakeOp("Digits", "fF", "fFFFF", MakeDigits),
    MakeOp("ConvDifference", "afaFFF", "f", MakeConvDifference),
};

}  // namespace
}  // namespace fdabnn::ort

extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(kOrtApiVersion);
  // There is no table to make an error with; the session will miss the operators and name them.
  if (api == nullptr) return nullptr;
  return fdabnn::ort::Guarded(*api, "fdabnn", [&] {
    // The session's options refer to the domain for as long as they live, and nothing tells when that ends.
    OrtCustomOpDomain* domain = nullptr;
    fdabnn::ort::Check(*api, api->CreateCustomOpDomain("fdabnn", &domain));
    for (const fdabnn::ort::Op& op : fdabnn::ort::kOps) fdabnn::ort::Check(*api, api->CustomOpDomain_Add(domain, &op));
    fdabnn::ort::Check(*api, api->AddCustomOpDomain(options, domain));
  });
}
