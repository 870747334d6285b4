// Calls parts of the runner by themselves:
//
//   runner_driver parse tflite|onnx|capsule|profile ROUNDS FILE...   every file, and as many damaged copies of it
//   runner_driver device ROOT                                        a report with the device that the files in a folder describe
//   runner_driver figures N...                                       min, median, p90, p99, max and mean
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>

#include "runner/capsule.h"
#include "runner/device.h"
#include "runner/failure.h"
#include "runner/file.h"
#include "runner/onnx_external.h"
#include "runner/onnx_file.h"
#include "runner/ort_profile.h"
#include "runner/report.h"
#include "runner/statistics.h"
#include "runner/tflite_file.h"

namespace fdabnn::runner {
namespace {

// Copies of a fitting size: reading behind the end is seen.
void ParseOne(const std::string& kind, const Bytes& content) {
  const Bytes copy(content.begin(), content.end());
  if (kind == "tflite") {
    ParseTflite(copy);
  } else if (kind == "onnx") {
    OnnxHasChanged(copy);
    try {
      WithOnnxData(copy, "/nowhere/model.onnx");
    } catch (const Failure&) {
      // Damage may ask for data that are not there.
    }
    OnnxDomains(copy);
  } else if (kind == "capsule") {
    ParseCapsule(copy);
  } else {
    ParseOrtProfile(std::string(copy.begin(), copy.end()));
  }
}

std::uint32_t Crc32(const std::uint8_t* data, std::size_t size) {
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
  }
  return ~crc;
}

Bytes Damage(const std::string& kind, Bytes content, std::mt19937* random) {
  const auto below = [&](std::size_t end) { return std::uniform_int_distribution<std::size_t>(0, end - 1)(*random); };
  if (content.empty() || below(4) == 0) {
    content.resize(below(content.size() + 1));
    return content;
  }
  // Numbers that matter stand at the ends of these files.
  const std::size_t region = below(2) == 0 ? content.size() : std::min<std::size_t>(content.size(), 2048);
  const std::size_t from = below(2) == 0 ? 0 : content.size() - region;
  for (std::size_t n = 1 + below(3); n > 0; --n) {
    constexpr std::uint8_t kOdd[] = {0, 1, 0x7f, 0x80, 0xff};
    std::uint8_t& byte = content[from + below(region)];
    byte = below(2) == 0 ? static_cast<std::uint8_t>(byte ^ 1 << below(8)) : kOdd[below(sizeof kOdd)];
  }
  if (kind == "capsule" && content.size() > 16) {
    // Otherwise the checksum would hide everything behind it.
    const std::uint32_t crc = Crc32(content.data() + 16, content.size() - 16);
    std::memcpy(content.data() + 12, &crc, sizeof crc);
  }
  return content;
}

int Parse(const std::string& kind, int rounds, int count, char** paths) {
  int sound = 0, damaged = 0;
  const auto parse = [&](const Bytes& content) {
    try {
      ParseOne(kind, content);
      ++sound;
    } catch (const Damaged&) {
      ++damaged;
    }
  };
  std::mt19937 random(1);
  for (int i = 0; i < count; ++i) {
    const Bytes content = ReadFile(paths[i]);
    parse(content);
    for (int round = 0; round < rounds; ++round) parse(Damage(kind, content, &random));
  }
  std::printf("%d sound, %d damaged\n", sound, damaged);
  return 0;
}

int Driver(int count, char** values) {
  const std::string mode = count > 1 ? values[1] : "";
  if (mode == "parse" && count > 4) return Parse(values[2], std::atoi(values[3]), count - 4, values + 4);
  if (mode == "device" && count == 3) {
    Report report;
    report.model.kind = "tflite";
    report.device = ReadDevice(values[2]);
    report.before = report.after = ReadState(values[2]);
    std::fputs(ToJson(report).c_str(), stdout);
    return 0;
  }
  if (mode == "figures" && count > 2) {
    std::vector<std::int64_t> samples;
    for (int i = 2; i < count; ++i) samples.push_back(std::atoll(values[i]));
    const Figures f = FiguresOf(samples);
    for (const std::int64_t figure : {f.min, f.median, f.p90, f.p99, f.max, f.mean}) std::printf("%lld ", static_cast<long long>(figure));
    return 0;
  }
  return 2;
}

}  // namespace
}  // namespace fdabnn::runner

int main(int count, char** values) { return fdabnn::runner::Driver(count, values); }
