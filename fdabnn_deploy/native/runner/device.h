// What this device is, and the state that it is in.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fdabnn::runner {

struct Device {
  std::string cpu;      // "" where nothing names it
  int cores = 0;        // that the system has
  std::string machine;  // "x86_64" or "aarch64"
  int bits = 64;        // of the system's programs
  std::string kernel;
  std::string os;
  std::int64_t memory_bytes = 0;
  std::vector<std::string> features;  // instructions, as /proc/cpuinfo names them
};

// The state of the machine on which a figure depends: processor, clock, load. Facts that the system does not show are "" or -1.
struct State {
  std::vector<std::string> governor;        // of each processor
  std::vector<std::int64_t> frequency_khz;  // of each processor
  std::map<std::string, std::int64_t> temperature_millic;
  std::string throttled_flags;   // hexadecimal
  std::string throttled_source;  // what they mean: see docs/runner.md
  double load1 = -1;             // runnable processes, mean of a minute
};

// `root` is put in front of /proc, /sys and /etc, "" for the device itself.
Device ReadDevice(const std::string& root);
State ReadState(const std::string& root);

// Pins this process, and threads that it will start, to processors. Throws Failure (wrong usage) where there is no such one.
void Pin(const std::vector<int>& cpus);

// The most memory that this process has had since ForgetPeakMemory, in bytes; -1 where the system does not say. Systems that cannot forget
// count from its beginning.
std::int64_t PeakMemory();
void ForgetPeakMemory();

}  // namespace fdabnn::runner
