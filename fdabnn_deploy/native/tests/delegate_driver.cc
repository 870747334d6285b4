// The delegate in a runtime of our own, for builds with sanitizers:
//
//   delegate_driver ROUNDS THREADS [FILE...]
//
// Each of the threads runs drawn cases, and all share one delegate; then the files are run, of a fuzzer's corpus. Exits with 1 where
// a sound case does not run.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>
#include <vector>

#include "tests/delegate_case.h"

namespace {

std::atomic<int> ran{0}, refused{0}, failed{0};

void Run(const std::vector<std::uint8_t>& data, TfLiteDelegate* delegate) {
  const fdabnn::CaseResult result = fdabnn::RunCase(data.data(), data.size(), delegate);
  ++(result.ran ? ran : refused);
  if (result.ran || result.damaged) return;
  std::fprintf(stderr, "delegate_driver: a sound operator did not run: %s\n", result.message.c_str());
  ++failed;
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 1000, threads = count > 2 ? std::atoi(arguments[2]) : 1;
  TfLiteDelegate* delegate = tflite_plugin_create_delegate(nullptr, nullptr, 0, nullptr);
  if (delegate == nullptr) return 1;
  std::vector<std::thread> workers;
  for (int thread = 0; thread < threads; ++thread) {
    workers.emplace_back([rounds, thread, delegate] {
      std::mt19937 engine(thread);
      for (int round = 0; round < rounds; ++round) {
        std::vector<std::uint8_t> data(64);
        for (std::uint8_t& byte : data) byte = static_cast<std::uint8_t>(engine());
        // The first bytes describe a sound operator, which zeros do not damage.
        if (round % 2 != 0) data.resize(18);
        Run(data, delegate);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (int i = 3; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    Run({std::istreambuf_iterator<char>(file), {}}, delegate);
  }
  tflite_plugin_destroy_delegate(delegate);
  std::printf("%d ran, %d refused\n", ran.load(), refused.load());
  return failed == 0 ? 0 : 1;
}
