// What qemu offers to a plugin of its TCG emulators, as far as it is used here: names, arguments and layouts, in our own words.
// Distributions ship no header for it. The functions are those of the running emulator, which loads the plugin.
//
// An emulator takes plugins of the versions `min_version` to `cur_version`: qemu 7 and 8 of 0 to 1, qemu 9 and later from 2 on. The
// functions below are in all versions up to 5, with one change: from version 3 on, `qemu_plugin_insn_data` copies.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct qemu_plugin_tb;
struct qemu_plugin_insn;

using qemu_plugin_id = std::uint64_t;

struct qemu_plugin_info {
  const char* target_name;
  int min_version, cur_version;
  bool system_emulation;
  // More follows.
};

using qemu_plugin_block_translated = void (*)(qemu_plugin_id id, qemu_plugin_tb* block);
using qemu_plugin_executed = void (*)(unsigned int vcpu, void* user_data);
using qemu_plugin_at_exit = void (*)(qemu_plugin_id id, void* user_data);

constexpr int kQemuPluginNoRegisters = 0;

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id id, qemu_plugin_block_translated call);
void qemu_plugin_register_vcpu_tb_exec_cb(qemu_plugin_tb* block, qemu_plugin_executed call, int registers, void* user_data);
void qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_insn* instruction, qemu_plugin_executed call, int registers, void* user_data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id id, qemu_plugin_at_exit call, void* user_data);

std::size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb* block);
qemu_plugin_insn* qemu_plugin_tb_get_insn(const qemu_plugin_tb* block, std::size_t index);
// Up to version 2: the instruction's bytes, and the other arguments are not there. From version 3 on: how many bytes were copied.
std::uintptr_t qemu_plugin_insn_data(const qemu_plugin_insn* instruction, void* to, std::size_t size);

// Only asked for whether they are there: the first is new in version 2, the second in 4, the third in 5.
void __attribute__((weak)) qemu_plugin_scoreboard_new();
void __attribute__((weak)) qemu_plugin_read_memory_vaddr();
void __attribute__((weak)) qemu_plugin_write_memory_vaddr();

}  // extern "C"
