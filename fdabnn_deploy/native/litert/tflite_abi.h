// The stable part of TensorFlow Lite's C ABI, declared by ourselves: no wheel ships the headers, and none of the libraries exports
// TfLite symbols. Layouts are equal in tflite-runtime 2.14, TensorFlow 2.21 and LiteRT 2.3. Names and enumerators are TensorFlow
// Lite's own. Source: tensorflow/lite/core/c/common.h, c_api_types.h and builtin_op_data.h, "semi-ABI stable": structs grow at their end
// only.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

// Enumerations from files may hold any number, so these are integers here.
using TfLiteType = int;
constexpr TfLiteType kTfLiteFloat32 = 1;
constexpr TfLiteType kTfLiteInt32 = 2;
constexpr TfLiteType kTfLiteUInt8 = 3;
constexpr TfLiteType kTfLiteBool = 6;
constexpr TfLiteType kTfLiteInt8 = 9;

using TfLiteAllocationType = int;
constexpr TfLiteAllocationType kTfLiteMmapRo = 1;
constexpr TfLiteAllocationType kTfLitePersistentRo = 5;

using TfLiteQuantizationType = int;
constexpr TfLiteQuantizationType kTfLiteAffineQuantization = 1;

constexpr std::int32_t kTfLiteBuiltinAdd = 0;
constexpr std::int32_t kTfLiteBuiltinAveragePool2d = 1;
constexpr std::int32_t kTfLiteBuiltinConv2d = 3;
constexpr std::int32_t kTfLiteBuiltinDequantize = 6;
constexpr std::int32_t kTfLiteBuiltinMaxPool2d = 17;
constexpr std::int32_t kTfLiteBuiltinMul = 18;
constexpr std::int32_t kTfLiteBuiltinRelu = 19;
constexpr std::int32_t kTfLiteBuiltinRelu6 = 21;
constexpr std::int32_t kTfLiteBuiltinReshape = 22;
constexpr std::int32_t kTfLiteBuiltinPad = 34;
constexpr std::int32_t kTfLiteBuiltinGather = 36;
constexpr std::int32_t kTfLiteBuiltinSub = 41;
constexpr std::int32_t kTfLiteBuiltinStridedSlice = 45;
constexpr std::int32_t kTfLiteBuiltinDelegate = 51;
constexpr std::int32_t kTfLiteBuiltinCast = 53;
constexpr std::int32_t kTfLiteBuiltinPrelu = 54;
constexpr std::int32_t kTfLiteBuiltinMaximum = 55;
constexpr std::int32_t kTfLiteBuiltinMinimum = 57;
constexpr std::int32_t kTfLiteBuiltinLeakyRelu = 98;
constexpr std::int32_t kTfLiteBuiltinReverseV2 = 105;
constexpr std::int32_t kTfLiteBuiltinRound = 116;
constexpr std::int64_t kTfLiteDelegateFlagsAllowDynamicTensors = 1;
constexpr int kTfLiteOptionalTensor = -1;

// Followed by `size` ints.
struct TfLiteIntArray {
  int size;
  int data[1];
};

// Followed by `size` floats.
struct TfLiteFloatArray {
  int size;
  float data[1];
};

// The params of a TfLiteQuantization point to it where its type is kTfLiteAffineQuantization.
struct TfLiteAffineQuantization {
  const TfLiteFloatArray* scale;
  const TfLiteIntArray* zero_point;
  std::int32_t quantized_dimension;
};

struct TfLiteQuantizationParams {
  float scale;
  std::int32_t zero_point;
};

struct TfLiteQuantization {
  TfLiteQuantizationType type;
  void* params;
};

struct TfLiteTensor {
  TfLiteType type;
  void* data;
  TfLiteIntArray* dims;
  TfLiteQuantizationParams params;
  TfLiteAllocationType allocation_type;
  std::size_t bytes;
  const void* allocation;
  const char* name;
  struct TfLiteDelegate* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  TfLiteQuantization quantization;
  void* sparsity;
  const TfLiteIntArray* dims_signature;
};

struct TfLiteNode {
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  TfLiteIntArray* intermediates;
  TfLiteIntArray* temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  struct TfLiteDelegate* delegate;
  bool might_have_side_effect;
};

// What `init` of a delegate's kernel gets as its buffer.
struct TfLiteDelegateParams {
  struct TfLiteDelegate* delegate;
  TfLiteIntArray* nodes_to_replace;
  TfLiteIntArray* input_tensors;
  TfLiteIntArray* output_tensors;
};

using TfLitePadding = int;
constexpr TfLitePadding kTfLitePaddingSame = 1;
constexpr TfLitePadding kTfLitePaddingValid = 2;

using TfLiteFusedActivation = int;
constexpr TfLiteFusedActivation kTfLiteActNone = 0;
constexpr TfLiteFusedActivation kTfLiteActRelu = 1;
constexpr TfLiteFusedActivation kTfLiteActReluN1To1 = 2;
constexpr TfLiteFusedActivation kTfLiteActRelu6 = 3;

// The `builtin_data` of operators. More may follow, which is not used here.
struct TfLiteConvParams {
  TfLitePadding padding;
  int stride_width;
  int stride_height;
  TfLiteFusedActivation activation;
  int dilation_width_factor;
  int dilation_height_factor;
};

struct TfLiteGatherParams {
  int axis;
  int batch_dims;
};

struct TfLiteAddParams {
  TfLiteFusedActivation activation;
};

struct TfLiteMulParams {
  TfLiteFusedActivation activation;
};

struct TfLiteLeakyReluParams {
  float alpha;
};

struct TfLitePoolParams {
  TfLitePadding padding;
  int stride_width;
  int stride_height;
  int filter_width;
  int filter_height;
  TfLiteFusedActivation activation;
};

// Masks have a bit for each axis.
struct TfLiteStridedSliceParams {
  int begin_mask;
  int end_mask;
  int ellipsis_mask;
  int new_axis_mask;
  int shrink_axis_mask;
  bool offset;
};

struct TfLiteSubParams {
  TfLiteFusedActivation activation;
};

struct TfLiteContext;

// Passed by value, so a runtime that knows more fields reads behind the last one we know: there it has to find zeros.
struct TfLiteRegistration {
  void* (*init)(TfLiteContext* context, const char* buffer, std::size_t length);
  void (*free)(TfLiteContext* context, void* buffer);
  TfLiteStatus (*prepare)(TfLiteContext* context, TfLiteNode* node);
  TfLiteStatus (*invoke)(TfLiteContext* context, TfLiteNode* node);
  const char* (*profiling_string)(const TfLiteContext* context, const TfLiteNode* node);
  std::int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  std::uint64_t inplace_operator;
  unsigned char zeros[64];
};

struct TfLiteContext {
  std::size_t tensors_size;
  TfLiteStatus (*GetExecutionPlan)(TfLiteContext* context, TfLiteIntArray** execution_plan);
  TfLiteTensor* tensors;
  void* impl_;
  TfLiteStatus (*ResizeTensor)(TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* new_size);  // takes new_size, of malloc
  void (*ReportError)(TfLiteContext* context, const char* format, ...);
  TfLiteStatus (*AddTensors)(TfLiteContext* context, int count, int* first);
  // Of the registration only the fields before `zeros` may be read, and of older runtimes only those up to `version`.
  TfLiteStatus (*GetNodeAndRegistration)(TfLiteContext* context, int index, TfLiteNode** node, TfLiteRegistration** registration);
  TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(TfLiteContext* context, TfLiteRegistration registration,
                                                        const TfLiteIntArray* nodes, struct TfLiteDelegate* delegate);
  int recommended_num_threads;
  void* GetExternalContext;
  void* SetExternalContext;
  bool allow_fp32_relax_to_fp16;
  void* profiler;
  void* AllocatePersistentBuffer;
  void* AllocateBufferForEval;
  void* RequestScratchBufferInArena;
  void* GetScratchBuffer;
  void* ResizeTensorExplicit;
  // How ReplaceNodeSubsetsWithDelegateKernels would group the nodes. The runtime keeps the array until the next call.
  TfLiteStatus (*PreviewDelegatePartitioning)(TfLiteContext* context, const TfLiteIntArray* nodes, TfLiteDelegateParams** partitions,
                                              int* count);
  // More follows, which is not used here.
};

struct TfLiteDelegate {
  void* data_;
  TfLiteStatus (*Prepare)(TfLiteContext* context, TfLiteDelegate* delegate);
  TfLiteStatus (*CopyFromBufferHandle)(TfLiteContext* context, TfLiteDelegate* delegate, int handle, TfLiteTensor* tensor);
  TfLiteStatus (*CopyToBufferHandle)(TfLiteContext* context, TfLiteDelegate* delegate, int handle, TfLiteTensor* tensor);
  void (*FreeBufferHandle)(TfLiteContext* context, TfLiteDelegate* delegate, int* handle);
  std::int64_t flags;
  void* opaque_delegate_builder;
};

}  // extern "C"
