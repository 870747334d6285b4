#include "runner/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "runner/failure.h"
#include "runner/sha256.h"

namespace fdabnn::runner {
namespace {

// What is opened as a file and is none, or "". Folders are left to the system, which says so when they are read.
const char* NoFile(const struct stat& status) {
  if (S_ISCHR(status.st_mode)) return "it is a device, which may never end: save what it gives to a file, and name that";
  if (S_ISFIFO(status.st_mode)) return "it is a pipe (FIFO), which may never end: save what it gives to a file, and name that";
  if (S_ISBLK(status.st_mode)) return "it is a disk device: save what it gives to a file, and name that";
  if (S_ISSOCK(status.st_mode)) return "it is a socket: save what it gives to a file, and name that";
  return "";
}

// Opens a file without waiting for anybody; below 0 where that fails, with the reason.
int OpenFile(const std::string& path, struct stat* status, std::string* reason) {
  int file = -1;
  // A look at it first: to open a device can be an act.
  if (stat(path.c_str(), status) == 0 && *NoFile(*status) == '\0') file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file >= 0 && fstat(file, status) == 0 && *NoFile(*status) == '\0') return file;
  *reason = std::strerror(errno);
  if (*NoFile(*status) != '\0') *reason = NoFile(*status);
  if (file >= 0) close(file);
  return -1;
}

// Reads up to the end into `content`, or says why not.
bool ReadAll(const std::string& path, Bytes* content, std::string* reason) {
  struct stat status{};
  const int file = OpenFile(path, &status, reason);
  if (file < 0) return false;
  content->resize(status.st_size > 0 ? static_cast<std::size_t>(status.st_size) + 1 : 4096);
  std::size_t size = 0;
  while (true) {
    if (size == content->size()) content->resize(2 * size);
    const ssize_t got = read(file, content->data() + size, content->size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      *reason = std::strerror(errno);
      close(file);
      return false;
    }
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  close(file);
  content->resize(size);
  return true;
}

bool WriteAll(int file, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t put = write(file, data, size);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    data += put;
    size -= static_cast<std::size_t>(put);
  }
  return true;
}

// `code` is kUsage before the work, and kNotWritten where its result is lost.
[[noreturn]] void CannotWrite(const std::string& path, const std::string& reason, Exit code) {
  throw Failure(code, "cannot write " + path + ": " + reason);
}

// Devices and pipes: they are written into and never replaced.
bool IsStream(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode));
}

// Where a path leads; of a link that leads nowhere yet, where it will.
std::string Target(const std::string& path) {
  char found[PATH_MAX];
  if (realpath(path.c_str(), found) != nullptr) return found;
  const ssize_t size = readlink(path.c_str(), found, sizeof found);
  if (size <= 0) return path;
  const std::string link(found, static_cast<std::size_t>(size));
  return link[0] == '/' ? link : Folder(path) + "/" + link;
}

// What must not be replaced by a file, or "".
const char* NotReplaced(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return "";
  if (S_ISDIR(status.st_mode)) return "it is a folder: name a file";
  if (S_ISSOCK(status.st_mode)) return "it is a socket: name a file, a pipe or -";
  if (S_ISBLK(status.st_mode)) return "it is a disk: name a file on it";
  return "";
}

void Check(const std::string& path, Exit code) {
  if (IsStandardOutput(path)) return;
  const std::string reason = NotReplaced(path);
  if (!reason.empty()) CannotWrite(path, reason, code);
  const std::string target = Target(path);
  if (access((IsStream(path) ? path : Folder(target)).c_str(), W_OK) != 0) CannotWrite(path, std::strerror(errno), code);
}

}  // namespace

void CheckFile(const std::string& path, Exit code) {
  struct stat status{};
  if (stat(path.c_str(), &status) == 0 && *NoFile(status) != '\0') throw Failure(code, "cannot read " + path + ": " + NoFile(status));
}

Bytes ReadFile(const std::string& path) {
  Bytes content;
  std::string reason;
  if (!ReadAll(path, &content, &reason)) throw Failure(Exit::kUsage, "cannot read " + path + ": " + reason);
  return content;
}

std::string Sha256OfFile(const std::string& path) {
  struct stat status{};
  std::string reason;
  const int file = OpenFile(path, &status, &reason);
  Sha256 hasher;
  std::uint8_t block[65536];
  ssize_t got = file < 0 ? -1 : 0;
  while (file >= 0) {
    got = read(file, block, sizeof block);
    if (got > 0) hasher.Add(block, static_cast<std::size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  if (file >= 0 && got < 0) reason = std::strerror(errno);
  if (file >= 0) close(file);
  if (got < 0) throw Failure(Exit::kUsage, "cannot read " + path + ": " + reason);
  return hasher.Hex();
}

std::string ReadText(const std::string& path) {
  Bytes content;
  std::string reason;
  if (!ReadAll(path, &content, &reason)) return "";
  std::string text(content.begin(), content.end());
  const char* const blanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

bool IsStandardOutput(const std::string& path) {
  return path == "-" || path == "/dev/stdout" || path == "/dev/fd/1" || path == "/proc/self/fd/1";
}

void CheckWritable(const std::string& path) { Check(path, Exit::kUsage); }

void WriteFile(const std::string& path, const void* data, std::size_t size) {
  const char* bytes = static_cast<const char*>(data);
  if (IsStandardOutput(path)) {
    if (!WriteAll(STDOUT_FILENO, bytes, size)) CannotWrite("the standard output", std::strerror(errno), Exit::kNotWritten);
    return;
  }
  Check(path, Exit::kNotWritten);
  const bool special = IsStream(path);
  const std::string target = special ? path : Target(path);
  const std::string aside = special ? path : Folder(target) + "/." + std::to_string(getpid()) + "." + Name(target);
  const int file = open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) CannotWrite(path, std::strerror(errno), Exit::kNotWritten);
  int error = WriteAll(file, bytes, size) ? 0 : errno;
  if (close(file) != 0 && error == 0) error = errno;
  if (error == 0 && !special && rename(aside.c_str(), target.c_str()) != 0) error = errno;
  if (error != 0) {
    if (!special) unlink(aside.c_str());
    CannotWrite(path, std::strerror(error), Exit::kNotWritten);
  }
}

void WriteFile(const std::string& path, const std::string& text) { WriteFile(path, text.data(), text.size()); }

std::string OwnPath() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  return size > 0 ? std::string(path, static_cast<std::size_t>(size)) : "";
}

std::string Folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string Name(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::vector<std::string> List(const std::string& folder) {
  std::vector<std::string> names;
  DIR* open_folder = opendir(folder.c_str());
  if (open_folder == nullptr) return names;
  while (const dirent* entry = readdir(open_folder)) names.emplace_back(entry->d_name);
  closedir(open_folder);
  std::sort(names.begin(), names.end());
  return names;
}

void RemoveFolder(const std::string& folder) {
  for (const std::string& name : List(folder)) unlink((folder + "/" + name).c_str());
  rmdir(folder.c_str());
}

bool Exists(const std::string& path) {
  // Not access(): under proot and some sandboxes it denies files that are bound into the tree.
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

}  // namespace fdabnn::runner
