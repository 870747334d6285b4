// Memory that starts at a cache line.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace fdabnn {

constexpr std::size_t kCacheLine = 64;

constexpr std::size_t RoundUp(std::size_t size, std::size_t unit) { return (size + unit - 1) / unit * unit; }

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Throws std::bad_alloc.
  explicit AlignedBuffer(std::size_t bytes) {
    if (posix_memalign(&data_, kCacheLine, bytes ? RoundUp(bytes, kCacheLine) : kCacheLine) != 0) throw std::bad_alloc();
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    void* mine = data_;
    data_ = other.data_;
    other.data_ = mine;
    return *this;
  }
  ~AlignedBuffer() { std::free(data_); }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
};

}  // namespace fdabnn
