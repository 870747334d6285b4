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

}  // namespace

Library::Library(const std::string& path, const std::vector<std::string>& beside, const std::vector<std::string>& known,
                 const std::string& advice) {
  std::vector<std::string> candidates;
  if (!path.empty()) {
    if (!Exists(path)) throw Failure(Exit::kMissing, "the library " + path + " does not exist: " + advice);
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
    std::string text = "cannot load " + (path.empty() ? beside.front() : path) + " (" + reason + "): " + advice;
    if (reason.find("GLIBC_") != std::string::npos) text += "; the system's C library is too old for it";
    if (reason.find("libstdc++") != std::string::npos) text += "; install the system's libstdc++ (Debian: apt install libstdc++6)";
    throw Failure(Exit::kMissing, text);
  }
  const link_map* map = nullptr;
  path_ = dlinfo(handle_, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr ? Real(map->l_name) : candidates.front();
}

void* Library::Symbol(const char* name) const { return dlsym(handle_, name); }

}  // namespace fdabnn::runner
