/* The kernels for C and whatever calls C: tests, benchmarks, other languages. TensorFlow Lite does not need this: it loads the same library
 * as a delegate.
 *
 * A packed tensor has 32 channels in a word, channel c in bit c % 32 of word c / 32, 0 for +1 and 1 for -1; bits behind the last channel
 * are 0. Tensors are NHWC without gaps. A group of `channels` has W(channels) = ceil(channels / 32) words.
 *
 * Functions that return int give 0 for success and -1 for a refusal, those that return a pointer NULL; then the last argument, a buffer of
 * FDABNN_ERROR_BYTES, says why. No exception leaves a function. Sizes and pointers of tensors are the caller's word: they cannot be
 * checked.
 */
#ifndef FDABNN_H_
#define FDABNN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FDABNN_ERROR_BYTES 256

/* Which instructions to use: 0 scalar, 1 popcnt (SSE4.2), 2 avx2, 3 avx512 (with VPOPCNTDQ), 4 neon, 5 neon_lookup (binary
 * convolutions by table look-up where that pays). */
enum { FDABNN_LEVELS = 6 };
const char* fdabnn_level_name(int level); /* NULL for other numbers */
int fdabnn_level_supported(int level);    /* 1 where this build and processor have it, else 0 */
/* The fastest (on aarch64 the one that suits the cores), or what the environment variable FDABNN_KERNELS names. */
int fdabnn_level_choose(int* level, char* error);

/* How that is decided on aarch64. The MIDR_EL1 of the first `size` cores that a folder such as /sys/devices/system/cpu names, of this core
 * where it names none, and how many there are; and the level that suits a processor with such cores. */
int fdabnn_arm_cores(const char* folder, uint64_t* cores, int size, int* count, char* error);
int fdabnn_arm_level(const uint64_t* cores, int count, int* level, char* error);

/* Binary multiply-adds per second that the calling thread reaches at most: exclusive or, count and add from registers, 50 ms of them. */
int fdabnn_ceiling(int level, double* macs_per_second, char* error);

/* Threads that work on one call at a time; `threads` counts the calling one. */
typedef struct fdabnn_pool fdabnn_pool;
fdabnn_pool* fdabnn_pool_create(int threads, char* error);
int fdabnn_pool_threads(const fdabnn_pool* pool);
void fdabnn_pool_destroy(fdabnn_pool* pool);

/* values [rows, channels] to words [rows, W(channels)]. The bit is value < 0 (0 for NaN and -0), value < zero_point, value == 0. */
int fdabnn_quantize_float(const float* values, size_t rows, int channels, uint32_t* words, int level, fdabnn_pool* pool, char* error);
int fdabnn_quantize_int8(const int8_t* values, size_t rows, int channels, int zero_point, uint32_t* words, int level, fdabnn_pool* pool,
                         char* error);
int fdabnn_quantize_bool(const uint8_t* values, size_t rows, int channels, uint32_t* words, int level, fdabnn_pool* pool, char* error);

/* And back: 1.0 and -1.0, or the bytes `plus` and `minus`. */
int fdabnn_dequantize_float(const uint32_t* words, size_t rows, int channels, float* values, int level, fdabnn_pool* pool, char* error);
int fdabnn_dequantize_bytes(const uint32_t* words, size_t rows, int channels, uint8_t plus, uint8_t minus, uint8_t* values, int level,
                            fdabnn_pool* pool, char* error);

/* The largest sign in a window: input [batch, in_height, in_width, words] to output [batch, out_height, out_width, words]. */
typedef struct fdabnn_bmaxpool_params {
  int32_t kernel_h, kernel_w, stride_h, stride_w;
  int32_t same_padding; /* TensorFlow's SAME, else VALID */
  int32_t in_height, in_width, words;
} fdabnn_bmaxpool_params;
int fdabnn_bmaxpool_size(const fdabnn_bmaxpool_params* params, int* out_height, int* out_width, char* error);
int fdabnn_bmaxpool_run(const fdabnn_bmaxpool_params* params, const uint32_t* input, int batch, uint32_t* output, int level,
                        fdabnn_pool* pool, char* error);

/* Binary convolution, in the arithmetic of Larq Compute Engine's LceBconv2d. */
typedef struct fdabnn_bconv_params {
  int32_t channels_in, channels_out, groups;
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int32_t same_padding;      /* TensorFlow's SAME, else VALID */
  int32_t pad_value;         /* of SAME: 0 or 1 */
  int32_t activation;        /* 0 none, 1 ReLU, 2 ReLU from -1 to 1, 3 ReLU6 */
  int32_t output;            /* 0 float, 1 packed, 2 int8 */
  float output_scale;        /* of int8 */
  int32_t output_zero_point; /* of int8 */
} fdabnn_bconv_params;

/* filter [channels_out, kernel_h, kernel_w, W(channels_in / groups)]; multiplier and bias [channels_out] for float and int8 output,
 * thresholds [channels_out] for packed output, NULL otherwise. All are copied. Bits behind the last channel have to be 0. */
typedef struct fdabnn_bconv fdabnn_bconv;
fdabnn_bconv* fdabnn_bconv_create(const fdabnn_bconv_params* params, const uint32_t* filter, const float* multiplier, const float* bias,
                                  const int32_t* thresholds, int level, char* error);
/* Before the first run, and for every new size of the input. */
int fdabnn_bconv_resize(fdabnn_bconv* conv, int in_height, int in_width, int* out_height, int* out_width, char* error);
/* Of memory that a run needs, aligned to 64 bytes, with a pool of so many threads. */
size_t fdabnn_bconv_workspace_bytes(const fdabnn_bconv* conv, int threads);
/* input [batch, in_height, in_width, W(channels_in)] to output [batch, out_height, out_width, channels_out] or W(channels_out) words.
 * Any number of runs at a time, each with a pool and a workspace of its own. An input with bits behind the last channel is refused. */
int fdabnn_bconv_run(const fdabnn_bconv* conv, const uint32_t* input, int batch, void* output, fdabnn_pool* pool, void* workspace,
                     char* error);
void fdabnn_bconv_destroy(fdabnn_bconv* conv);

/* A binary convolution and what follows it up to the next sign: PReLU, scale, offset, residual; see docs/ops/binary-conv.md. */
typedef struct fdabnn_layer_params {
  int32_t channels_in, channels_out, groups;
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int32_t pad_top, pad_left, pad_bottom, pad_right; /* each smaller than the dilated kernel */
  int32_t pad_value;                                /* 0 or 1 */
  int32_t planes;                                   /* residual and values are NCHW, else NHWC */
} fdabnn_layer_params;

/* filter as above; slope, scale and offset [channels_out], or NULL. All are copied. */
typedef struct fdabnn_layer fdabnn_layer;
fdabnn_layer* fdabnn_layer_create(const fdabnn_layer_params* params, const uint32_t* filter, const float* slope, const float* scale,
                                  const float* offset, int level, char* error);
int fdabnn_layer_resize(fdabnn_layer* layer, int in_height, int in_width, int* out_height, int* out_width, char* error);
size_t fdabnn_layer_workspace_bytes(const fdabnn_layer* layer, int threads);
/* residual, values and signs may be NULL. */
int fdabnn_layer_run(const fdabnn_layer* layer, const uint32_t* input, const float* residual, int batch, float* values, uint32_t* signs,
                     fdabnn_pool* pool, void* workspace, char* error);
void fdabnn_layer_destroy(fdabnn_layer* layer);

/* values [batch, channels, pixels] to words [batch, pixels, W(channels)]; the bit is value < 0. */
int fdabnn_pack_planes(const float* values, int batch, int channels, size_t pixels, uint32_t* words, int level, fdabnn_pool* pool,
                       char* error);

/* Differences of float convolutions of one geometry, each of one of several inputs; see docs/delegate.md. */
typedef struct fdabnn_conv_sum_params {
  int32_t channels_in, channels_out;
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int32_t same_padding;                             /* TensorFlow's SAME, else what follows */
  int32_t pad_top, pad_left, pad_bottom, pad_right; /* of zeros, each smaller than the dilated kernel */
  int32_t planes;                                   /* inputs and output are NCHW, else NHWC */
} fdabnn_conv_sum_params;
typedef struct fdabnn_conv_sum_term {
  int32_t input;
  const float* filter; /* [channels_out, kernel_h, kernel_w, channels_in] */
  const float* bias;   /* [channels_out] */
} fdabnn_conv_sum_term;

/* expression: postfix; the number of a term is its convolution, -1 the difference of the two results in front of it. All are copied. */
typedef struct fdabnn_conv_sum fdabnn_conv_sum;
fdabnn_conv_sum* fdabnn_conv_sum_create(const fdabnn_conv_sum_params* params, const fdabnn_conv_sum_term* terms, int term_count,
                                        const int32_t* expression, int expression_size, int level, char* error);
int fdabnn_conv_sum_resize(fdabnn_conv_sum* conv, int in_height, int in_width, int* out_height, int* out_width, char* error);
size_t fdabnn_conv_sum_workspace_bytes(const fdabnn_conv_sum* conv, int threads);
/* Each input [batch, in_height, in_width, channels_in] to output [batch, out_height, out_width, channels_out], or as planes. */
int fdabnn_conv_sum_run(const fdabnn_conv_sum* conv, const float* const* inputs, int batch, float* output, fdabnn_pool* pool,
                        void* workspace, char* error);
void fdabnn_conv_sum_destroy(fdabnn_conv_sum* conv);

/* Marks between which qemu's plugin counts executed instructions; see docs/instruction-counts.md. A hint without a meaning on aarch64,
 * nothing on other processors. */
void fdabnn_marker_begin(void);
void fdabnn_marker_end(void);
/* Calls function(arguments[0], ..., arguments[11]) between marks, for callers whose own instructions are not to be counted, and gives back
 * what it returns. Arguments are integers and pointers; a function takes as many of the twelve as it has. */
int64_t fdabnn_marked_call(void* function, const uint64_t* arguments);

#ifdef __cplusplus
}
#endif

#endif  // FDABNN_H_
