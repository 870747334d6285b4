// Texts of files and libraries, which may hold any bytes.
#pragma once

#include <cstddef>
#include <string>

namespace fdabnn::runner {

// U+FFFD, for what is no UTF-8.
constexpr char kReplacement[] = "\xef\xbf\xbd";

// The bytes of the well-formed UTF-8 sequence at `place`, 0 for none (RFC 3629).
std::size_t Utf8At(const std::string& text, std::size_t place);

// The text as UTF-8 that a terminal may be shown: control characters become blanks.
std::string Printable(const std::string& text);

}  // namespace fdabnn::runner
