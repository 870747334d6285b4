#include "runner/library.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdlib>

#include "runner/file.h"
#include "runner/supervisor.h"

namespace fdabnn::runner {
namespace {

std::string Real(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  const std::string found = real;
  std::free(real);
  return found;
}

// What to do, by what the loader says.
std::string Remedy(const std::string& reason, const std::string& advice) {
  const auto says = [&](const char* words) { return reason.find(words) != std::string::npos; };
  if (says("`GLIBC_")) {
    return "the C library of this system is older than the one that it was built for; LiteRT 2.3 for aarch64 needs glibc 2.34, as Debian "
           "12 "
           "and Ubuntu 22.04 have it";
  }
  if (says("libstdc++") || says("GLIBCXX_")) return "it needs the system's C++ library, and not an older one: apt install libstdc++6";
  return advice;
}

}  // namespace

Library::Library(const std::string& path, const std::vector<std::string>& beside, const std::vector<std::string>& known,
                 const std::string& advice) {
  std::vector<std::string> candidates;
  if (!path.empty()) {
    if (!Exists(path)) throw Failure(Exit::kMissing, "the library " + path + " does not exist: " + advice);
    CheckFile(path, Exit::kMissing);
    // A name without a folder would be looked for elsewhere.
    candidates.push_back(Real(path));
  } else {
    const std::string folder = Folder(OwnPath());
    for (const std::string& name : beside) {
      if (Exists(folder + "/" + name)) candidates.push_back(folder + "/" + name);
    }
    candidates.insert(candidates.end(), known.begin(), known.end());
  }
  std::string reason;
  for (const std::string& candidate : candidates) {
    const InRuntime stage("loading " + candidate);
    handle_ = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) break;
    if (reason.empty()) reason = dlerror();
  }
  if (handle_ == nullptr) {
    throw Failure(Exit::kMissing, "cannot load " + (path.empty() ? beside.front() : path) + " (" + reason + "): " + Remedy(reason, advice));
  }
  const link_map* map = nullptr;
  path_ = dlinfo(handle_, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map != nullptr ? Real(map->l_name) : candidates.front();
}

void* Library::Symbol(const char* name) const { return dlsym(handle_, name); }

}  // namespace fdabnn::runner
