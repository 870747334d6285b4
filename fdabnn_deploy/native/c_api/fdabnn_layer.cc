#include <memory>
#include <string>

#include "c_api/guard.h"
#include "kernels/binary_layer.h"

struct fdabnn_layer {
  std::unique_ptr<fdabnn::BinaryLayer> layer;
  bool sized = false;
};

extern "C" {

FDABNN_EXPORT fdabnn_layer* fdabnn_layer_create(const fdabnn_layer_params* params, const uint32_t* filter, const float* slope,
                                                const float* scale, const float* offset, int level, char* error) {
  return Guard<fdabnn_layer*>(nullptr, error, [&]() -> fdabnn_layer* {
    if (!IsSupported(level, error)) return nullptr;
    const fdabnn_layer_params& p = *params;
    const fdabnn::BinaryLayerParams sizes = {p.channels_in, p.channels_out, p.groups,     p.kernel_h,   p.kernel_w,
                                             p.stride_h,    p.stride_w,     p.dilation_h, p.dilation_w, p.pad_top,
                                             p.pad_left,    p.pad_bottom,   p.pad_right,  p.pad_value,  p.planes != 0};
    std::string reason;
    auto made = std::make_unique<fdabnn_layer>();
    made->layer = fdabnn::BinaryLayer::Create(sizes, {filter, slope, scale, offset}, static_cast<Level>(level), &reason);
    if (made->layer != nullptr) return made.release();
    Say(reason, error);
    return nullptr;
  });
}

FDABNN_EXPORT int fdabnn_layer_resize(fdabnn_layer* layer, int in_height, int in_width, int* out_height, int* out_width, char* error) {
  return Guard(-1, error, [&] {
    layer->sized = false;
    std::string reason;
    if (!layer->layer->Resize(in_height, in_width, &reason)) return Refuse(reason, error);
    layer->sized = true;
    *out_height = layer->layer->out_height();
    *out_width = layer->layer->out_width();
    return 0;
  });
}

FDABNN_EXPORT size_t fdabnn_layer_workspace_bytes(const fdabnn_layer* layer, int threads) {
  return layer->sized ? layer->layer->WorkspaceBytes(threads) : 0;
}

FDABNN_EXPORT int fdabnn_layer_run(const fdabnn_layer* layer, const uint32_t* input, const float* residual, int batch, float* values,
                                   uint32_t* signs, fdabnn_pool* pool, void* workspace, char* error) {
  return Guard(-1, error, [&] {
    if (!layer->sized) return Refuse("no size of the input has been set", error);
    if (batch < 0) return Refuse("a batch of " + std::to_string(batch), error);
    if (reinterpret_cast<std::uintptr_t>(workspace) % 64 != 0) return Refuse("the workspace is not aligned to 64 bytes", error);
    layer->layer->Run({input, residual, values, signs}, batch, pool->pool, workspace);
    return 0;
  });
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
