// Files, whole.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runner/failure.h"

namespace fdabnn::runner {

using Bytes = std::vector<std::uint8_t>;

// Throws Failure (`code`) for what may never end: a device, a pipe, a socket.
void CheckFile(const std::string& path, Exit code);

// The content. Throws Failure (wrong usage) where it cannot be read, or is no file, such as a pipe.
Bytes ReadFile(const std::string& path);

// The content as text with spaces and line ends cut off, or "" where it cannot be read: for /proc and /sys.
std::string ReadText(const std::string& path);

// The SHA-256 of a file's bytes, which are not all held in memory. Throws as ReadFile.
std::string Sha256OfFile(const std::string& path);

// Whether a path is a name of the standard output: "-", /dev/stdout and its like.
bool IsStandardOutput(const std::string& path);

// Before the work: throws Failure (wrong usage) where a file cannot be written, or would take the place of a folder, socket or disk.
void CheckWritable(const std::string& path);

// Writes beside the file and renames, so that a reader sees all of it or nothing, where a link leads, if it is one; devices and pipes are
// written directly. Throws Failure (not written) where that does not succeed.
void WriteFile(const std::string& path, const void* data, std::size_t size);
void WriteFile(const std::string& path, const std::string& text);

// The file of this program.
std::string OwnPath();

// The folder of a path, "." where it has none; and the name behind it.
std::string Folder(const std::string& path);
std::string Name(const std::string& path);

// The names in a folder, sorted; none where it cannot be read.
std::vector<std::string> List(const std::string& folder);

// Removes a folder and the files in it, as far as that is possible.
void RemoveFolder(const std::string& folder);

bool Exists(const std::string& path);

}  // namespace fdabnn::runner
