// The parts of ONNX Runtime's C ABI that custom operators and the runner use, for 1.17 and newer: its wheels come without headers. The
// table of functions only ever grows at its end, so each stays in its slot; a custom operator says which layout it has, here that of API
// version 16.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtAllocator;
struct OrtMemoryInfo;
struct OrtTypeInfo;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;
struct OrtCustomOpDomain;
struct OrtCustomOp;

enum OrtErrorCode { kOrtFail = 1, kOrtInvalidArgument = 2 };
enum OrtElementType {
  kOrtAny = 0,
  kOrtFloat = 1,
  kOrtUint8 = 2,
  kOrtInt8 = 3,
  kOrtUint16 = 4,
  kOrtInt16 = 5,
  kOrtInt32 = 6,
  kOrtInt64 = 7,
  kOrtBool = 9,
  kOrtFloat16 = 10,
  kOrtDouble = 11,
  kOrtUint32 = 12,
  kOrtUint64 = 13
};
enum OrtCharacteristic { kOrtRequired = 0, kOrtOptional = 1 };

constexpr std::uint32_t kOrtApiVersion = 16;

// Every entry is a function pointer; those between the named ones are of no use here.
struct OrtApi {
  OrtStatus* (*CreateStatus)(OrtErrorCode code, const char* message);  // 0
  void* unused1;
  const char* (*GetErrorMessage)(const OrtStatus* status);                // 2
  OrtStatus* (*CreateEnv)(int severity, const char* name, OrtEnv** out);  // 3
  void* unused4[2];
  OrtStatus* (*DisableTelemetryEvents)(const OrtEnv* env);  // 6
  void* unused7;
  OrtStatus* (*CreateSessionFromArray)(const OrtEnv* env, const void* data, std::size_t size, const OrtSessionOptions* options,
                                       OrtSession** out);  // 8
  // An output that is not null is written where it is.
  OrtStatus* (*Run)(OrtSession* session, const OrtRunOptions* options, const char* const* input_names, const OrtValue* const* inputs,
                    std::size_t input_count, const char* const* output_names, std::size_t output_count, OrtValue** outputs);  // 9
  OrtStatus* (*CreateSessionOptions)(OrtSessionOptions** out);                                                                // 10
  void* unused11[3];
  OrtStatus* (*EnableProfiling)(OrtSessionOptions* options, const char* prefix);  // 14
  void* unused15[7];
  OrtStatus* (*SetSessionLogSeverityLevel)(OrtSessionOptions* options, int severity);  // 22
  void* unused23;
  OrtStatus* (*SetIntraOpNumThreads)(OrtSessionOptions* options, int threads);             // 24
  OrtStatus* (*SetInterOpNumThreads)(OrtSessionOptions* options, int threads);             // 25
  OrtStatus* (*CreateCustomOpDomain)(const char* domain, OrtCustomOpDomain** out);         // 26
  OrtStatus* (*CustomOpDomain_Add)(OrtCustomOpDomain* domain, const OrtCustomOp* op);      // 27
  OrtStatus* (*AddCustomOpDomain)(OrtSessionOptions* options, OrtCustomOpDomain* domain);  // 28
  void* unused29;
  OrtStatus* (*SessionGetInputCount)(const OrtSession* session, std::size_t* out);   // 30
  OrtStatus* (*SessionGetOutputCount)(const OrtSession* session, std::size_t* out);  // 31
  void* unused32;
  OrtStatus* (*SessionGetInputTypeInfo)(const OrtSession* session, std::size_t index, OrtTypeInfo** out);   // 33
  OrtStatus* (*SessionGetOutputTypeInfo)(const OrtSession* session, std::size_t index, OrtTypeInfo** out);  // 34
  void* unused35;
  OrtStatus* (*SessionGetInputName)(const OrtSession* session, std::size_t index, OrtAllocator* allocator, char** out);   // 36
  OrtStatus* (*SessionGetOutputName)(const OrtSession* session, std::size_t index, OrtAllocator* allocator, char** out);  // 37
  void* unused38[11];
  OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo* memory, void* data, std::size_t bytes, const std::int64_t* shape,
                                               std::size_t rank, OrtElementType type, OrtValue** out);  // 49
  void* unused50;
  OrtStatus* (*GetTensorMutableData)(OrtValue* value, void** out);  // 51
  void* unused52[3];
  // `out` is null for what is no tensor, and lives as long as `info`.
  OrtStatus* (*CastTypeInfoToTensorInfo)(const OrtTypeInfo* info, const OrtTensorTypeAndShapeInfo** out);  // 55
  void* unused56[4];
  OrtStatus* (*GetTensorElementType)(const OrtTensorTypeAndShapeInfo* info, OrtElementType* out);                // 60
  OrtStatus* (*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo* info, std::size_t* out);                     // 61
  OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo* info, std::int64_t* values, std::size_t length);  // 62
  void* unused63[2];
  OrtStatus* (*GetTensorTypeAndShape)(const OrtValue* value, OrtTensorTypeAndShapeInfo** out);  // 65
  void* unused66[3];
  OrtStatus* (*CreateCpuMemoryInfo)(int allocator_type, int memory_type, OrtMemoryInfo** out);  // 69
  void* unused70[6];
  OrtStatus* (*AllocatorFree)(OrtAllocator* allocator, void* memory);  // 76
  void* unused77;
  OrtStatus* (*GetAllocatorWithDefaultOptions)(OrtAllocator** out);  // 78, not to be released
  void* unused79[7];
  OrtStatus* (*KernelInfoGetAttribute_int64)(const OrtKernelInfo* info, const char* name, std::int64_t* out);  // 86
  void* unused87[3];
  OrtStatus* (*KernelContext_GetInput)(const OrtKernelContext* context, std::size_t index, const OrtValue** out);  // 90
  OrtStatus* (*KernelContext_GetOutput)(OrtKernelContext* context, std::size_t index, const std::int64_t* dims, std::size_t count,
                                        OrtValue** out);  // 91
  void (*ReleaseEnv)(OrtEnv* env);                        // 92
  void (*ReleaseStatus)(OrtStatus* status);               // 93
  void (*ReleaseMemoryInfo)(OrtMemoryInfo* memory);       // 94
  void (*ReleaseSession)(OrtSession* session);            // 95
  void (*ReleaseValue)(OrtValue* value);                  // 96
  void* unused97;
  void (*ReleaseTypeInfo)(OrtTypeInfo* info);                              // 98
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo* info);  // 99
  void (*ReleaseSessionOptions)(OrtSessionOptions* options);               // 100
  void* unused101[9];
  // Ends the profile and names its file, for the allocator to free.
  OrtStatus* (*SessionEndProfiling)(OrtSession* session, OrtAllocator* allocator, char** out);  // 110
  void* unused111[52];
  OrtStatus* (*KernelInfoGetAttributeArray_int64)(const OrtKernelInfo* info, const char* name, std::int64_t* out,
                                                  std::size_t* size);  // 163
  void* unused164[85];
  OrtStatus* (*KernelInfoGetConstantInput_tensor)(const OrtKernelInfo* info, std::size_t index, int* is_constant,
                                                  const OrtValue** out);  // 249
  void* unused250[24];
  OrtStatus* (*KernelContext_ParallelFor)(const OrtKernelContext* context, void (*body)(void* data, std::size_t index), std::size_t total,
                                          std::size_t batches, void* data);  // 274
};

static_assert(offsetof(OrtApi, CreateSessionFromArray) == 8 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, EnableProfiling) == 14 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, SetSessionLogSeverityLevel) == 22 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, CreateCustomOpDomain) == 26 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, SessionGetInputCount) == 30 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, SessionGetInputName) == 36 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, CreateTensorWithDataAsOrtValue) == 49 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, GetTensorMutableData) == 51 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, CastTypeInfoToTensorInfo) == 55 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, GetTensorElementType) == 60 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, GetDimensionsCount) == 61 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, GetTensorTypeAndShape) == 65 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, CreateCpuMemoryInfo) == 69 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, AllocatorFree) == 76 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, GetAllocatorWithDefaultOptions) == 78 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, KernelInfoGetAttribute_int64) == 86 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, KernelContext_GetInput) == 90 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, ReleaseStatus) == 93 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, ReleaseTensorTypeAndShapeInfo) == 99 * sizeof(void*), "slot");
static_assert(offsetof(OrtApi, SessionEndProfiling) == 110 * sizeof(void*), "slot");
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
