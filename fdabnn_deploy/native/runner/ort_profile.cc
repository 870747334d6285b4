// An event of a node is {"cat": "Node", "dur": <microseconds>, "name": "<node>_kernel_time", "args": {"op_name": ..., "node_index": ...,
// "provider": ...}, ...}.
#include "runner/ort_profile.h"

#include <cstdlib>
#include <map>

#include "runner/failure.h"

namespace fdabnn::runner {
namespace {

constexpr int kMaxDepth = 32;
constexpr char kSuffix[] = "_kernel_time";

// The members of an object that are texts or numbers, those of inner objects by "outer.inner"; lists are left out.
using Members = std::map<std::string, std::string>;

class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  // Calls `visit` with every object of a list.
  template <typename Visit>
  void Objects(Visit visit) {
    Expect('[');
    if (Skip(']')) return;
    do {
      Members members;
      Object("", &members, 0);
      visit(members);
      // ONNX Runtime's own list ends in a comma where an event was left out.
    } while (Skip(',') && Peek() != ']');
    Expect(']');
  }

 private:
  void Blanks() {
    while (place_ < text_.size() && (text_[place_] == ' ' || text_[place_] == '\n' || text_[place_] == '\r' || text_[place_] == '\t'))
      ++place_;
  }

  char Peek() {
    Blanks();
    return place_ < text_.size() ? text_[place_] : '\0';
  }

  bool Skip(char letter) {
    if (Peek() != letter) return false;
    ++place_;
    return true;
  }

  void Expect(char letter) {
    if (!Skip(letter)) throw Damaged(std::string("no '") + letter + "' at byte " + std::to_string(place_) + " of the profile");
  }

  std::string Text() {
    Expect('"');
    std::string value;
    while (place_ < text_.size() && text_[place_] != '"') {
      if (text_[place_] == '\\') ++place_;
      if (place_ < text_.size()) value += text_[place_++];
    }
    Expect('"');
    return value;
  }

  std::string Word() {
    Blanks();
    const std::size_t end = text_.find_first_of(",]} \n\r\t", place_);
    if (end == std::string::npos || end == place_) throw Damaged("no value at byte " + std::to_string(place_) + " of the profile");
    const std::string word = text_.substr(place_, end - place_);
    place_ = end;
    return word;
  }

  void Value(const std::string& name, Members* members, int depth) {
    if (depth > kMaxDepth) throw Damaged("the profile is too deep");
    switch (Peek()) {
      case '{':
        Object(name + ".", members, depth + 1);
        break;
      case '[':
        Expect('[');
        if (Skip(']')) break;
        do {
          Members ignored;
          Value("", &ignored, depth + 1);
        } while (Skip(','));
        Expect(']');
        break;
      case '"':
        (*members)[name] = Text();
        break;
      default:
        (*members)[name] = Word();
    }
  }

  void Object(const std::string& prefix, Members* members, int depth) {
    Expect('{');
    if (Skip('}')) return;
    do {
      const std::string name = Text();
      Expect(':');
      Value(prefix + name, members, depth);
    } while (Skip(','));
    Expect('}');
  }

  const std::string& text_;
  std::size_t place_ = 0;
};

std::int64_t ToNumber(const Members& members, const char* name) {
  const auto found = members.find(name);
  if (found == members.end()) return -1;
  char* end = nullptr;
  const long long number = std::strtoll(found->second.c_str(), &end, 10);
  return end == found->second.c_str() ? -1 : number;
}

std::string ToText(const Members& members, const char* name) {
  const auto found = members.find(name);
  return found == members.end() ? "" : found->second;
}

bool IsNodeTime(const Members& event) {
  const std::string name = ToText(event, "name");
  const std::size_t size = sizeof kSuffix - 1;
  return ToText(event, "cat") == "Node" && name.size() > size && name.compare(name.size() - size, size, kSuffix) == 0;
}

}  // namespace

std::vector<OpTimes> ParseOrtProfile(const std::string& text) {
  std::vector<OpTimes> ops;
  std::map<std::string, std::size_t> known;
  Reader(text).Objects([&](const Members& event) {
    if (!IsNodeTime(event)) return;
    const std::string full = ToText(event, "name"), name = full.substr(0, full.size() - (sizeof kSuffix - 1));
    const std::int64_t index = ToNumber(event, "args.node_index"), time = ToNumber(event, "dur");
    if (time < 0) throw Damaged("the profile has a node without its time");
    const auto [entry, added] = known.emplace(std::to_string(index) + " " + name, ops.size());
    if (added) {
      OpTimes op;
      op.name = name;
      op.type = ToText(event, "args.op_name");
      op.kernel = ToText(event, "args.provider");
      op.node = index;
      if (index >= 0) op.nodes = {index};
      ops.push_back(std::move(op));
    }
    ops[entry->second].samples.push_back(1000 * time);
  });
  return ops;
}

}  // namespace fdabnn::runner
