// Which cores an ARM processor has, and which of the two NEON levels suits them.
//
// A core tells its designer and part in the register MIDR_EL1 (Arm Architecture Reference Manual, D19.2): bits 31-24 the implementer, bits
// 15-4 the part.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fdabnn {

// The MIDR_EL1 of every core that the folder names, Linux's /sys/devices/system/cpu; that of this core where it names none and the kernel
// lets programs read the register; else nothing.
std::vector<std::uint64_t> ReadArmCores(const std::string& folder);

// Whether the look-up kernels are the faster ones. A processor may have different cores, and a thread may move from one to another any
// time: what counts is the sum over all cores that are known, as if each had its share of the work. False where none is known.
bool LookupSuits(const std::vector<std::uint64_t>& cores);

// Whether this processor has the dot products of 8-bit integers, SDOT and UDOT: all of Armv8.4 have, and many of Armv8.2.
bool HasDotProducts();

}  // namespace fdabnn
