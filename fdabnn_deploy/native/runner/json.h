// Writes JSON (RFC 8259): values in the order in which they are put, two spaces per level, lists of numbers on one line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fdabnn::runner {

class Json {
 public:
  // Objects and lists; what follows lies inside until the end. `name` is for members of objects.
  Json& Object(const char* name = nullptr);
  Json& List(const char* name = nullptr);
  Json& End();

  Json& Text(const char* name, const std::string& value);
  Json& TextOrNull(const char* name, const std::string& value);  // null for ""
  Json& Integer(const char* name, std::int64_t value);
  Json& Number(const char* name, double value);  // null where it is not finite
  Json& Bool(const char* name, bool value);
  Json& Null(const char* name);
  Json& Integers(const char* name, const std::vector<std::int64_t>& values);

  // The document, once everything has ended.
  std::string Done() const { return text_ + "\n"; }

 private:
  void Begin(const char* name);
  void NewLine();

  struct Level {
    char end;
    bool empty;
  };
  std::string text_;
  std::vector<Level> levels_;
};

// A text in quotes. Bytes that are not UTF-8 become U+FFFD.
std::string Quoted(const std::string& text);

// The shortest digits that read back as this number, without a locale's comma; for finite numbers.
std::string Digits(double value);
std::string Digits(float value);

}  // namespace fdabnn::runner
