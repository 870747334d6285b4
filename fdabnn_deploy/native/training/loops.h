// The passes of layer.h; included by one file per level. `B` is the number of vectors in a row where it is known when compiling (the sums
// then stay in registers), 0 otherwise.

#pragma once

#include <type_traits>

#include "training/layer.h"
#include "training/vectors.h"

namespace {

using fdabnn::training::Binarise;
using fdabnn::training::kBfloat16;
using fdabnn::training::kMostChannels;
using fdabnn::training::kTerms;
using fdabnn::training::Norm;

// Rows whose sums are kept in float before they are added in double.
constexpr int64_t kRun = 256;

// A vector per sixteen channels: in registers (B > 0), or in memory for any number of channels.
template <int B>
struct Row {
  Floats& operator[](int64_t i) { return v[i]; }
  const Floats& operator[](int64_t i) const { return v[i]; }
  Floats v[B ? B : kMostChannels / kLanes];
};

template <int B>
struct Shape {
  explicit Shape(int64_t count) : channels(count) {}
  int64_t vectors() const { return B ? B : (channels + kLanes - 1) / kLanes; }
  int64_t width() const { return B ? B * kLanes : channels; }
  template <typename T>
  Floats Get(const T* row, int64_t i) const {
    return B || (i + 1) * kLanes <= channels ? Load(row + i * kLanes) : LoadPart(row + i * kLanes, channels - i * kLanes);
  }
  template <typename T>
  void Put(T* row, int64_t i, Floats v) const {
    if (B || (i + 1) * kLanes <= channels) {
      Store(row + i * kLanes, v);
    } else {
      StorePart(row + i * kLanes, v, channels - i * kLanes);
    }
  }
  Row<B> Read(const float* from) const {
    Row<B> row;
    for (int64_t i = 0; i < vectors(); ++i) row[i] = Get(from, i);
    return row;
  }
  Row<B> Zeros() const {
    Row<B> row;
    for (int64_t i = 0; i < vectors(); ++i) row[i] = Floats{};
    return row;
  }
  // Adds the sums of a run, which start again.
  void Flush(Row<B>& sums, double* total) const {
    for (int64_t i = 0; i < vectors(); ++i) {
      if (B || (i + 1) * kLanes <= channels) {
        Doubles wide;
        std::memcpy(&wide, total + i * kLanes, sizeof wide);
        wide += __builtin_convertvector(sums[i], Doubles);
        std::memcpy(total + i * kLanes, &wide, sizeof wide);
      } else {
        for (int64_t lane = 0; lane < channels - i * kLanes; ++lane) total[i * kLanes + lane] += sums[i][lane];
      }
      sums[i] = Floats{};
    }
  }
  int64_t channels;
};

inline Floats Sign(Floats t) { return t < 0.0f ? Splat(-1.0f) : Splat(1.0f); }

inline float Positive(float value) { return value > 0.0f ? value : 0.0f; }

inline void Clear(double* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = 0.0;
}

// The derivative of the series where |t| <= 1, else 0.
inline Floats SeriesDerivative(Floats t, const float* series) {
  const Floats square = t * t;
  Floats p = Splat(series[kTerms - 1]);
  for (int k = kTerms - 2; k >= 0; --k) p = Fma(p, square, Splat(series[k]));
  return square <= 1.0f ? p : Floats{};
}

template <int B, typename T, typename Y>
void BinariseRows(const Binarise& op, Y* y) {
  const Shape<B> shape(op.channels);
  const T* t = static_cast<const T*>(op.t);
  Row<B> noise;
  const Row<B> w1 = shape.Read(op.w1), w2 = shape.Read(op.w2);
  for (int64_t r = 0; r < op.rows; ++r, t += shape.width(), y += shape.width()) {
    if (op.hidden == 1) {
      Floats dot{};
      for (int64_t i = 0; i < shape.vectors(); ++i) dot = Fma(shape.Get(t, i), w1[i], dot);
      const float h = Positive(Sum(dot));
      for (int64_t i = 0; i < shape.vectors(); ++i) noise[i] = w2[i] * h;
    } else {
      for (int64_t i = 0; i < shape.vectors(); ++i) noise[i] = Floats{};
      for (int64_t k = 0; k < op.hidden; ++k) {
        Floats dot{};
        for (int64_t i = 0; i < shape.vectors(); ++i) dot = Fma(shape.Get(t, i), shape.Get(op.w1 + k * op.channels, i), dot);
        const float h = Positive(Sum(dot));
        for (int64_t i = 0; i < shape.vectors(); ++i) noise[i] = Fma(shape.Get(op.w2 + k * op.channels, i), Splat(h), noise[i]);
      }
    }
    const float scale = op.scale ? op.scale[r] : 1.0f;
    for (int64_t i = 0; i < shape.vectors(); ++i) {
      const Floats value = shape.Get(t, i);
      const Floats e = Fma(Sine(value), Splat(op.eta), noise[i]);
      shape.Put(y, i, Fma(e, Splat(op.alpha), Sign(value)) * scale);
    }
  }
}

template <int B, typename T, typename Y>
void BinariseGradRows(const Binarise& op, const Y* grad_y, T* grad_t, double* grad_w1, double* grad_w2) {
  const Shape<B> shape(op.channels);
  const T* t = static_cast<const T*>(op.t);
  Row<B> extra, sums1 = shape.Zeros(), sums2 = shape.Zeros();
  const Row<B> w1 = shape.Read(op.w1), w2 = shape.Read(op.w2);
  Clear(grad_w1, op.hidden * op.channels);
  Clear(grad_w2, op.hidden * op.channels);
  for (int64_t r = 0; r < op.rows; ++r, t += shape.width(), grad_y += shape.width(), grad_t += shape.width()) {
    const float scale = op.scale ? op.scale[r] : 1.0f;
    const float noise_scale = op.alpha * scale;
    if (op.hidden == 1) {
      Floats dot{}, back{};
      for (int64_t i = 0; i < shape.vectors(); ++i) {
        dot = Fma(shape.Get(t, i), w1[i], dot);
        back = Fma(shape.Get(grad_y, i), w2[i], back);
      }
      const float h = Sum(dot), passed = h > 0 ? h * noise_scale : 0, grad_h = h > 0 ? Sum(back) * noise_scale : 0;
      for (int64_t i = 0; i < shape.vectors(); ++i) {
        extra[i] = w1[i] * grad_h;
        sums1[i] = Fma(shape.Get(t, i), Splat(grad_h), sums1[i]);
        sums2[i] = Fma(shape.Get(grad_y, i), Splat(passed), sums2[i]);
      }
      if (r % kRun == kRun - 1 || r == op.rows - 1) {
        shape.Flush(sums1, grad_w1);
        shape.Flush(sums2, grad_w2);
      }
    } else {
      for (int64_t i = 0; i < shape.vectors(); ++i) extra[i] = Floats{};
      for (int64_t k = 0; k < op.hidden; ++k) {
        const float *row1 = op.w1 + k * op.channels, *row2 = op.w2 + k * op.channels;
        Floats dot{}, back{};
        for (int64_t i = 0; i < shape.vectors(); ++i) {
          dot = Fma(shape.Get(t, i), shape.Get(row1, i), dot);
          back = Fma(shape.Get(grad_y, i), shape.Get(row2, i), back);
        }
        const float h = Sum(dot);
        if (!(h > 0)) continue;
        const float passed = h * noise_scale, grad_h = Sum(back) * noise_scale;
        for (int64_t i = 0; i < shape.vectors(); ++i) {
          extra[i] = Fma(shape.Get(row1, i), Splat(grad_h), extra[i]);
          sums1[i] = shape.Get(t, i) * grad_h;
          sums2[i] = shape.Get(grad_y, i) * passed;
        }
        shape.Flush(sums1, grad_w1 + k * op.channels);
        shape.Flush(sums2, grad_w2 + k * op.channels);
      }
    }
    for (int64_t i = 0; i < shape.vectors(); ++i) {
      const Floats value = shape.Get(t, i), grad = shape.Get(grad_y, i) * scale;
      const Floats slope = Fma(Cosine(value), Splat(op.alpha * op.eta), SeriesDerivative(value, op.series));
      shape.Put(grad_t, i, Fma(grad, slope, extra[i]));
    }
  }
}

template <int B>
struct Prelu {
  Prelu(const Shape<B>& shape, const Norm& op) {
    for (int64_t i = 0; i < shape.vectors(); ++i) slope[i] = op.slopes == 1 ? Splat(op.slope[0]) : shape.Get(op.slope, i);
  }
  Floats operator()(Floats c, int64_t i) const { return c > 0.0f ? c : c * slope[i]; }
  Floats Grad(Floats c, Floats grad, int64_t i) const { return c > 0.0f ? grad : grad * slope[i]; }
  Row<B> slope;
};

template <int B, typename T>
void NormSums(const Norm& op, const float* shift, double* sum, double* square) {
  const Shape<B> shape(op.channels);
  const Prelu<B> prelu(shape, op);
  const Row<B> shifts = shape.Read(shift);
  Row<B> sums = shape.Zeros(), squares = shape.Zeros();
  Clear(sum, op.channels);
  Clear(square, op.channels);
  const T* c = static_cast<const T*>(op.c);
  for (int64_t r = 0; r < op.rows; ++r, c += shape.width()) {
    for (int64_t i = 0; i < shape.vectors(); ++i) {
      const Floats p = prelu(shape.Get(c, i), i) - shifts[i];
      sums[i] += p;
      squares[i] = Fma(p, p, squares[i]);
    }
    if (r % kRun == kRun - 1 || r == op.rows - 1) {
      shape.Flush(sums, sum);
      shape.Flush(squares, square);
    }
  }
}

template <int B, typename T>
void NormRows(const Norm& op, const float* multiply, const float* add, const T* shortcut, T* y) {
  const Shape<B> shape(op.channels);
  const Prelu<B> prelu(shape, op);
  const Row<B> multiplies = shape.Read(multiply), adds = shape.Read(add);
  const T* c = static_cast<const T*>(op.c);
  for (int64_t r = 0; r < op.rows; ++r, c += shape.width(), y += shape.width()) {
    for (int64_t i = 0; i < shape.vectors(); ++i) {
      Floats value = Fma(prelu(shape.Get(c, i), i), multiplies[i], adds[i]);
      if (shortcut) value += shape.Get(shortcut, i);
      shape.Put(y, i, value);
    }
    if (shortcut) shortcut += shape.width();
  }
}

template <int B, typename T>
void NormGradSums(const Norm& op, const float* mean, const T* grad_y, double* sum, double* product) {
  const Shape<B> shape(op.channels);
  const Prelu<B> prelu(shape, op);
  const Row<B> means = shape.Read(mean);
  Row<B> sums = shape.Zeros(), products = shape.Zeros();
  Clear(sum, op.channels);
  Clear(product, op.channels);
  const T* c = static_cast<const T*>(op.c);
  for (int64_t r = 0; r < op.rows; ++r, c += shape.width(), grad_y += shape.width()) {
    for (int64_t i = 0; i < shape.vectors(); ++i) {
      const Floats grad = shape.Get(grad_y, i);
      sums[i] += grad;
      products[i] = Fma(grad, prelu(shape.Get(c, i), i) - means[i], products[i]);
    }
    if (r % kRun == kRun - 1 || r == op.rows - 1) {
      shape.Flush(sums, sum);
      shape.Flush(products, product);
    }
  }
}

template <int B, typename T>
void NormGradRows(const Norm& op, const float* a, const float* b, const float* d, const T* grad_y, T* grad_c, double* grad_slope) {
  const Shape<B> shape(op.channels);
  const Prelu<B> prelu(shape, op);
  const Row<B> as = shape.Read(a), bs = shape.Read(b), ds = shape.Read(d);
  Row<B> sums = shape.Zeros();
  double total[kMostChannels];
  Clear(total, op.channels);
  const T* c = static_cast<const T*>(op.c);
  for (int64_t r = 0; r < op.rows; ++r, c += shape.width(), grad_y += shape.width(), grad_c += shape.width()) {
    for (int64_t i = 0; i < shape.vectors(); ++i) {
      const Floats value = shape.Get(c, i);
      const Floats grad = Fma(as[i], shape.Get(grad_y, i), Fma(bs[i], prelu(value, i), ds[i]));
      sums[i] = Fma(grad, value > 0.0f ? Floats{} : value, sums[i]);
      shape.Put(grad_c, i, prelu.Grad(value, grad, i));
    }
    if (r % kRun == kRun - 1 || r == op.rows - 1) shape.Flush(sums, total);
  }
  Clear(grad_slope, op.slopes);
  for (int64_t i = 0; i < op.channels; ++i) grad_slope[op.slopes == 1 ? 0 : i] += total[i];
}

// Calls `run` with the number of vectors in a row as a constant, where there is a form for it.
template <typename Run>
void ForWidth(int64_t channels, Run run) {
  switch (channels) {
    case 16:
      return run(std::integral_constant<int, 1>());
    case 32:
      return run(std::integral_constant<int, 2>());
    case 64:
      return run(std::integral_constant<int, 4>());
    default:
      return run(std::integral_constant<int, 0>());
  }
}

// Calls `run` with a pointer of the type.
template <typename Run>
void ForType(int32_t type, Run run) {
  if (type == kBfloat16) {
    run(static_cast<Bfloat16*>(nullptr));
  } else {
    run(static_cast<float*>(nullptr));
  }
}

template <typename P>
using Pointed = std::remove_pointer_t<P>;

}  // namespace

namespace fdabnn::training {

extern const Loops FDABNN_TRAINING_LEVEL = {
    [](const Binarise& op, void* y) {
      ForWidth(op.channels, [&](auto blocks) {
        ForType(op.t_type, [&](auto* t) {
          ForType(op.y_type,
                  [&](auto* out) { BinariseRows<decltype(blocks)::value, Pointed<decltype(t)>>(op, static_cast<decltype(out)>(y)); });
        });
      });
    },
    [](const Binarise& op, const void* grad_y, void* grad_t, double* grad_w1, double* grad_w2) {
      ForWidth(op.channels, [&](auto blocks) {
        ForType(op.t_type, [&](auto* t) {
          ForType(op.y_type, [&](auto* y) {
            using Y = Pointed<decltype(y)>;
            BinariseGradRows<decltype(blocks)::value>(op, static_cast<const Y*>(grad_y), static_cast<decltype(t)>(grad_t), grad_w1,
                                                      grad_w2);
          });
        });
      });
    },
    [](const Norm& op, const float* shift, double* sum, double* square) {
      ForWidth(op.channels, [&](auto blocks) {
        ForType(op.type, [&](auto* t) { NormSums<decltype(blocks)::value, Pointed<decltype(t)>>(op, shift, sum, square); });
      });
    },
    [](const Norm& op, const float* multiply, const float* add, const void* shortcut, void* y) {
      ForWidth(op.channels, [&](auto blocks) {
        ForType(op.type, [&](auto* t) {
          using T = Pointed<decltype(t)>;
          NormRows<decltype(blocks)::value>(op, multiply, add, static_cast<const T*>(shortcut), static_cast<T*>(y));
        });
      });
    },
    [](const Norm& op, const float* mean, const void* grad_y, double* sum, double* product) {
      ForWidth(op.channels, [&](auto blocks) {
        ForType(op.type, [&](auto* t) {
          NormGradSums<decltype(blocks)::value>(op, mean, static_cast<const Pointed<decltype(t)>*>(grad_y), sum, product);
        });
      });
    },
    [](const Norm& op, const float* a, const float* b, const float* d, const void* grad_y, void* grad_c, double* grad_slope) {
      ForWidth(op.channels, [&](auto blocks) {
        ForType(op.type, [&](auto* t) {
          using T = Pointed<decltype(t)>;
          NormGradRows<decltype(blocks)::value>(op, a, b, d, static_cast<const T*>(grad_y), static_cast<T*>(grad_c), grad_slope);
        });
      });
    },
};

}  // namespace fdabnn::training
