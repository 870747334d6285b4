// The operators for ONNX Runtime in a runtime of our own, for builds with sanitizers:
//
//   custom_ops_driver ROUNDS THREADS [FILE...]
//
// Each of the threads runs drawn cases; then the files are run, of a fuzzer's corpus. Exits with 1 where a sound case does not run.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>
#include <vector>

#include "tests/custom_ops_case.h"

namespace {

std::atomic<int> ran{0}, refused{0}, failed{0};

void Run(const std::vector<std::uint8_t>& data) {
  const fdabnn::CustomOpsResult result = fdabnn::RunCustomOpsCase(data.data(), data.size());
  ++(result.ran ? ran : refused);
  if (result.ran || result.damaged) return;
  std::fprintf(stderr, "custom_ops_driver: a sound operator did not run: %s\n", result.message.c_str());
  ++failed;
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 1000, threads = count > 2 ? std::atoi(arguments[2]) : 1;
  std::vector<std::thread> workers;
  for (int thread = 0; thread < threads; ++thread) {
    workers.emplace_back([rounds, thread] {
      std::mt19937 engine(thread);
      for (int round = 0; round < rounds; ++round) {
        std::vector<std::uint8_t> data(80);
        for (std::uint8_t& byte : data) byte = static_cast<std::uint8_t>(engine());
        Run(data);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (int i = 3; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    Run({std::istreambuf_iterator<char>(file), {}});
  }
  std::printf("%d ran, %d refused\n", ran.load(), refused.load());
  return failed == 0 ? 0 : 1;
}
