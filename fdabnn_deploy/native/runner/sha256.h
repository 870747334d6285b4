// SHA-256 (FIPS 180-4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fdabnn::runner {

class Sha256 {
 public:
  void Add(const void* data, std::size_t size);

  // The digest in 64 hexadecimal digits. Nothing may be added any more.
  std::string Hex();

 private:
  void Block(const std::uint8_t* block);

  std::uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::uint8_t block_[64];
  std::size_t used_ = 0;
  std::uint64_t bytes_ = 0;
};

std::string Sha256Of(const void* data, std::size_t size);

}  // namespace fdabnn::runner
