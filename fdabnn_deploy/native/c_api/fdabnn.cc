#include "c_api/fdabnn.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "c_api/guard.h"
#include "kernels/arm_cores.h"
#include "kernels/bconv.h"
#include "kernels/bmaxpool.h"
#include "kernels/level.h"
#include "kernels/quantize.h"

struct fdabnn_bconv : Prepared<fdabnn::Bconv> {};

namespace {

// Calls kernel(level, pool) where that and the channels make sense.
template <class Kernel>
int Signs(int channels, int level, fdabnn_pool* pool, char* error, Kernel kernel) {
  return Guard(-1, error, [&] {
    if (!IsSupported(level, error)) return -1;
    if (channels < 1) return Refuse(std::to_string(channels) + " channels", error);
    kernel(static_cast<Level>(level), pool->pool);
    return 0;
  });
}

// The pool of these parameters at its size; null and a text where it is refused.
std::unique_ptr<fdabnn::Bmaxpool> MakeBmaxpool(const fdabnn_bmaxpool_params& p, char* error) {
  fdabnn::BmaxpoolParams params;
  params.kernel_h = p.kernel_h;
  params.kernel_w = p.kernel_w;
  params.stride_h = p.stride_h;
  params.stride_w = p.stride_w;
  params.same_padding = p.same_padding != 0;
  params.words = p.words;
  std::string reason;
  std::unique_ptr<fdabnn::Bmaxpool> pool = fdabnn::Bmaxpool::Create(params, &reason);
  if (pool != nullptr && pool->Resize(p.in_height, p.in_width, &reason)) return pool;
  Say(reason, error);
  return nullptr;
}

fdabnn::BconvParams Params(const fdabnn_bconv_params& p) {
  fdabnn::BconvParams params;
  CopyConv(p, &params);
  params.channels_in = p.channels_in;
  params.channels_out = p.channels_out;
  params.groups = p.groups;
  params.same_padding = p.same_padding != 0;
  params.pad_value = p.pad_value;
  params.activation = static_cast<fdabnn::Activation>(p.activation);
  params.output = static_cast<fdabnn::OutputType>(p.output);
  params.output_scale = p.output_scale;
  params.output_zero_point = p.output_zero_point;
  return params;
}

}  // namespace

extern "C" {

FDABNN_EXPORT const char* fdabnn_level_name(int level) { return IsLevel(level) ? fdabnn::Name(static_cast<Level>(level)) : nullptr; }

FDABNN_EXPORT int fdabnn_level_supported(int level) { return IsLevel(level) && fdabnn::Supported(static_cast<Level>(level)); }

FDABNN_EXPORT int fdabnn_level_choose(int* level, char* error) {
  return Guard(-1, error, [&] {
    Level chosen;
    std::string reason;
    if (!fdabnn::ChooseLevel(&chosen, &reason)) return Refuse(reason, error);
    *level = static_cast<int>(chosen);
    return 0;
  });
}

FDABNN_EXPORT int fdabnn_arm_cores(const char* folder, uint64_t* cores, int size, int* count, char* error) {
  return Guard(-1, error, [&] {
    const std::vector<std::uint64_t> found = fdabnn::ReadArmCores(folder);
    *count = static_cast<int>(found.size());
    std::copy_n(found.begin(), std::clamp(size, 0, *count), cores);
    return 0;
  });
}

FDABNN_EXPORT int fdabnn_arm_level(const uint64_t* cores, int count, int* level, char* error) {
  return Guard(-1, error, [&] {
    *level = static_cast<int>(fdabnn::LookupSuits({cores, cores + count}) ? Level::kNeonLookup : Level::kNeon);
    return 0;
  });
}

FDABNN_EXPORT fdabnn_pool* fdabnn_pool_create(int threads, char* error) {
  return Guard<fdabnn_pool*>(nullptr, error, [&] { return new fdabnn_pool(threads); });
}

FDABNN_EXPORT int fdabnn_pool_threads(const fdabnn_pool* pool) { return pool->pool.threads(); }

FDABNN_EXPORT void fdabnn_pool_destroy(fdabnn_pool* pool) { delete pool; }

FDABNN_EXPORT int fdabnn_quantize_float(const float* values, size_t rows, int channels, uint32_t* words, int level, fdabnn_pool* pool,
                                        char* error) {
  return Signs(channels, level, pool, error,
               [&](Level l, fdabnn::ThreadPool& p) { fdabnn::QuantizeFloat(values, rows, channels, words, l, p); });
}

FDABNN_EXPORT int fdabnn_quantize_int8(const int8_t* values, size_t rows, int channels, int zero_point, uint32_t* words, int level,
                                       fdabnn_pool* pool, char* error) {
  return Signs(channels, level, pool, error,
               [&](Level l, fdabnn::ThreadPool& p) { fdabnn::QuantizeInt8(values, rows, channels, zero_point, words, l, p); });
}

FDABNN_EXPORT int fdabnn_quantize_bool(const uint8_t* values, size_t rows, int channels, uint32_t* words, int level, fdabnn_pool* pool,
                                       char* error) {
  return Signs(channels, level, pool, error,
               [&](Level l, fdabnn::ThreadPool& p) { fdabnn::QuantizeBool(values, rows, channels, words, l, p); });
}

FDABNN_EXPORT int fdabnn_dequantize_float(const uint32_t* words, size_t rows, int channels, float* values, int level, fdabnn_pool* pool,
                                          char* error) {
  return Signs(channels, level, pool, error,
               [&](Level l, fdabnn::ThreadPool& p) { fdabnn::DequantizeFloat(words, rows, channels, values, l, p); });
}

FDABNN_EXPORT int fdabnn_dequantize_bytes(const uint32_t* words, size_t rows, int channels, uint8_t plus, uint8_t minus, uint8_t* values,
                                          int level, fdabnn_pool* pool, char* error) {
  return Signs(channels, level, pool, error,
               [&](Level l, fdabnn::ThreadPool& p) { fdabnn::DequantizeBytes(words, rows, channels, plus, minus, values, l, p); });
}

FDABNN_EXPORT int fdabnn_bmaxpool_size(const fdabnn_bmaxpool_params* params, int* out_height, int* out_width, char* error) {
  return Guard(-1, error, [&] {
    const auto kernel = MakeBmaxpool(*params, error);
    if (kernel == nullptr) return -1;
    *out_height = kernel->out_height();
    *out_width = kernel->out_width();
    return 0;
  });
}

FDABNN_EXPORT int fdabnn_bmaxpool_run(const fdabnn_bmaxpool_params* params, const uint32_t* input, int batch, uint32_t* output, int level,
                                      fdabnn_pool* pool, char* error) {
  return Guard(-1, error, [&] {
    if (!IsSupported(level, error)) return -1;
    if (batch < 0) return Refuse("a batch of " + std::to_string(batch), error);
    const auto kernel = MakeBmaxpool(*params, error);
    if (kernel == nullptr) return -1;
    const char* reason = kernel->Run({input, output}, batch, pool->pool, nullptr);
    return reason == nullptr ? 0 : Refuse(reason, error);
  });
}

FDABNN_EXPORT fdabnn_bconv* fdabnn_bconv_create(const fdabnn_bconv_params* params, const uint32_t* filter, const float* multiplier,
                                                const float* bias, const int32_t* thresholds, int level, char* error) {
  return Make<fdabnn_bconv>(level, error, [&](Level l, std::string* reason) -> std::unique_ptr<fdabnn::Bconv> {
    if (params->activation < 0 || params->activation > static_cast<int>(fdabnn::Activation::kRelu6)) {
      *reason = "no activation has the number " + std::to_string(params->activation);
    } else if (params->output < 0 || params->output > static_cast<int>(fdabnn::OutputType::kInt8)) {
      *reason = "no type of output has the number " + std::to_string(params->output);
    } else {
      return fdabnn::Bconv::Create(Params(*params), {filter, multiplier, bias, thresholds}, l, reason);
    }
    return nullptr;
  });
}

FDABNN_EXPORT int fdabnn_bconv_resize(fdabnn_bconv* conv, int in_height, int in_width, int* out_height, int* out_width, char* error) {
  return ResizePrepared(conv, in_height, in_width, out_height, out_width, error);
}

FDABNN_EXPORT size_t fdabnn_bconv_workspace_bytes(const fdabnn_bconv* conv, int threads) { return PreparedWorkspaceBytes(conv, threads); }

FDABNN_EXPORT int fdabnn_bconv_run(const fdabnn_bconv* conv, const uint32_t* input, int batch, void* output, fdabnn_pool* pool,
                                   void* workspace, char* error) {
  return RunPrepared(conv, {input, output}, batch, pool, workspace, error);
}

FDABNN_EXPORT void fdabnn_bconv_destroy(fdabnn_bconv* conv) { delete conv; }

}  // extern "C"
