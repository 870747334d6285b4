#include "runner/arguments.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "runner/failure.h"

namespace fdabnn::runner {

const char kHelp[] =
    "Measures and tests a .tflite or .onnx file on this device, without Python.\n"
    "\n"
    "  fdabnn-runner MODEL [options]\n"
    "  fdabnn-runner --selftest CAPSULE [options]     the model is the capsule's\n"
    "\n"
    "  --runtime FILE      libLiteRt.so or libonnxruntime.so (default: beside this program, then where the loader looks)\n"
    "  --delegate FILE     libfdabnn_delegate.so (default: likewise)\n"
    "  --threads N         1 by default\n"
    "  --cpus LIST         pins to processors, such as 0,2-3\n"
    "  --warmup N          runs that are not measured, 10 by default\n"
    "  --runs N            measured runs, 100 by default\n"
    "  --seconds T         measures for T seconds instead\n"
    "  --per-op            times every operator as well\n"
    "  --ceiling           measures how many binary multiply-adds a core can do at most\n"
    "  --xnnpack on|off    off: LiteRT's own kernels for float operators\n"
    "  --inputs CAPSULE    measures with its first image instead of a generated one\n"
    "  --selftest CAPSULE  replays it first\n"
    "  --selftest-only     measures nothing\n"
    "  --outputs FILE      writes the outputs of all inputs of the capsule\n"
    "  --ignore-checksum   takes an ONNX file that has changed since it was exported\n"
    "  --markers           marks every measured run for the counter of instructions (aarch64 under qemu)\n"
    "  --json FILE|-       writes the report\n"
    "  --version, --help\n"
    "\n"
    "Exit codes: 0 done, 1 a bug of the runner, 2 wrong usage, 3 model or capsule damaged or refused, 4 self-test failed, 6 a library,\n"
    "processor or memory is missing.\n";

namespace {

[[noreturn]] void Wrong(const std::string& text) { throw Failure(Exit::kUsage, text + " (--help shows all options)"); }

int Whole(const std::string& name, const std::string& text, int low, int high) {
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (end == text.c_str() || *end != '\0' || errno != 0 || value < low || value > high) {
    Wrong(name + " takes a number from " + std::to_string(low) + " to " + std::to_string(high) + ", not '" + text + "'");
  }
  return static_cast<int>(value);
}

double Seconds(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0' || !std::isfinite(value) || value <= 0 || value > 86400) {
    Wrong(name + " takes seconds above 0 and up to 86400, not '" + text + "'");
  }
  return value;
}

// "0,2-3" is 0, 2, 3.
std::vector<int> Cpus(const std::string& name, const std::string& text) {
  std::vector<int> cpus;
  std::size_t place = 0;
  while (place <= text.size()) {
    const std::size_t comma = std::min(text.find(',', place), text.size());
    const std::string part = text.substr(place, comma - place);
    const std::size_t dash = part.find('-');
    const int first = Whole(name, part.substr(0, dash), 0, 1023);
    const int last = dash == std::string::npos ? first : Whole(name, part.substr(dash + 1), first, 1023);
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    place = comma + 1;
  }
  return cpus;
}

bool OnOff(const std::string& name, const std::string& text) {
  if (text != "on" && text != "off") Wrong(name + " takes on or off, not '" + text + "'");
  return text == "on";
}

std::string File(const std::string& name, const std::string& text) {
  if (text.empty()) Wrong(name + " takes the path of a file");
  return text;
}

}  // namespace

Arguments ParseArguments(int count, const char* const* values) {
  Arguments arguments;
  bool has_runs = false;
  using Take = std::function<void(const std::string& name, const std::string& text)>;
  const auto path = [](std::string* to) -> Take {
    return [to](const std::string& name, const std::string& text) { *to = File(name, text); };
  };
  const auto number = [](int* to, int low, int high) -> Take {
    return [=](const std::string& name, const std::string& text) { *to = Whole(name, text, low, high); };
  };
  struct Option {
    const char* name;
    Take take;
  };
  const Option with_value[] = {
      {"--runtime", path(&arguments.runtime)},
      {"--delegate", path(&arguments.delegate)},
      {"--threads", number(&arguments.threads, 1, 1024)},
      {"--cpus", [&](const std::string& name, const std::string& text) { arguments.cpus = Cpus(name, text); }},
      {"--warmup", number(&arguments.warmup, 0, 1000000)},
      {"--runs",
       [&](const std::string& name, const std::string& text) {
         arguments.runs = Whole(name, text, 1, 1000000);
         has_runs = true;
       }},
      {"--seconds", [&](const std::string& name, const std::string& text) { arguments.seconds = Seconds(name, text); }},
      {"--xnnpack", [&](const std::string& name, const std::string& text) { arguments.xnnpack = OnOff(name, text); }},
      {"--inputs", path(&arguments.inputs)},
      {"--selftest", path(&arguments.selftest)},
      {"--json", path(&arguments.json)},
      {"--outputs", path(&arguments.outputs)},
  };
  struct Flag {
    const char* name;
    bool* flag;
  };
  const Flag flags[] = {{"--per-op", &arguments.per_op},
                        {"--selftest-only", &arguments.selftest_only},
                        {"--ceiling", &arguments.peak},
                        {"--markers", &arguments.markers},
                        {"--ignore-checksum", &arguments.ignore_checksum},
                        {"--help", &arguments.help},
                        {"-h", &arguments.help},
                        {"--version", &arguments.version}};

  bool only_files = false;
  for (int i = 1; i < count; ++i) {
    const std::string word = values[i];
    if (only_files || word.size() < 2 || word[0] != '-') {
      if (!arguments.model.empty()) Wrong("one model at a time: '" + arguments.model + "' or '" + word + "'");
      if (word.empty()) Wrong("the path of the model is empty");
      arguments.model = word;
      continue;
    }
    if (word == "--") {
      only_files = true;
      continue;
    }
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    bool known = false;
    for (const Flag& flag : flags) {
      if (name != flag.name) continue;
      if (equals != std::string::npos) Wrong(name + " takes no value");
      *flag.flag = known = true;
    }
    for (const Option& option : with_value) {
      if (name != option.name) continue;
      if (equals == std::string::npos && i + 1 >= count) Wrong(name + " takes a value");
      option.take(name, equals == std::string::npos ? values[++i] : word.substr(equals + 1));
      known = true;
    }
    if (!known) Wrong("unknown option '" + name + "'");
  }
  if (arguments.help || arguments.version) return arguments;
  if (arguments.model.empty() && arguments.selftest.empty()) Wrong("give a .tflite or .onnx file, or --selftest with a capsule");
  if (arguments.selftest_only && arguments.selftest.empty()) Wrong("--selftest-only takes --selftest CAPSULE");
  if (has_runs && arguments.seconds > 0) Wrong("either --runs or --seconds");
  if (!arguments.outputs.empty() && arguments.inputs.empty() && arguments.selftest.empty()) Wrong("--outputs takes --inputs or --selftest");
#if !defined(__aarch64__)
  if (arguments.markers) Wrong("--markers: the marker instructions are aarch64's");
#endif
  return arguments;
}

}  // namespace fdabnn::runner
