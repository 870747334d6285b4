#include "litert/session.h"

#include <algorithm>

namespace fdabnn {
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
    workspace_ = AlignedBuffer();  // gone before the larger one comes
    workspace_bytes_ = 0;
    workspace_ = AlignedBuffer(bytes);
    workspace_bytes_ = bytes;
  }
  return workspace_.as<void>();
}

}  // namespace fdabnn
