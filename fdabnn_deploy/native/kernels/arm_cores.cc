#include "kernels/arm_cores.h"

#include <dirent.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace fdabnn {
namespace {

constexpr int kArm = 0x41;  // the implementer

// What a core does in a cycle, in binary multiply-accumulates, by LLVM's models of the two inner loops (docs/kernels-arm.md). Cores without
// a model of their own stand beside a relative; so does the Cortex-A53, beside the Cortex-A55: by its own model it would gain a little, if
// the first level of its cache held the tables.
struct Core {
  int part;
  int plain, lookup;
};

constexpr Core kCores[] = {
    {0xd03, 26, 25},    // Cortex-A53
    {0xd04, 26, 25},    // Cortex-A35
    {0xd05, 26, 25},    // Cortex-A55
    {0xd07, 85, 47},    // Cortex-A57
    {0xd08, 85, 47},    // Cortex-A72
    {0xd09, 85, 47},    // Cortex-A73
    {0xd0a, 85, 47},    // Cortex-A75
    {0xd0b, 85, 137},   // Cortex-A76
    {0xd0c, 85, 137},   // Neoverse N1
    {0xd0d, 85, 137},   // Cortex-A77
    {0xd0e, 85, 137},   // Cortex-A76AE
    {0xd40, 170, 137},  // Neoverse V1
    {0xd41, 85, 137},   // Cortex-A78
    {0xd42, 85, 137},   // Cortex-A78AE
    {0xd44, 170, 137},  // Cortex-X1
    {0xd46, 31, 68},    // Cortex-A510
    {0xd47, 85, 137},   // Cortex-A710
    {0xd49, 85, 137},   // Neoverse N2
    {0xd4b, 85, 137},   // Cortex-A78C
    {0xd4f, 170, 255},  // Neoverse V2
};

const Core* Find(std::uint64_t midr) {
  if ((midr >> 24 & 0xff) != kArm) return nullptr;
  for (const Core& core : kCores) {
    if (core.part == static_cast<int>(midr >> 4 & 0xfff)) return &core;
  }
  return nullptr;
}

// A file's number in hexadecimal, as the kernel writes it; 0 where there is none.
std::uint64_t ReadNumber(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return 0;
  char text[32] = {};
  const char* line = std::fgets(text, sizeof text, file);
  std::fclose(file);
  return line ? std::strtoull(line, nullptr, 16) : 0;
}

// 0 where the system does not let a program ask.
std::uint64_t ThisCore() {
#if defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long kCpuid = 1ul << 11;  // HWCAP_CPUID
  if ((getauxval(AT_HWCAP) & kCpuid) == 0) return 0;
  std::uint64_t midr;
  __asm__("mrs %0, midr_el1" : "=r"(midr));
  return midr;
#else
  return 0;
#endif
}

// The numbers of the folder's cores, in order. There may be gaps between them.
std::vector<int> Numbers(const std::string& folder) {
  std::vector<int> numbers;
  DIR* open_folder = opendir(folder.c_str());
  if (open_folder == nullptr) return numbers;
  while (const dirent* entry = readdir(open_folder)) {
    const std::string name = entry->d_name;
    int number = 0, used = 0;
    // What is no number, or no int, is not the name of a core. NOLINTNEXTLINE(bugprone-unchecked-string-to-number-conversion)
    if (std::sscanf(name.c_str(), "cpu%d%n", &number, &used) == 1 && static_cast<std::size_t>(used) == name.size()) {
      numbers.push_back(number);
    }
  }
  closedir(open_folder);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace

std::vector<std::uint64_t> ReadArmCores(const std::string& folder) {
  std::vector<std::uint64_t> cores;
  for (const int cpu : Numbers(folder)) {
    // One that is switched off has no registers to show.
    if (const std::uint64_t midr = ReadNumber(folder + "/cpu" + std::to_string(cpu) + "/regs/identification/midr_el1"))
      cores.push_back(midr);
  }
  if (cores.empty()) {
    if (const std::uint64_t midr = ThisCore()) cores.push_back(midr);
  }
  return cores;
}

bool LookupSuits(const std::vector<std::uint64_t>& cores) {
  int plain = 0, lookup = 0;
  for (const std::uint64_t midr : cores) {
    if (const Core* core = Find(midr)) {
      plain += core->plain;
      lookup += core->lookup;
    }
  }
  return lookup > plain;
}

bool HasDotProducts() {
#if defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long kDotProducts = 1ul << 20;  // HWCAP_ASIMDDP
  return (getauxval(AT_HWCAP) & kDotProducts) != 0;
#elif defined(__aarch64__) && defined(__APPLE__)
  return true;
#else
  return false;
#endif
}

}  // namespace fdabnn
