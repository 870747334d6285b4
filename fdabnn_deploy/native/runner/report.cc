#include "runner/report.h"

#include <cstdio>
#include <cstring>

#include "runner/json.h"
#include "runner/statistics.h"
#include "runner/text.h"

namespace fdabnn::runner {
namespace {

constexpr int kSchemaVersion = 1;
constexpr std::int64_t kTraceResolution = 1;  // nanoseconds
constexpr std::int64_t kOrtProfileResolution = 1000;

void PutCount(Json* json, const char* name, std::int64_t value) { value < 0 ? json->Null(name) : json->Integer(name, value); }

void PutState(Json* json, const char* name, const State& state) {
  json->Object(name).List("governor");
  for (const std::string& governor : state.governor) json->TextOrNull(nullptr, governor);
  json->End().List("frequency_khz");
  for (const std::int64_t frequency : state.frequency_khz) PutCount(json, nullptr, frequency);
  json->End().Object("temperature_millic");
  for (const auto& [zone, value] : state.temperature_millic) json->Integer(zone.c_str(), value);
  json->End().Object("throttled").TextOrNull("flags", state.throttled_flags).TextOrNull("source", state.throttled_source).End();
  state.load1 < 0 ? json->Null("load1") : json->Number("load1", state.load1);
  json->End();
}

std::string Hex(std::uint64_t bits, int digits) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%0*llx", digits, static_cast<unsigned long long>(bits));
  return text;
}

void PutValue(Json* json, const char* name, const Difference& difference, std::uint64_t bits) {
  difference.packed ? json->Null(name) : json->Number(name, NumberOf(bits, difference.type));
  const std::size_t bytes = difference.packed ? sizeof bits : SizeOf(difference.type);
  json->Text((std::string(name) + "_bits").c_str(), Hex(bits, static_cast<int>(2 * bytes)));
}

void PutSelftest(Json* json, const std::optional<SelftestFacts>& facts) {
  if (!facts) {
    json->Null("selftest");
    return;
  }
  const std::optional<Difference>& difference = facts->replay.difference;
  json->Object("selftest").Text("capsule", facts->capsule).Bool("exact", facts->exact).Bool("same_accuracy", facts->same_accuracy);
  json->Integer("inputs", static_cast<std::int64_t>(facts->inputs)).Integer("outputs", static_cast<std::int64_t>(facts->outputs));
  json->Bool("passed", !difference);
  if (difference) {
    json->Object("first_difference").Text("tensor", difference->tensor).Text("kind", difference->packed ? "packed" : "output");
    json->Integer("input", static_cast<std::int64_t>(difference->input)).Integers("index", difference->index);
    json->TextOrNull("dtype", difference->packed ? "" : NameOf(difference->type));
    PutValue(json, "expected", *difference, difference->expected);
    PutValue(json, "found", *difference, difference->found);
    json->End();
  } else {
    json->Null("first_difference");
  }
  json->Integer("packed_tensors", static_cast<std::int64_t>(facts->packed));
  json->Integer("packed_tensors_checked", static_cast<std::int64_t>(facts->replay.packed_checked)).End();
}

void PutLatency(Json* json, const char* name, const std::vector<std::int64_t>& samples) {
  if (samples.empty()) {
    json->Null(name);
    return;
  }
  const Figures figures = FiguresOf(samples);
  json->Object(name).Integers("samples", samples).Integer("min", figures.min).Integer("median", figures.median);
  json->Integer("p90", figures.p90).Integer("p99", figures.p99).Integer("max", figures.max).Integer("mean", figures.mean).End();
}

std::int64_t TotalMedian(const std::vector<OpTimes>& ops) {
  std::int64_t total = 0;
  for (const OpTimes& op : ops) total += FiguresOf(op.samples).median;
  return total;
}

void PutOps(Json* json, const char* name, const std::optional<OpFacts>& facts) {
  if (!facts) {
    json->Null(name);
    return;
  }
  json->List(name);
  std::int64_t index = 0;
  for (const OpTimes& op : facts->ops) {
    const Figures figures = FiguresOf(op.samples);
    json->Object().Integer("index", index++).Text("name", op.name).Text("type", op.type).Text("kernel", op.kernel);
    PutCount(json, "node", op.node);
    json->Integers("nodes", op.nodes).Integers("samples", op.samples);
    json->Integer("median", figures.median).Integer("min", figures.min).End();
  }
  json->End();
}

std::string Milliseconds(std::int64_t nanoseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f ms", static_cast<double>(nanoseconds) / 1e6);
  return text;
}

std::string LatencyLine(const std::vector<std::int64_t>& samples) {
  const Figures figures = FiguresOf(samples);
  return "median " + Milliseconds(figures.median) + ", p90 " + Milliseconds(figures.p90) + ", p99 " + Milliseconds(figures.p99) + ", min " +
         Milliseconds(figures.min) + ", max " + Milliseconds(figures.max) + ", " + std::to_string(samples.size()) + " runs";
}

std::string OpLines(const OpFacts& facts) {
  std::string text;
  const std::int64_t total = TotalMedian(facts.ops);
  for (const OpTimes& op : facts.ops) {
    const std::int64_t median = FiguresOf(op.samples).median;
    char line[400];
    std::snprintf(line, sizeof line, "  %9.1f us %5.1f%%  %-24.60s %.120s", static_cast<double>(median) / 1e3,
                  total > 0 ? 100.0 * static_cast<double>(median) / static_cast<double>(total) : 0.0, op.type.c_str(), op.name.c_str());
    text += Printable(line) + "\n";
  }
  char line[64];
  std::snprintf(line, sizeof line, "  %9.1f us         sum of the medians\n", static_cast<double>(total) / 1e3);
  return text + line;
}

}  // namespace

std::string ToJson(const Report& report) {
  const Arguments& arguments = report.arguments;
  Json json;
  json.Object().Text("schema", "fdabnn-runner").Integer("version", kSchemaVersion);
  json.Object("runner").Text("version", kVersion).Text("machine", report.device.machine).End();
  json.Object("model").Text("path", report.model.path).Text("sha256", report.model.sha256);
  json.Integer("bytes", static_cast<std::int64_t>(report.model.bytes)).Text("kind", report.model.kind).End();
  json.Object("runtime").Text("name", report.runtime.name).TextOrNull("version", report.runtime.version).Text("path", report.runtime.path);
  json.Text("sha256", report.runtime_sha256)
      .TextOrNull("delegate", report.runtime.delegate)
      .TextOrNull("kernels", report.runtime.kernels)
      .End();
  json.Object("device").TextOrNull("cpu", report.device.cpu).Integer("cores", report.device.cores).Text("machine", report.device.machine);
  json.Integer("bits", report.device.bits).Text("kernel", report.device.kernel).TextOrNull("os", report.device.os);
  PutCount(&json, "memory_bytes", report.device.memory_bytes);
  json.List("features");
  for (const std::string& feature : report.device.features) json.Text(nullptr, feature);
  json.End().End();
  json.Object("settings").Integer("threads", arguments.threads);
  if (arguments.cpus.empty()) {
    json.Null("cpus");
  } else {
    json.Integers("cpus", std::vector<std::int64_t>(arguments.cpus.begin(), arguments.cpus.end()));
  }
  json.Integer("warmup", arguments.warmup);
  if (arguments.seconds > 0) {
    json.Null("runs").Number("seconds", arguments.seconds);
  } else {
    json.Integer("runs", arguments.runs).Null("seconds");
  }
  json.Bool("xnnpack", report.model.kind == "tflite" && arguments.xnnpack).Text("inputs", report.generated ? "generated" : "capsule").End();
  json.Object("state");
  PutState(&json, "before", report.before);
  PutState(&json, "after", report.after);
  json.End();
  PutSelftest(&json, report.selftest);
  PutLatency(&json, "latency", report.latency);
  PutOps(&json, "ops", report.ops);
  if (report.ops) {
    json.Integer("ops_total_median", TotalMedian(report.ops->ops));
    json.Integer("ops_resolution_ns", report.model.kind == "tflite" ? kTraceResolution : kOrtProfileResolution);
  } else {
    json.Null("ops_total_median").Null("ops_resolution_ns");
  }
  PutLatency(&json, "ops_latency", report.ops ? report.ops->samples : std::vector<std::int64_t>{});
  PutOps(&json, "ops_xnnpack", report.ops_xnnpack);
  if (report.peak) {
    json.Object("ceiling").Text("kernels", report.peak->kernels);
    json.Number("binary_macs_per_second", report.peak->binary_macs_per_second).End();
  } else {
    json.Null("ceiling");
  }
  json.Object("memory");
  PutCount(&json, "peak_bytes", report.peak_bytes);
  json.Integer("model_bytes", static_cast<std::int64_t>(report.model.bytes)).End().End();
  return json.Done();
}

std::string ToText(const Report& report) {
  std::string text = Printable(report.model.path) + " on " + report.runtime.name;
  if (!report.runtime.version.empty()) text += " " + report.runtime.version;
  if (!report.runtime.kernels.empty()) text += " with the " + report.runtime.kernels + " kernels";
  text += "\n" + (report.device.cpu.empty() ? "unknown processor" : report.device.cpu) + ", " + report.device.machine +
          ", threads: " + std::to_string(report.arguments.threads) + "\n";
  if (report.selftest) {
    const SelftestFacts& facts = *report.selftest;
    text += "self-test " + std::string(facts.replay.difference ? "FAILED" : "passed") + ": " + std::to_string(facts.inputs) + " inputs, " +
            std::to_string(facts.outputs) + (facts.outputs == 1 ? " output, " : " outputs, ") +
            std::to_string(facts.replay.packed_checked) + " of " + std::to_string(facts.packed) + " packed tensors checked\n";
    if (facts.same_accuracy) text += "the model is of the same accuracy as the trained network, not the same decisions\n";
  }
  if (!report.latency.empty()) text += "latency: " + LatencyLine(report.latency) + "\n";
  if (report.ops) {
    text += report.model.kind == "tflite" ? "operators, XNNPACK kept out:\n" : "operators:\n";
    text += OpLines(*report.ops);
  }
  if (report.ops_xnnpack) text += "operators with the engine and XNNPACK, which run several as one:\n" + OpLines(*report.ops_xnnpack);
  if (report.peak_bytes > 0) text += "peak memory: " + std::to_string((report.peak_bytes + 524288) / 1048576) + " MiB\n";
  return text;
}

}  // namespace fdabnn::runner
