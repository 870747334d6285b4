#include "litert/session.h"

#include <algorithm>
#include <new>

namespace fdabnn {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

Session::~Session() { ::operator delete(workspace_, kAlignment); }

ThreadPool& Session::Pool(int recommended) {
  const int asked = std::max(threads_ > 0 ? threads_ : recommended, 1);
  if (!pool_ || asked != asked_) {
    pool_.reset();
    pool_ = std::make_unique<ThreadPool>(asked);
    asked_ = asked;
  }
  return *pool_;
}

void* Session::Workspace(std::size_t bytes) {
  if (bytes > workspace_bytes_) {
    ::operator delete(workspace_, kAlignment);
    workspace_ = nullptr;
    workspace_bytes_ = 0;
    workspace_ = ::operator new(bytes, kAlignment);
    workspace_bytes_ = bytes;
  }
  return workspace_;
}

}  // namespace fdabnn
