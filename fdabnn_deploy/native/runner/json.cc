#include "runner/json.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "runner/text.h"

namespace fdabnn::runner {
namespace {

template <typename T>
std::string Shortest(T value, int most) {
  char text[40];
  for (int digits = 1; digits <= most; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, static_cast<double>(value));
    if (static_cast<T>(std::strtod(text, nullptr)) == value) break;
  }
  return text;
}

}  // namespace

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t size = Utf8At(text, place);
    const char letter = text[place];
    if (size == 0) {
      quoted += kReplacement;
    } else if (letter == '"' || letter == '\\') {
      quoted += {'\\', letter};
    } else if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(letter));
      quoted += escape;
    } else {
      quoted.append(text, place, size);
    }
    place += size == 0 ? 1 : size;
  }
  return quoted + '"';
}

std::string Digits(double value) { return Shortest(value, 17); }
std::string Digits(float value) { return Shortest(value, 9); }

void Json::NewLine() { text_.append(1, '\n').append(2 * levels_.size(), ' '); }

void Json::Begin(const char* name) {
  if (!levels_.empty()) {
    if (!levels_.back().empty) text_ += ',';
    levels_.back().empty = false;
    NewLine();
  }
  if (name != nullptr) text_ += Quoted(name) + ": ";
}

Json& Json::Object(const char* name) {
  Begin(name);
  text_ += '{';
  levels_.push_back({'}', true});
  return *this;
}

Json& Json::List(const char* name) {
  Begin(name);
  text_ += '[';
  levels_.push_back({']', true});
  return *this;
}

Json& Json::End() {
  const Level level = levels_.back();
  levels_.pop_back();
  if (!level.empty) NewLine();
  text_ += level.end;
  return *this;
}

Json& Json::Text(const char* name, const std::string& value) {
  Begin(name);
  text_ += Quoted(value);
  return *this;
}

Json& Json::TextOrNull(const char* name, const std::string& value) { return value.empty() ? Null(name) : Text(name, value); }

Json& Json::Integer(const char* name, std::int64_t value) {
  Begin(name);
  text_ += std::to_string(value);
  return *this;
}

Json& Json::Number(const char* name, double value) {
  Begin(name);
  text_ += std::isfinite(value) ? Digits(value) : "null";
  return *this;
}

Json& Json::Bool(const char* name, bool value) {
  Begin(name);
  text_ += value ? "true" : "false";
  return *this;
}

Json& Json::Null(const char* name) {
  Begin(name);
  text_ += "null";
  return *this;
}

Json& Json::Integers(const char* name, const std::vector<std::int64_t>& values) {
  Begin(name);
  text_ += '[';
  for (std::size_t i = 0; i < values.size(); ++i) text_ += (i == 0 ? "" : ", ") + std::to_string(values[i]);
  text_ += ']';
  return *this;
}

}  // namespace fdabnn::runner
