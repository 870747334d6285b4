#include "runner/text.h"

namespace fdabnn::runner {

std::size_t Utf8At(const std::string& text, std::size_t place) {
  const auto byte = [&](std::size_t i) -> unsigned { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0; };
  const unsigned first = byte(place);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(place + i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(place + 1);
  const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) || (first == 0xf0 && second < 0x90) ||
                   (first == 0xf4 && second >= 0x90);
  return bad ? 0 : size;
}

std::string Printable(const std::string& text) {
  std::string shown;
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t size = Utf8At(text, place);
    const auto letter = static_cast<unsigned char>(text[place]);
    if (size == 0) {
      shown += kReplacement;
    } else if (letter < 0x20 || letter == 0x7f || (letter == 0xc2 && static_cast<unsigned char>(text[place + 1]) < 0xa0)) {
      shown += ' ';
    } else {
      shown.append(text, place, size);
    }
    place += size == 0 ? 1 : size;
  }
  return shown;
}

}  // namespace fdabnn::runner
