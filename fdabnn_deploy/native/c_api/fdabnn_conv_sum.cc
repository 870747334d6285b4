#include <memory>
#include <string>
#include <vector>

#include "c_api/guard.h"
#include "kernels/conv_sum.h"

struct fdabnn_conv_sum {
  std::unique_ptr<fdabnn::ConvSum> conv;
  bool sized = false;
};

extern "C" {

FDABNN_EXPORT fdabnn_conv_sum* fdabnn_conv_sum_create(const fdabnn_conv_sum_params* params, const fdabnn_conv_sum_term* terms,
                                                      int term_count, const int32_t* expression, int expression_size, int level,
                                                      char* error) {
  return Guard<fdabnn_conv_sum*>(nullptr, error, [&]() -> fdabnn_conv_sum* {
    if (!IsSupported(level, error)) return nullptr;
    fdabnn::ConvSumParams sizes;
    sizes.channels_in = params->channels_in;
    sizes.channels_out = params->channels_out;
    sizes.kernel_h = params->kernel_h;
    sizes.kernel_w = params->kernel_w;
    sizes.stride_h = params->stride_h;
    sizes.stride_w = params->stride_w;
    sizes.dilation_h = params->dilation_h;
    sizes.dilation_w = params->dilation_w;
    sizes.same_padding = params->same_padding != 0;
    sizes.pad_top = params->pad_top;
    sizes.pad_left = params->pad_left;
    sizes.pad_bottom = params->pad_bottom;
    sizes.pad_right = params->pad_right;
    sizes.planes = params->planes != 0;
    std::vector<fdabnn::ConvSumTerm> list;
    for (int i = 0; i < term_count; ++i) list.push_back({terms[i].input, terms[i].filter, terms[i].bias});
    std::string reason;
    auto made = std::make_unique<fdabnn_conv_sum>();
    made->conv = fdabnn::ConvSum::Create(sizes, list, {expression, expression + expression_size}, static_cast<Level>(level), &reason);
    if (made->conv != nullptr) return made.release();
    Say(reason, error);
    return nullptr;
  });
}

FDABNN_EXPORT int fdabnn_conv_sum_resize(fdabnn_conv_sum* conv, int in_height, int in_width, int* out_height, int* out_width, char* error) {
  return Guard(-1, error, [&] {
    conv->sized = false;
    std::string reason;
    if (!conv->conv->Resize(in_height, in_width, &reason)) return Refuse(reason, error);
    conv->sized = true;
    *out_height = conv->conv->out_height();
    *out_width = conv->conv->out_width();
    return 0;
  });
}

FDABNN_EXPORT size_t fdabnn_conv_sum_workspace_bytes(const fdabnn_conv_sum* conv, int threads) {
  return conv->sized ? conv->conv->WorkspaceBytes(threads) : 0;
}

FDABNN_EXPORT int fdabnn_conv_sum_run(const fdabnn_conv_sum* conv, const float* const* inputs, int batch, float* output, fdabnn_pool* pool,
                                      void* workspace, char* error) {
  return Guard(-1, error, [&] {
    if (!conv->sized) return Refuse("no size of the inputs has been set", error);
    if (batch < 0) return Refuse("a batch of " + std::to_string(batch), error);
    if (reinterpret_cast<std::uintptr_t>(workspace) % 64 != 0) return Refuse("the workspace is not aligned to 64 bytes", error);
    conv->conv->Run(inputs, batch, output, pool->pool, workspace);
    return 0;
  });
}

FDABNN_EXPORT void fdabnn_conv_sum_destroy(fdabnn_conv_sum* conv) { delete conv; }

}  // extern "C"
