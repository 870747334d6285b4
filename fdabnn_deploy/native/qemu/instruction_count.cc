// A plugin of qemu's user-mode emulator for aarch64 that counts executed instructions between marks; see docs/instruction-counts.md.
//
//     qemu-aarch64 -plugin libfdabnn_instruction_count.so,out=FILE PROGRAM
//
// Instructions are counted by translation block, when one is entered: a call back with the block's counts, which are added to those of the
// thread. At a mark what the block holds behind it is taken off again, so that a section's count is exact: the instructions behind the
// begin mark and in front of the end mark.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "qemu/instruction_kinds.h"
#include "qemu/markers.h"
#include "qemu/plugin_abi.h"

#define EXPORT __attribute__((visibility("default")))

extern "C" {
// Which version this plugin is of. It is one of whatever the emulator that loads it takes.
EXPORT int qemu_plugin_version = 1;
}

namespace {

using fdabnn::KindCounts;
using fdabnn::kKinds;

constexpr char kName[] = "fdabnn instruction count";
constexpr unsigned kMostThreads = 4096;  // alive at the same time

struct Counts {
  std::uint64_t of[kKinds] = {};
};

// What one emulated thread has executed. Only that thread writes; qemu gives the number of one that has ended to another.
struct alignas(64) Thread {
  std::atomic<std::uint64_t> counts[kKinds];
  bool in_section;
  unsigned section;  // its number
  Counts begin_all, begin_own;
};

Thread threads[kMostThreads];
std::atomic<unsigned> used_threads;  // numbers below have been seen
std::atomic<unsigned> sections;
std::atomic<bool> too_many_threads;
bool copies_data;  // see qemu_plugin_insn_data
char path[PATH_MAX];
pid_t owner;  // a process that the program forks shares all this, and is not counted

// Before the emulator asks for the version.
__attribute__((constructor)) void ChooseVersion() {
  if (qemu_plugin_scoreboard_new != nullptr) qemu_plugin_version = 2;
  if (qemu_plugin_read_memory_vaddr != nullptr) qemu_plugin_version = 4;
  if (qemu_plugin_write_memory_vaddr != nullptr) qemu_plugin_version = 5;
}

// Writes a line at the end of the file in one piece. The file is not kept open: its descriptor would be one of the program's.
__attribute__((format(printf, 1, 2))) void WriteLine(const char* format, ...) {
  if (getpid() != owner) return;
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  const int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file < 0 || write(file, line, length) != length) std::fprintf(stderr, "%s: cannot write %s: %s\n", kName, path, std::strerror(errno));
  if (file >= 0) close(file);
}

// Writes {"<label>": number, "<prefix>instructions": ...}.
void WriteCounts(const char* label, unsigned number, const Counts& all, const Counts* own) {
  char text[512];
  int length = 0;
  for (int i = 0; i < kKinds; ++i) {
    length += std::snprintf(text + length, sizeof(text) - length, ", \"%s\": %llu", fdabnn::kKindNames[i],
                            static_cast<unsigned long long>(all.of[i]));
  }
  if (own != nullptr) {
    std::snprintf(text + length, sizeof(text) - length, ", \"own\": %llu", static_cast<unsigned long long>(own->of[fdabnn::kAll]));
  }
  WriteLine("{\"%s\": %u%s}\n", label, number, text);
}

Counts Of(const Thread& thread) {
  Counts counts;
  for (int i = 0; i < kKinds; ++i) counts.of[i] = thread.counts[i].load(std::memory_order_relaxed);
  return counts;
}

Counts OfAll() {
  Counts sum;
  const unsigned used = used_threads.load(std::memory_order_acquire);
  for (unsigned t = 0; t < used; ++t) {
    const Counts counts = Of(threads[t]);
    for (int i = 0; i < kKinds; ++i) sum.of[i] += counts.of[i];
  }
  return sum;
}

Counts Minus(Counts from, const Counts& counts) {
  for (int i = 0; i < kKinds; ++i) from.of[i] -= counts.of[i];
  return from;
}

Counts Minus(Counts from, const KindCounts& counts) {
  for (int i = 0; i < kKinds; ++i) from.of[i] -= counts[i];
  return from;
}

Thread& ThreadOf(unsigned vcpu) {
  if (vcpu >= kMostThreads) {
    too_many_threads.store(true, std::memory_order_relaxed);
    return threads[kMostThreads - 1];
  }
  unsigned used = used_threads.load(std::memory_order_relaxed);
  while (vcpu >= used && !used_threads.compare_exchange_weak(used, vcpu + 1, std::memory_order_release)) {
  }
  return threads[vcpu];
}

void OnBlock(unsigned vcpu, void* packed) {
  Thread& thread = ThreadOf(vcpu);
  const KindCounts block(packed);
  for (int i = 0; i < kKinds; ++i) {
    thread.counts[i].store(thread.counts[i].load(std::memory_order_relaxed) + block[i], std::memory_order_relaxed);
  }
}

// packed: what the block holds behind the mark.
void OnBegin(unsigned vcpu, void* packed) {
  Thread& thread = ThreadOf(vcpu);
  if (thread.in_section) {
    WriteLine("{\"error\": \"a section began inside section %u of the same thread\"}\n", thread.section);
    return;
  }
  thread.in_section = true;
  thread.section = sections.fetch_add(1);
  thread.begin_all = Minus(OfAll(), KindCounts(packed));
  thread.begin_own = Minus(Of(thread), KindCounts(packed));
}

// packed: the mark and what the block holds behind it.
void OnEnd(unsigned vcpu, void* packed) {
  Thread& thread = ThreadOf(vcpu);
  if (!thread.in_section) {
    WriteLine("{\"error\": \"a section ended that the same thread had not begun\"}\n");
    return;
  }
  thread.in_section = false;
  const Counts all = Minus(Minus(OfAll(), KindCounts(packed)), thread.begin_all);
  const Counts own = Minus(Minus(Of(thread), KindCounts(packed)), thread.begin_own);
  WriteCounts("section", thread.section, all, &own);
}

std::uint32_t WordOf(const qemu_plugin_insn* instruction) {
  std::uint32_t word = 0;
  const std::uintptr_t data = qemu_plugin_insn_data(instruction, &word, sizeof(word));
  if (!copies_data) std::memcpy(&word, reinterpret_cast<const void*>(data), sizeof(word));
  return word;
}

void OnTranslated(qemu_plugin_id, qemu_plugin_tb* block) {
  KindCounts behind;
  for (std::size_t i = qemu_plugin_tb_n_insns(block); i-- > 0;) {
    qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
    const std::uint32_t word = WordOf(instruction);
    if (word == fdabnn::kMarkerBegin) {
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, OnBegin, kQemuPluginNoRegisters, behind.packed());
    }
    behind.Add(word);
    if (word == fdabnn::kMarkerEnd) {
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, OnEnd, kQemuPluginNoRegisters, behind.packed());
    }
  }
  qemu_plugin_register_vcpu_tb_exec_cb(block, OnBlock, kQemuPluginNoRegisters, behind.packed());
}

void OnExit(qemu_plugin_id, void*) {
  unsigned unfinished = 0;
  for (unsigned t = 0; t < used_threads.load(); ++t) unfinished += threads[t].in_section;
  if (too_many_threads) WriteLine("{\"error\": \"more than %u threads at the same time\"}\n", kMostThreads);
  WriteCounts("unfinished", unfinished, OfAll(), nullptr);
}

int Refuse(const char* reason, const char* what) {
  std::fprintf(stderr, "%s: %s%s; use it as  qemu-aarch64 -plugin PLUGIN,out=FILE PROGRAM\n", kName, reason, what);
  return 1;
}

}  // namespace

extern "C" EXPORT int qemu_plugin_install(qemu_plugin_id id, const qemu_plugin_info* info, int argc, char** argv) {
  if (std::strcmp(info->target_name, "aarch64") != 0) return Refuse("it counts for aarch64, not for ", info->target_name);
  if (info->system_emulation) return Refuse("it counts programs, not whole systems", "");
  const char* out = nullptr;
  for (int i = 0; i < argc; ++i) {
    if (std::strncmp(argv[i], "out=", 4) != 0) return Refuse("unknown argument ", argv[i]);
    out = argv[i] + 4;
  }
  if (out == nullptr || *out == '\0') return Refuse("no file is named to write to", "");

  const int file = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) {
    std::fprintf(stderr, "%s: cannot write %s: %s\n", kName, out, std::strerror(errno));
    return 1;
  }
  close(file);
  // The program may change its folder.
  if (realpath(out, path) == nullptr) return Refuse(std::strerror(errno), out);

  owner = getpid();
  copies_data = info->cur_version >= 3;
  qemu_plugin_register_vcpu_tb_trans_cb(id, OnTranslated);
  qemu_plugin_register_atexit_cb(id, OnExit, nullptr);
  return 0;
}
