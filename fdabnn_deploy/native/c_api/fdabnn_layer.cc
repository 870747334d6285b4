#include <memory>
#include <string>

#include "c_api/guard.h"
#include "kernels/binary_layer.h"

struct fdabnn_layer : Prepared<fdabnn::BinaryLayer> {};

extern "C" {

FDABNN_EXPORT fdabnn_layer* fdabnn_layer_create(const fdabnn_layer_params* params, const uint32_t* filter, const float* slope,
                                                const float* scale, const float* offset, int level, char* error) {
  return Make<fdabnn_layer>(level, error, [&](Level l, std::string* reason) {
    fdabnn::BinaryLayerParams sizes;
    CopyConv(*params, &sizes);
    CopyPads(*params, &sizes);
    sizes.channels_in = params->channels_in;
    sizes.channels_out = params->channels_out;
    sizes.groups = params->groups;
    sizes.pad_value = params->pad_value;
    sizes.planes = params->planes != 0;
    return fdabnn::BinaryLayer::Create(sizes, {filter, slope, scale, offset}, l, reason);
  });
}

FDABNN_EXPORT int fdabnn_layer_resize(fdabnn_layer* layer, int in_height, int in_width, int* out_height, int* out_width, char* error) {
  return ResizePrepared(layer, in_height, in_width, out_height, out_width, error);
}

FDABNN_EXPORT size_t fdabnn_layer_workspace_bytes(const fdabnn_layer* layer, int threads) { return PreparedWorkspaceBytes(layer, threads); }

FDABNN_EXPORT int fdabnn_layer_run(const fdabnn_layer* layer, const uint32_t* input, const float* residual, int batch, float* values,
                                   uint32_t* signs, fdabnn_pool* pool, void* workspace, char* error) {
  return RunPrepared(layer, {input, residual, values, signs}, batch, pool, workspace, error);
}

FDABNN_EXPORT void fdabnn_layer_destroy(fdabnn_layer* layer) { delete layer; }

FDABNN_EXPORT int fdabnn_pack_planes(const float* values, int batch, int channels, size_t pixels, uint32_t* words, int level,
                                     fdabnn_pool* pool, char* error) {
  return Guard(-1, error, [&] {
    if (!IsSupported(level, error)) return -1;
    if (batch < 0 || channels < 1)
      return Refuse("a batch of " + std::to_string(batch) + ", " + std::to_string(channels) + " channels", error);
    fdabnn::PackPlanes(values, batch, channels, pixels, words, static_cast<Level>(level), pool->pool);
    return 0;
  });
}

}  // extern "C"
