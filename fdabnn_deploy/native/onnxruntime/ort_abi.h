// The parts of ONNX Runtime's C ABI that custom operators use, for 1.17 and newer: its wheels come without headers. The table of functions
// only ever grows at its end, so each stays in its slot; a custom operator says which layout it has, here that of API version 16.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct OrtStatus;
struct OrtSessionOptions;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;
struct OrtCustomOpDomain;
struct OrtCustomOp;

enum OrtErrorCode { kOrtFail = 1, kOrtInvalidArgument = 2 };
enum OrtElementType { kOrtFloat = 1, kOrtInt32 = 6 };
enum OrtCharacteristic { kOrtRequired = 0, kOrtOptional = 1 };

constexpr std::uint32_t kOrtApiVersion = 16;

// Every entry is a function pointer; those between the named ones are of no use here.
struct OrtApi {
  OrtStatus* (*CreateStatus)(OrtErrorCode code, const char* message);  // 0
  void* unused1;
  const char* (*GetErrorMessage)(const OrtStatus* status);  // 2
  void* unused3[23];
  OrtStatus* (*CreateCustomOpDomain)(const char* domain, OrtCustomOpDomain** out);         // 26
  OrtStatus* (*CustomOpDomain_Add)(OrtCustomOpDomain* domain, const OrtCustomOp* op);      // 27
  OrtStatus* (*AddCustomOpDomain)(OrtSessionOptions* options, OrtCustomOpDomain* domain);  // 28
  void* unused29[22];
  OrtStatus* (*GetTensorMutableData)(OrtValue* value, void** out);  // 51
  void* unused52[9];
  OrtStatus* (*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo* info, std::size_t* out);                     // 61
  OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo* info, std::int64_t* values, std::size_t length);  // 62
  void* unused63[2];
  OrtStatus* (*GetTensorTypeAndShape)(const OrtValue* value, OrtTensorTypeAndShapeInfo** out);  // 65
  void* unused66[20];
  OrtStatus* (*KernelInfoGetAttribute_int64)(const OrtKernelInfo* info, const char* name, std::int64_t* out);  // 86
  void* unused87[3];
  OrtStatus* (*KernelContext_GetInput)(const OrtKernelContext* context, std::size_t index, const OrtValue** out);  // 90
  OrtStatus* (*KernelContext_GetOutput)(OrtKernelContext* context, std::size_t index, const std::int64_t* dims, std::size_t count,
                                        OrtValue** out);  // 91
  void* unused92;
  void (*ReleaseStatus)(OrtStatus* status);  // 93
  void* unused94[5];
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo* info);  // 99
  void* unused100[63];
  OrtStatus* (*KernelInfoGetAttributeArray_int64)(const OrtKernelInfo* info, const char* name, std::int64_t* out,
                                                  std::size_t* size);  // 163
  void* unused164[85];
  OrtStatus* (*KernelInfoGetConstantInput_tensor)(const OrtKernelInfo* info, std::size_t index, int* is_constant,
                                                  const OrtValue** out);  // 249
  void* unused250[24];
  OrtStatus* (*KernelContext_ParallelFor)(const OrtKernelContext* context, void (*body)(void* data, std::size_t index), std::size_t total,
                                          std::size_t batches, void* data);  // 274
};

static_assert(offsetof(OrtApi, CreateCustomOpDomain) == 26 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, GetTensorMutableData) == 51 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, GetDimensionsCount) == 61 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, GetTensorTypeAndShape) == 65 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, KernelInfoGetAttribute_int64) == 86 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, KernelContext_GetInput) == 90 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, ReleaseStatus) == 93 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, ReleaseTensorTypeAndShapeInfo) == 99 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, KernelInfoGetAttributeArray_int64) == 163 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, KernelInfoGetConstantInput_tensor) == 249 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, KernelContext_ParallelFor) == 274 * sizeof(void*), "slot");

struct OrtApiBase {
  const OrtApi* (*GetApi)(std::uint32_t version);
  const char* (*GetVersionString)();
};

struct OrtCustomOp {
  std::uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info);
  const char* (*GetName)(const OrtCustomOp* op);
  const char* (*GetExecutionProviderType)(const OrtCustomOp* op);
  OrtElementType (*GetInputType)(const OrtCustomOp* op, std::size_t index);
  std::size_t (*GetInputTypeCount)(const OrtCustomOp* op);
  OrtElementType (*GetOutputType)(const OrtCustomOp* op, std::size_t index);
  std::size_t (*GetOutputTypeCount)(const OrtCustomOp* op);
  void (*KernelCompute)(void* kernel, OrtKernelContext* context);
  void (*KernelDestroy)(void* kernel);
  OrtCharacteristic (*GetInputCharacteristic)(const OrtCustomOp* op, std::size_t index);
  OrtCharacteristic (*GetOutputCharacteristic)(const OrtCustomOp* op, std::size_t index);
  int (*GetInputMemoryType)(const OrtCustomOp* op, std::size_t index);
  int (*GetVariadicInputMinArity)(const OrtCustomOp* op);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp* op);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp* op);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp* op);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext* context);
};

}  // extern "C"
