#include "kernels/dense.h"

namespace fdabnn {

BinaryConvParams DenseParams(const BinaryConvParams& layer) {
  BinaryConvParams params = layer;
  params.stride_h = params.stride_w = 1;
  return params;
}

BconvShape DenseShape(const BconvShape& one, int images) {
  BconvShape shape = one;
  shape.in_w = shape.out_w = images;
  return shape;
}

BconvJob DenseJob(const BconvJob& whole, const BconvKernel& kernel, const DensePart& part, BinaryConvParams* params) {
  BconvJob job = whole;
  *params = DenseParams(*whole.params);
  job.params = params;
  job.shape = DenseShape(whole.shape, part.images);
  const auto set_channels = [&](int channels) {
    params->channels_out = job.shape.group_channels = channels;
    job.shape.blocks = (channels + kernel.lanes - 1) / kernel.lanes;
    job.shape.counts = job.shape.blocks * kernel.lanes;
  };
  if (part.channel > 0) {
    set_channels(part.channel);
    job.weights = static_cast<const char*>(whole.weights) + kernel.weight_bytes(*params, job.shape);
    for (const float** values : {&job.multiplier, &job.doubled, &job.bias}) {
      if (*values != nullptr) *values += part.channel;
    }
    if (job.thresholds != nullptr) job.thresholds += part.channel;
  }
  set_channels(part.channels);
  return job;
}

}  // namespace fdabnn
