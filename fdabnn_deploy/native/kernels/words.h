// Packed signs: 32 channels in a word, bit 0 for +1 and bit 1 for -1, channel c in bit c % 32 of word c / 32. Bits behind the last
// channel are 0; convolutions refuse words that have others. A tensor [N, H, W, C] is packed as [N, H, W, ceil(C / 32)].
#pragma once

#include <cstdint>

namespace fdabnn {

using Word = std::uint32_t;

constexpr int kWordBits = 32;

constexpr int WordsFor(int channels) { return channels / kWordBits + (channels % kWordBits != 0); }

}  // namespace fdabnn
