// The parts of LiteRT's C API that the runner uses, declared by ourselves: its wheel ships libLiteRt.so without headers. Names and numbers
// are LiteRT's own. Source: litert/c/*.h and litert/c/internal/litert_accelerator_registration.h, version 2.3.
#pragma once

#include <cstddef>
#include <cstdint>

#include "litert/tflite_abi.h"

extern "C" {

using LiteRtStatus = int;
constexpr LiteRtStatus kLiteRtStatusOk = 0;
constexpr int kLiteRtHwAcceleratorCpu = 1;

using LiteRtEnvironment = struct LiteRtEnvironmentT*;
using LiteRtModel = struct LiteRtModelT*;
using LiteRtSignature = struct LiteRtSignatureT*;
using LiteRtTensor = struct LiteRtTensorT*;
using LiteRtOptions = struct LiteRtOptionsT*;
using LiteRtOpaqueOptions = struct LiteRtOpaqueOptionsT*;
using LiteRtCompiledModel = struct LiteRtCompiledModelT*;
using LiteRtTensorBuffer = struct LiteRtTensorBufferT*;
using LiteRtTensorBufferRequirements = struct LiteRtTensorBufferRequirementsT*;
using LiteRtAccelerator = struct LiteRtAcceleratorT*;
using LiteRtDelegateWrapper = struct LiteRtDelegateWrapperT*;

struct LiteRtApiVersion {
  int major;
  int minor;
  int patch;
};

struct LiteRtLayout {
  unsigned int rank : 7;
  unsigned int has_strides : 1;
  std::int32_t dimensions[8];
  std::uint32_t strides[8];
};

struct LiteRtRankedTensorType {
  int element_type;  // TfLiteType
  LiteRtLayout layout;
};
static_assert(sizeof(LiteRtRankedTensorType) == 72, "layout");

// An option of an environment: the tag, and a value that is a tagged union.
struct LiteRtEnvOption {
  int tag;
  struct {
    int type;
    std::int64_t number;
  } value;
};
static_assert(sizeof(LiteRtEnvOption) == 24 && offsetof(LiteRtEnvOption, value) == 8, "layout");
constexpr int kLiteRtEnvOptionTagAutoRegisterAccelerators = 24;
constexpr int kLiteRtAnyTypeInt = 2;

// The part of an accelerator's definition that the runner uses: how LiteRT's own for the processor, XNNPACK, makes its delegate.
struct LiteRtAcceleratorDef {
  std::uint16_t struct_size;
  std::uint16_t major_version;
  std::uint16_t minor_version;
  std::uint16_t reserved;
  void* unused[4];
  LiteRtStatus (*create_delegate)(void* context, LiteRtEnvironment environment, LiteRtAccelerator accelerator, LiteRtOptions options,
                                  LiteRtDelegateWrapper* wrapper);
};
static_assert(offsetof(LiteRtAcceleratorDef, create_delegate) == 40, "layout");

}  // extern "C"

namespace fdabnn::runner {

// The functions, by their names without "LiteRt".
struct LitertApi {
  LiteRtStatus (*CreateEnvironment)(int count, const LiteRtEnvOption* options, LiteRtEnvironment* environment);
  void (*DestroyEnvironment)(LiteRtEnvironment environment);
  LiteRtStatus (*CreateModelFromBuffer)(LiteRtEnvironment environment, const void* data, std::size_t size, LiteRtModel* model);
  void (*DestroyModel)(LiteRtModel model);
  LiteRtStatus (*GetModelSignature)(LiteRtModel model, std::size_t index, LiteRtSignature* signature);
  LiteRtStatus (*GetNumSignatureInputs)(LiteRtSignature signature, std::size_t* count);
  LiteRtStatus (*GetNumSignatureOutputs)(LiteRtSignature signature, std::size_t* count);
  LiteRtStatus (*GetSignatureInputTensorByIndex)(LiteRtSignature signature, std::size_t index, LiteRtTensor* tensor);
  LiteRtStatus (*GetSignatureOutputTensorByIndex)(LiteRtSignature signature, std::size_t index, LiteRtTensor* tensor);
  LiteRtStatus (*GetTensorName)(LiteRtTensor tensor, const char** name);
  LiteRtStatus (*GetRankedTensorType)(LiteRtTensor tensor, LiteRtRankedTensorType* type);
  LiteRtStatus (*CreateOptions)(LiteRtOptions* options);
  void (*DestroyOptions)(LiteRtOptions options);
  LiteRtStatus (*SetOptionsHardwareAccelerators)(LiteRtOptions options, int accelerators);
  LiteRtStatus (*CreateOpaqueOptions)(const char* identifier, void* payload, void (*destroy)(void*), LiteRtOpaqueOptions* options);
  LiteRtStatus (*AddOpaqueOptions)(LiteRtOptions options, LiteRtOpaqueOptions opaque);
  LiteRtStatus (*CreateCompiledModel)(LiteRtEnvironment environment, LiteRtModel model, LiteRtOptions options,
                                      LiteRtCompiledModel* compiled);
  void (*DestroyCompiledModel)(LiteRtCompiledModel compiled);
  LiteRtStatus (*GetCompiledModelInputBufferRequirements)(LiteRtCompiledModel compiled, std::size_t signature, std::size_t index,
                                                          LiteRtTensorBufferRequirements* requirements);
  LiteRtStatus (*GetCompiledModelOutputBufferRequirements)(LiteRtCompiledModel compiled, std::size_t signature, std::size_t index,
                                                           LiteRtTensorBufferRequirements* requirements);
  LiteRtStatus (*GetTensorBufferRequirementsBufferSize)(LiteRtTensorBufferRequirements requirements, std::size_t* size);
  LiteRtStatus (*RunCompiledModel)(LiteRtCompiledModel compiled, std::size_t signature, std::size_t input_count, LiteRtTensorBuffer* inputs,
                                   std::size_t output_count, LiteRtTensorBuffer* outputs);
  LiteRtStatus (*CreateTensorBufferFromHostMemory)(const LiteRtRankedTensorType* type, void* memory, std::size_t size,
                                                   void (*destroy)(void*), LiteRtTensorBuffer* buffer);
  void (*DestroyTensorBuffer)(LiteRtTensorBuffer buffer);
  LiteRtStatus (*CreateAccelerator)(LiteRtAccelerator* accelerator);
  LiteRtStatus (*SetAcceleratorGetName)(LiteRtAccelerator accelerator, LiteRtStatus (*get)(LiteRtAccelerator, const char** name));
  LiteRtStatus (*SetAcceleratorGetVersion)(LiteRtAccelerator accelerator,
                                           LiteRtStatus (*get)(LiteRtAccelerator, LiteRtApiVersion* version));
  LiteRtStatus (*SetAcceleratorGetHardwareSupport)(LiteRtAccelerator accelerator, LiteRtStatus (*get)(LiteRtAccelerator, int* hardware));
  // `create` also gets the runtime's context, the environment and the options.
  LiteRtStatus (*SetDelegateFunction)(LiteRtAccelerator accelerator, LiteRtStatus (*create)(void*, LiteRtEnvironment, LiteRtAccelerator,
                                                                                            LiteRtOptions, LiteRtDelegateWrapper* wrapper));
  LiteRtStatus (*WrapDelegate)(TfLiteDelegate* delegate, void (*destroy)(TfLiteDelegate*), LiteRtDelegateWrapper* wrapper);
  LiteRtStatus (*RegisterAccelerator)(LiteRtEnvironment environment, LiteRtAccelerator accelerator, void* data, void (*release)(void*));
  const LiteRtAcceleratorDef** StaticLinkedAcceleratorCpuDef;
};

}  // namespace fdabnn::runner
