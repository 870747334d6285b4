#include "runner/device.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <set>
#include <sstream>

#include "runner/failure.h"
#include "runner/file.h"

namespace fdabnn::runner {
namespace {

constexpr char kCpus[] = "/sys/devices/system/cpu";
constexpr char kPi[] = "/sys/devices/platform/soc/soc:firmware/get_throttled";

// A file of "name : value" lines; of names that occur more than once the first.
std::map<std::string, std::string> Pairs(const std::string& text, char separator) {
  std::map<std::string, std::string> pairs;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t place = line.find(separator);
    if (place == std::string::npos) continue;
    std::string name = line.substr(0, place), value = line.substr(place + 1);
    name.erase(name.find_last_not_of(" \t") + 1);
    value.erase(0, value.find_first_not_of(" \t\""));
    value.erase(value.find_last_not_of(" \t\"") + 1);
    pairs.emplace(name, value);
  }
  return pairs;
}

std::string First(const std::map<std::string, std::string>& pairs, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = pairs.find(name);
    if (found != pairs.end() && !found->second.empty()) return found->second;
  }
  return "";
}

std::int64_t Number(const std::string& text) {
  char* end = nullptr;
  const long long number = std::strtoll(text.c_str(), &end, 10);
  return end == text.c_str() ? -1 : number;
}

// The processors' numbers, in order.
std::vector<int> Processors(const std::string& root) {
  std::vector<int> numbers;
  for (const std::string& name : List(root + kCpus)) {
    int number = 0, used = 0;
    // What is no number, or no int, is not the name of a processor.
    // NOLINTNEXTLINE(bugprone-unchecked-string-to-number-conversion)
    if (std::sscanf(name.c_str(), "cpu%d%n", &number, &used) == 1 && static_cast<std::size_t>(used) == name.size())
      numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

// A core of ARM by the implementer's part number, "" for other makers.
std::string ArmCore(const std::string& implementer, const std::string& part) {
  if (implementer != "0x41" || part.empty()) return "";
  struct Part {
    const char* number;
    const char* name;
  };
  constexpr Part kParts[] = {{"0xd03", "Cortex-A53"},  {"0xd04", "Cortex-A35"},  {"0xd05", "Cortex-A55"},  {"0xd07", "Cortex-A57"},
                             {"0xd08", "Cortex-A72"},  {"0xd09", "Cortex-A73"},  {"0xd0a", "Cortex-A75"},  {"0xd0b", "Cortex-A76"},
                             {"0xd0c", "Neoverse N1"}, {"0xd0d", "Cortex-A77"},  {"0xd40", "Neoverse V1"}, {"0xd41", "Cortex-A78"},
                             {"0xd44", "Cortex-X1"},   {"0xd46", "Cortex-A510"}, {"0xd47", "Cortex-A710"}, {"0xd48", "Cortex-X2"},
                             {"0xd49", "Neoverse N2"}, {"0xd4d", "Cortex-A715"}, {"0xd4f", "Neoverse V2"}};
  for (const Part& known : kParts) {
    if (part == known.number) return known.name;
  }
  return "ARM part " + part;
}

// The different ones of ARM in the order of /proc/cpuinfo, which has numbers for them and no names: "Cortex-A55 + Cortex-A76".
std::string ArmCores(const std::string& cpuinfo) {
  std::string joined, implementer;
  std::set<std::string> seen;
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    const auto pair = Pairs(line, ':');
    const std::string part = First(pair, {"CPU part"});
    if (const std::string own = First(pair, {"CPU implementer"}); !own.empty()) implementer = own;
    const std::string core = ArmCore(implementer, part);
    if (core.empty() || !seen.insert(core).second) continue;
    joined += (joined.empty() ? "" : " + ") + core;
  }
  return joined;
}

void ReadThrottling(const std::string& root, const std::vector<int>& processors, State* state) {
  const std::string pi = ReadText(root + kPi);
  if (!pi.empty()) {
    state->throttled_flags = pi.compare(0, 2, "0x") == 0 ? pi : "0x" + pi;
    state->throttled_source = "raspberrypi";
    return;
  }
  std::int64_t count = -1;
  for (const int number : processors) {
    const std::int64_t own = Number(ReadText(root + kCpus + "/cpu" + std::to_string(number) + "/thermal_throttle/core_throttle_count"));
    if (own >= 0) count = (count < 0 ? 0 : count) + own;
  }
  if (count < 0) return;
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(count));
  state->throttled_flags = text;
  state->throttled_source = "core_throttle_count";
}

}  // namespace

Device ReadDevice(const std::string& root) {
  Device device;
  const std::string cores = ReadText(root + "/proc/cpuinfo");
  const auto cpuinfo = Pairs(cores, ':');
  const std::string board = ReadText(root + "/proc/device-tree/model");
  std::string core = First(cpuinfo, {"model name"});
  if (core.empty()) core = ArmCores(cores);
  device.cpu = core;
  const std::string model = board.empty() ? First(cpuinfo, {"Model"}) : std::string(board.c_str());
  if (!model.empty()) device.cpu = core.empty() ? model : core + ", " + model;
  device.cores = static_cast<int>(Processors(root).size());
  if (device.cores == 0) {
    std::istringstream lines(cores);
    for (std::string line; std::getline(lines, line);) device.cores += line.compare(0, 9, "processor") == 0;
  }
  utsname names{};
  if (uname(&names) == 0) {
    device.kernel = std::string(names.sysname) + " " + names.release;
    device.machine = names.machine;
  }
  device.bits = static_cast<int>(8 * sizeof(void*));
  device.os = First(Pairs(ReadText(root + "/etc/os-release"), '='), {"PRETTY_NAME", "NAME"});
  const std::int64_t kilobytes = Number(First(Pairs(ReadText(root + "/proc/meminfo"), ':'), {"MemTotal"}));
  device.memory_bytes = kilobytes < 0 ? -1 : 1024 * kilobytes;
  std::istringstream features(First(cpuinfo, {"flags", "Features"}));
  for (std::string feature; features >> feature;) device.features.push_back(feature);
  return device;
}

State ReadState(const std::string& root) {
  State state;
  const std::vector<int> processors = Processors(root);
  for (const int number : processors) {
    const std::string folder = root + kCpus + "/cpu" + std::to_string(number) + "/cpufreq";
    state.governor.push_back(ReadText(folder + "/scaling_governor"));
    state.frequency_khz.push_back(Number(ReadText(folder + "/scaling_cur_freq")));
  }
  const std::string zones = root + "/sys/class/thermal";
  for (const std::string& name : List(zones)) {
    if (name.compare(0, 12, "thermal_zone") != 0) continue;
    const std::string value = ReadText(zones + "/" + name + "/temp"), type = ReadText(zones + "/" + name + "/type");
    if (!value.empty()) state.temperature_millic.emplace(type.empty() ? name : name + " " + type, std::strtoll(value.c_str(), nullptr, 10));
  }
  ReadThrottling(root, processors, &state);
  const std::string load = ReadText(root + "/proc/loadavg");
  if (!load.empty()) state.load1 = std::strtod(load.c_str(), nullptr);
  return state;
}

void Pin(const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  // The kernel writes as many bits as it can have processors, which may be more than a cpu_set_t has.
  constexpr std::size_t kMost = 1 << 16, kBytes = CPU_ALLOC_SIZE(kMost);
  const auto make = [] {
    std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(kMost), [](cpu_set_t* made) { CPU_FREE(made); });
    if (set == nullptr) throw std::bad_alloc();
    CPU_ZERO_S(kBytes, set.get());
    return set;
  };
  const auto set = make(), now = make();
  for (const int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), kBytes, set.get());
  if (sched_setaffinity(0, kBytes, set.get()) == 0 && sched_getaffinity(0, kBytes, now.get()) == 0 &&
      CPU_EQUAL_S(kBytes, set.get(), now.get())) {
    return;
  }
  throw Failure(Exit::kUsage, "cannot pin to the processors of --cpus: this process may not use all of them, or they do not exist");
}

std::int64_t PeakMemory() {
  const std::int64_t kilobytes = Number(First(Pairs(ReadText("/proc/self/status"), ':'), {"VmHWM"}));
  if (kilobytes >= 0) return 1024 * kilobytes;
  rusage usage{};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? std::int64_t{1024} * usage.ru_maxrss : -1;
}

void ForgetPeakMemory() {
  // proc(5): 5 sets the high-water mark of resident memory back to what is resident.
  const int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  const bool forgot = write(file, "5", 1) == 1;
  close(file);
  static_cast<void>(forgot);
}

}  // namespace fdabnn::runner
