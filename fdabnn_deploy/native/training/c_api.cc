// The door for `fdabnn_models.layers.fused`, which passes addresses of tensors. Rows are shared by the threads in slices; sums of slices
// are added in their order, so that a result depends on the number of threads alone.

#include <algorithm>
#include <cstdint>
#include <new>
#include <type_traits>
#include <vector>

#include "kernels/level.h"
#include "kernels/thread_pool.h"
#include "training/layer.h"

#define FDABNN_EXPORT __attribute__((visibility("default")))

namespace fdabnn::training {
namespace {

const Loops* FindLoops() {
#if defined(__x86_64__)
  if (Supported(Level::kAvx512)) return &kLoopsAvx512;
  if (Supported(Level::kAvx2)) return &kLoopsAvx2;
#endif
  return nullptr;
}

const Loops* const kLoops = FindLoops();

std::int64_t Bytes(std::int32_t type) { return type == kBfloat16 ? 2 : 4; }

template <class T>
T* Offset(T* address, std::int64_t bytes) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return address ? reinterpret_cast<T*>(reinterpret_cast<Byte*>(address) + bytes) : nullptr;
}

// Calls body(slice, first row, rows) for every slice.
template <class Body>
void InSlices(ThreadPool* pool, std::int64_t rows, Body body) {
  const int count = pool ? static_cast<int>(std::min<std::int64_t>(pool->threads(), rows)) : 1;
  if (count <= 1) return body(0, std::int64_t{0}, rows);
  struct Context {
    Body* body;
    std::int64_t rows;
    int count;
  } context = {&body, rows, count};
  pool->Run(
      count,
      [](void* opaque, int index) {
        const Context& c = *static_cast<Context*>(opaque);
        const std::int64_t first = c.rows * index / c.count;
        (*c.body)(index, first, c.rows*(index + 1) / c.count - first);
      },
      &context);
}

// `parts` holds `threads` slices of `size` sums each; `out` gets their sum.
void AddSlices(const std::vector<double>& parts, std::size_t size, double* out) {
  for (std::size_t i = 0; i < size; ++i) out[i] = 0.0;
  for (std::size_t i = 0; i < parts.size(); ++i) out[i % size] += parts[i];
}

int Threads(const ThreadPool* pool) { return pool ? pool->threads() : 1; }

Binarise Slice(const Binarise& op, std::int64_t first, std::int64_t rows) {
  Binarise slice = op;
  slice.rows = rows;
  slice.t = Offset(op.t, first * op.channels * Bytes(op.t_type));
  slice.scale = op.scale ? op.scale + first : nullptr;
  return slice;
}

Norm Slice(const Norm& op, std::int64_t first, std::int64_t rows) {
  Norm slice = op;
  slice.rows = rows;
  slice.c = Offset(op.c, first * op.channels * Bytes(op.type));
  return slice;
}

}  // namespace
}  // namespace fdabnn::training

using namespace fdabnn::training;  // NOLINT(build/namespaces): the functions below are C

extern "C" {

// 1 where this processor has the instructions; no other function may be called elsewhere.
FDABNN_EXPORT int fdabnn_training_supported() { return kLoops != nullptr; }

FDABNN_EXPORT std::int64_t fdabnn_training_most_channels() { return kMostChannels; }

FDABNN_EXPORT void* fdabnn_training_pool(int threads) { return new (std::nothrow) fdabnn::ThreadPool(threads); }

FDABNN_EXPORT void fdabnn_training_binarise(void* pool, const Binarise* op, void* y) {
  InSlices(static_cast<fdabnn::ThreadPool*>(pool), op->rows, [&](int, std::int64_t first, std::int64_t rows) {
    kLoops->binarise(Slice(*op, first, rows), Offset(y, first * op->channels * Bytes(op->y_type)));
  });
}

FDABNN_EXPORT void fdabnn_training_binarise_grad(void* pool, const Binarise* op, const void* grad_y, void* grad_t, double* grad_w1,
                                                 double* grad_w2) {
  auto* threads = static_cast<fdabnn::ThreadPool*>(pool);
  const auto size = static_cast<std::size_t>(op->hidden * op->channels);
  std::vector<double> w1(size * Threads(threads)), w2(w1.size());
  InSlices(threads, op->rows, [&](int index, std::int64_t first, std::int64_t rows) {
    const std::int64_t at = first * op->channels;
    kLoops->binarise_grad(Slice(*op, first, rows), Offset(grad_y, at * Bytes(op->y_type)), Offset(grad_t, at * Bytes(op->t_type)),
                          &w1[size * index], &w2[size * index]);
  });
  AddSlices(w1, size, grad_w1);
  AddSlices(w2, size, grad_w2);
}

FDABNN_EXPORT void fdabnn_training_norm_sums(void* pool, const Norm* op, const float* shift, double* sum, double* square) {
  auto* threads = static_cast<fdabnn::ThreadPool*>(pool);
  const auto size = static_cast<std::size_t>(op->channels);
  std::vector<double> sums(size * Threads(threads)), squares(sums.size());
  InSlices(threads, op->rows, [&](int index, std::int64_t first, std::int64_t rows) {
    kLoops->norm_sums(Slice(*op, first, rows), shift, &sums[size * index], &squares[size * index]);
  });
  AddSlices(sums, size, sum);
  AddSlices(squares, size, square);
}

FDABNN_EXPORT void fdabnn_training_norm(void* pool, const Norm* op, const float* multiply, const float* add, const void* shortcut,
                                        void* y) {
  InSlices(static_cast<fdabnn::ThreadPool*>(pool), op->rows, [&](int, std::int64_t first, std::int64_t rows) {
    const std::int64_t at = first * op->channels * Bytes(op->type);
    kLoops->norm(Slice(*op, first, rows), multiply, add, Offset(shortcut, at), Offset(y, at));
  });
}

FDABNN_EXPORT void fdabnn_training_norm_grad_sums(void* pool, const Norm* op, const float* mean, const void* grad_y, double* sum,
                                                  double* product) {
  auto* threads = static_cast<fdabnn::ThreadPool*>(pool);
  const auto size = static_cast<std::size_t>(op->channels);
  std::vector<double> sums(size * Threads(threads)), products(sums.size());
  InSlices(threads, op->rows, [&](int index, std::int64_t first, std::int64_t rows) {
    kLoops->norm_grad_sums(Slice(*op, first, rows), mean, Offset(grad_y, first * op->channels * Bytes(op->type)), &sums[size * index],
                           &products[size * index]);
  });
  AddSlices(sums, size, sum);
  AddSlices(products, size, product);
}

FDABNN_EXPORT void fdabnn_training_norm_grad(void* pool, const Norm* op, const float* a, const float* b, const float* d, const void* grad_y,
                                             void* grad_c, double* grad_slope) {
  auto* threads = static_cast<fdabnn::ThreadPool*>(pool);
  const auto size = static_cast<std::size_t>(op->slopes);
  std::vector<double> slopes(size * Threads(threads));
  InSlices(threads, op->rows, [&](int index, std::int64_t first, std::int64_t rows) {
    const std::int64_t at = first * op->channels * Bytes(op->type);
    kLoops->norm_grad(Slice(*op, first, rows), a, b, d, Offset(grad_y, at), Offset(grad_c, at), &slopes[size * index]);
  });
  AddSlices(slopes, size, grad_slope);
}

}  // extern "C"
