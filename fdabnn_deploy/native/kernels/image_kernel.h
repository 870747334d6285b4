// The base of kernels that move windows over images: prepared once for its parameters and constants, sized to its input, then run.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "kernels/thread_pool.h"
#include "kernels/windows.h"

namespace fdabnn {

// Tensors: what a call works on, a batch of images without gaps. A kernel adds a function Create that checks its parameters and constants
// and gives null and the reason where they are refused.
template <class Tensors>
class ImageKernel {
 public:
  using CallTensors = Tensors;

  virtual ~ImageKernel() = default;
  ImageKernel(const ImageKernel&) = delete;
  ImageKernel& operator=(const ImageKernel&) = delete;

  // Has to be called before the first Run, and again for every new size of the input. Returns false and the reason where no output is left
  // or sizes go beyond what memory can hold; then nothing may be run.
  bool Resize(int in_height, int in_width, std::string* error) {
    return PlaceWindows(windows_, in_height, in_width, &size_, error) && Fit(size_, error);
  }

  int out_height() const { return size_.out_h; }
  int out_width() const { return size_.out_w; }

  // Bytes of scratch memory that Run wants for a number of threads, aligned to 64.
  std::size_t WorkspaceBytes(int threads) const { return WorkerBytes() * static_cast<std::size_t>(std::max(threads, 1)); }

  // Any number of calls may run at a time, each with a workspace and a pool of its own. Returns null, or why the input is refused.
  [[nodiscard]] virtual const char* Run(const Tensors& tensors, int batch, ThreadPool& pool, void* workspace) const = 0;

 protected:
  explicit ImageKernel(const Windows& windows) : windows_(windows) {}

  const ImageSize& size() const { return size_; }

  // The part of a workspace that belongs to a worker.
  char* WorkerSpace(void* workspace, int worker) const {
    return static_cast<char*>(workspace) + static_cast<std::size_t>(worker) * WorkerBytes();
  }

 private:
  // Prepares for a size. Returns false and the reason where it is too large.
  virtual bool Fit(const ImageSize& size, std::string* error) = 0;

  // Of one worker, a multiple of 64.
  virtual std::size_t WorkerBytes() const = 0;

  const Windows windows_;
  ImageSize size_;
};

}  // namespace fdabnn
