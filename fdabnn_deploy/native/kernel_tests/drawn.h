// Numbers, arrays and parameters for tests of kernels, drawn with a seed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <random>
#include <vector>

#include "kernels/bconv.h"
#include "kernels/binary_layer.h"
#include "kernels/bmaxpool.h"
#include "kernels/conv_sum.h"
#include "kernels/level.h"
#include "kernels/thread_pool.h"
#include "kernels/words.h"

namespace fdabnn {

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}

  int Between(int low, int high) { return low + static_cast<int>(engine_() % (static_cast<unsigned>(high - low) + 1)); }
  Word Bits() { return static_cast<Word>(engine_()); }
  float Float() { return static_cast<float>(Between(-1000, 1000)) / 64; }
  int OneOf(std::initializer_list<int> values) { return values.begin()[Between(0, static_cast<int>(values.size()) - 1)]; }

 private:
  std::mt19937 engine_;
};

// An array aligned to its elements and no better, whose end is the end of its memory.
template <class T>
class Exact {
 public:
  explicit Exact(std::size_t size) : size_(size), memory_(new T[size + 1]) { std::fill_n(memory_.get(), size + 1, T()); }

  template <class Source>
  Exact(std::size_t size, Source source) : Exact(size) {
    std::generate_n(data(), size, source);
  }

  T* data() { return memory_.get() + 1; }
  const T* data() const { return memory_.get() + 1; }
  std::size_t size() const { return size_; }
  bool operator==(const Exact& other) const { return std::memcmp(data(), other.data(), size_ * sizeof(T)) == 0; }

 private:
  std::size_t size_;
  std::unique_ptr<T[]> memory_;
};

// Those of this processor; scalar first.
std::vector<Level> SupportedLevels();

// Packed signs [rows, channels].
Exact<Word> DrawSigns(Random& random, std::size_t rows, int channels);

// Parameters that kernels accept, though not for every size of an image.
BmaxpoolParams DrawBmaxpool(Random& random);
BconvParams DrawBconv(Random& random);
BinaryLayerParams DrawBinaryLayer(Random& random);
ConvSumParams DrawConvSum(Random& random);

// Runs a kernel in a workspace of just the size that it asks for. Returns what Run does.
template <class Tensors>
const char* RunInWorkspace(const ImageKernel<Tensors>& kernel, const Tensors& tensors, int batch, ThreadPool& pool) {
  const std::size_t bytes = kernel.WorkspaceBytes(pool.threads());
  const std::unique_ptr<void, decltype(&std::free)> workspace(std::aligned_alloc(64, bytes), std::free);
  return kernel.Run(tensors, batch, pool, workspace.get());
}

}  // namespace fdabnn
