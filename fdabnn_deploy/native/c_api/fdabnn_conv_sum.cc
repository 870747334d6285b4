#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "c_api/guard.h"
#include "kernels/conv_sum.h"

struct fdabnn_conv_sum : Prepared<fdabnn::ConvSum> {};

extern "C" {

FDABNN_EXPORT fdabnn_conv_sum* fdabnn_conv_sum_create(const fdabnn_conv_sum_params* params, const fdabnn_conv_sum_term* terms,
                                                      int term_count, const int32_t* expression, int expression_size, int level,
                                                      char* error) {
  return Make<fdabnn_conv_sum>(level, error, [&](Level l, std::string* reason) {
    fdabnn::ConvSumParams sizes;
    CopyConv(*params, &sizes);
    CopyPads(*params, &sizes);
    sizes.channels_in = params->channels_in;
    sizes.channels_out = params->channels_out;
    sizes.same_padding = params->same_padding != 0;
    sizes.planes = params->planes != 0;
    std::vector<fdabnn::ConvSumTerm> list;
    list.reserve(static_cast<std::size_t>(std::max(term_count, 0)));
    for (int i = 0; i < term_count; ++i) list.push_back({terms[i].input, terms[i].filter, terms[i].bias});
    return fdabnn::ConvSum::Create(sizes, list, {expression, expression + expression_size}, {}, l, reason);
  });
}

FDABNN_EXPORT int fdabnn_conv_sum_resize(fdabnn_conv_sum* conv, int in_height, int in_width, int* out_height, int* out_width, char* error) {
  return ResizePrepared(conv, in_height, in_width, out_height, out_width, error);
}

FDABNN_EXPORT size_t fdabnn_conv_sum_workspace_bytes(const fdabnn_conv_sum* conv, int threads) {
  return PreparedWorkspaceBytes(conv, threads);
}

FDABNN_EXPORT int fdabnn_conv_sum_run(const fdabnn_conv_sum* conv, const float* const* inputs, int batch, float* output, fdabnn_pool* pool,
                                      void* workspace, char* error) {
  return RunPrepared(conv, {inputs, nullptr, output}, batch, pool, workspace, error);
}

FDABNN_EXPORT void fdabnn_conv_sum_destroy(fdabnn_conv_sum* conv) { delete conv; }

}  // extern "C"
