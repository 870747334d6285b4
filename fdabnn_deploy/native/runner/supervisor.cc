#include "runner/supervisor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "runner/file.h"
#include "runner/text.h"

namespace fdabnn::runner {
namespace {

// What the child is at, in memory that the parent shares.
struct Stage {
  volatile sig_atomic_t depth;
  char doing[512];
  char folder[4096];  // to be removed
};

Stage own_stage;
Stage* stage = &own_stage;
int real_stderr = STDERR_FILENO;
int kept_stderr = -1;  // a file in memory
volatile sig_atomic_t child = 0;

int MemoryFile() {
#ifdef SYS_memfd_create
  const long file = syscall(SYS_memfd_create, "stderr", 1u /* MFD_CLOEXEC */);
  if (file >= 0) return static_cast<int>(file);
#endif
  return open("/dev/null", O_RDWR | O_CLOEXEC);
}

// From here on stderr is kept, for everything that a runtime says there itself.
void KeepStderr() {
  kept_stderr = MemoryFile();
  const int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
  if (kept_stderr < 0 || copy < 0) return;
  std::fflush(stderr);
  real_stderr = copy;
  dup2(kept_stderr, STDERR_FILENO);
}

extern "C" void Forward(int signal_number) {
  if (child > 0) kill(child, signal_number);
}

std::string HowItEnded(int signal_number) { return "signal " + std::to_string(signal_number) + ", " + strsignal(signal_number); }

int Crashed(const std::string& subject, int signal_number) {
  // The user's own, as shells report it.
  if (signal_number == SIGINT || signal_number == SIGTERM || signal_number == SIGHUP) return 128 + signal_number;
  const std::string how = HowItEnded(signal_number);
  stage->doing[sizeof stage->doing - 1] = '\0';
  const std::string doing = stage->doing;
  if (signal_number == SIGKILL) {
    Complain(subject + ": the system stopped it" + (stage->depth > 0 ? " while " + doing : "") +
             ", most likely for want of memory: use a smaller model or device with more");
    return 6;
  }
  if (stage->depth == 0) {
    Complain("a bug of the runner: it ended with " + how + " on " + subject + "; please report it");
    return 1;
  }
  if (signal_number == SIGILL) {
    Complain(subject + ": an instruction that this processor does not have, while " + doing + ": use a library that was built for it");
    return 6;
  }
  const std::string words = LastWords();
  Complain(subject + ": the runtime crashed while " + doing + " (" + how + (words.empty() ? "" : "; its last words: " + words) +
           "): the file is damaged or not for this runtime; copy or export it again");
  return 3;
}

}  // namespace

InRuntime::InRuntime(const std::string& doing) {
  if (stage->depth == 0) {
    const std::size_t size = std::min(doing.size(), sizeof stage->doing - 1);
    std::memcpy(stage->doing, doing.data(), size);
    stage->doing[size] = '\0';
  }
  stage->depth = stage->depth + 1;
}

InRuntime::~InRuntime() { stage->depth = stage->depth - 1; }

void RemoveIfKilled(const std::string& folder) {
  if (folder.size() < sizeof stage->folder) std::memcpy(stage->folder, folder.c_str(), folder.size() + 1);
}

std::string LastWords() {
  if (kept_stderr < 0) return "";
  char text[4096];
  const off_t end = lseek(kept_stderr, 0, SEEK_END);
  const off_t from = std::max<off_t>(0, end - static_cast<off_t>(sizeof text));
  const ssize_t got = pread(kept_stderr, text, sizeof text, from);
  std::string words(text, got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!words.empty() && (words.back() == '\n' || words.back() == ' ')) words.pop_back();
  const std::size_t line = words.rfind('\n');
  if (line != std::string::npos) words.erase(0, line + 1);
  return words.substr(0, 300);
}

void Complain(const std::string& text) {
  // Whatever a runtime or a file's name contains, it is one line.
  std::string line = Printable("fdabnn-runner: " + text);
  line += '\n';
  if (write(real_stderr, line.data(), line.size()) < 0) return;
}

int Supervise(const std::string& subject, bool alone, const std::function<int()>& work) {
  if (alone) {
    KeepStderr();
    return work();
  }
  void* shared = mmap(nullptr, sizeof(Stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) {
    Complain("no memory");
    return 6;
  }
  stage = new (shared) Stage{};
  kept_stderr = MemoryFile();
  // Where the caller has it ignored, nobody is told how a child has ended.
  std::signal(SIGCHLD, SIG_DFL);
  const pid_t parent = getpid(), made = fork();
  if (made < 0) {
    Complain(std::string("cannot start a process: ") + std::strerror(errno));
    return 6;
  }
  if (made == 0) {
    // Whoever ends the parent ends this, also if it was quicker than this line.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    const rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    const int kept = kept_stderr;
    const int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    if (kept >= 0 && copy >= 0) {
      real_stderr = copy;
      dup2(kept, STDERR_FILENO);
    }
    const int code = work();
    std::fflush(stdout);
    // Runtimes have threads and destructors that need not end well, and nothing of theirs is worth saving.
    _exit(code);
  }
  child = made;
  struct sigaction forward = {};
  forward.sa_handler = Forward;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &forward, nullptr);
  int status = 0;
  while (waitpid(made, &status, 0) < 0) {
    if (errno == EINTR) continue;
    Complain(std::string("a bug of the runner: it does not learn how its child has ended (") + std::strerror(errno) +
             "); please report it");
    return 1;
  }
  child = 0;
  stage->folder[sizeof stage->folder - 1] = '\0';
  if (stage->folder[0] != '\0') RemoveFolder(stage->folder);
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  return Crashed(subject, WTERMSIG(status));
}

}  // namespace fdabnn::runner
