// fdabnn-runner: tests and measures a model on a device, without Python. docs/runner.md describes it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <string>

#include "runner/arguments.h"
#include "runner/capsule.h"
#include "runner/delegate.h"
#include "runner/device.h"
#include "runner/failure.h"
#include "runner/file.h"
#include "runner/inputs.h"
#include "runner/latency.h"
#include "runner/onnx_external.h"
#include "runner/onnx_file.h"
#include "runner/peak.h"
#include "runner/report.h"
#include "runner/selftest.h"
#include "runner/session.h"
#include "runner/sha256.h"
#include "runner/supervisor.h"

namespace fdabnn::runner {
namespace {

// Of a table of operators, which a reader of JSON wants to read.
constexpr int kMostOpRuns = 1000;
// ONNX Runtime's profile holds a million events, in some 300 MB of disk, and drops what follows. Every run adds some beside those of its
// operators.
constexpr std::size_t kMostEvents = 500'000, kEventsPerRun = 8;

// A file that is opened later must not become one of the three by its number: what was closed fails when it is used, and that is told.
void FillStandardFiles() {
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(file, F_GETFD) < 0) open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

bool EndsIn(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::string KindOf(const std::string& path) {
  if (EndsIn(path, ".tflite")) return "tflite";
  if (EndsIn(path, ".onnx")) return "onnx";
  if (EndsIn(path, ".capsule")) throw Failure(Exit::kUsage, path + " is a capsule: give it by --selftest or --inputs");
  throw Failure(Exit::kUsage, path + " is neither a .tflite nor an .onnx file");
}

class Run {
 public:
  explicit Run(const Arguments& arguments) { report_.arguments = arguments; }

  Exit All() {
    for (const std::string& path : {arguments().json, arguments().outputs}) {
      if (!path.empty()) CheckWritable(path);
    }
    ReadFiles();
    report_.device = ReadDevice("");
    Pin(arguments().cpus);
    const Libraries libraries = {arguments().runtime, arguments().delegate};
    std::optional<DelegateLibrary> measures;
    if (arguments().peak) measures.emplace(arguments().delegate, "--ceiling needs it");
    runtime_ = report_.model.kind == "tflite" ? MakeLitert(libraries, model_, report_.model.path)
                                              : MakeOnnxRuntime(libraries, model_, report_.model.path);
    report_.runtime = runtime_->info();
    report_.runtime_sha256 = Sha256OfFile(report_.runtime.path);
    report_.before = ReadState("");
    if (selftest_) Selftest();
    const bool failed = report_.selftest && report_.selftest->replay.difference;
    if (!arguments().outputs.empty()) WriteOutputs();
    if (!failed && !arguments().selftest_only) MeasureAll();
    if (measures) report_.peak = MeasurePeak(*measures);
    report_.after = ReadState("");
    if (report_.peak_bytes == 0) report_.peak_bytes = PeakMemory();
    if (!arguments().json.empty()) WriteFile(arguments().json, ToJson(report_));
    if (!IsStandardOutput(arguments().json)) WriteFile("-", ToText(report_));
    if (!failed && no_ops_) throw *no_ops_;
    if (!failed) return Exit::kOk;
    Complain("self-test failed: " + Sentence(*report_.selftest->replay.difference) +
             (report_.selftest->exact ? "" : " (the model's numerics are float: on another runtime its last bits may differ)"));
    return Exit::kParity;
  }

 private:
  const Arguments& arguments() const { return report_.arguments; }

  void ReadFiles() {
    if (!arguments().selftest.empty()) selftest_ = ReadCapsule(arguments().selftest);
    if (!arguments().inputs.empty()) inputs_ = ReadCapsule(arguments().inputs);
    if (!arguments().model.empty()) {
      report_.model.path = arguments().model;
      report_.model.kind = KindOf(arguments().model);
      model_ = ReadFile(arguments().model);
      if (report_.model.kind == "onnx") model_ = WithOnnxData(std::move(model_), arguments().model);
    } else {
      report_.model.path = arguments().selftest;
      report_.model.kind = selftest_->target;
      if (report_.model.kind != "tflite" && report_.model.kind != "onnx") {
        throw Failure(Exit::kRefused,
                      arguments().selftest + " holds a model for '" + report_.model.kind + "', which the runner does not run");
      }
      model_ = selftest_->model;
    }
    CheckUnchanged();
    report_.model.bytes = model_.size();
    report_.model.sha256 = Sha256Of(model_.data(), model_.size());
  }

  // A TFLite file that has changed is refused as damaged, always: nothing rewrites those.
  void CheckUnchanged() const {
    if (report_.model.kind != "onnx" || arguments().ignore_checksum) return;
    try {
      if (!OnnxHasChanged(model_)) return;
    } catch (const Damaged&) {
      return;  // the runtime says so
    }
    throw Failure(Exit::kRefused, report_.model.path +
                                      ": the model has changed since it was exported, its checksum does not fit: copy or export it again, "
                                      "or give --ignore-checksum where a tool has rewritten it on purpose");
  }

  void Selftest() {
    // Packed tensors are seen where operators run one by one; times are measured without that.
    const bool tflite = report_.model.kind == "tflite";
    std::unique_ptr<Session> session = Open(tflite, arguments().xnnpack, Fusion::kNone);
    SelftestFacts facts;
    facts.capsule = arguments().selftest;
    facts.exact = selftest_->exact;
    facts.same_accuracy = selftest_->same_accuracy;
    facts.inputs = selftest_->count;
    facts.outputs = selftest_->outputs.size();
    facts.packed = selftest_->packed.size();
    facts.replay = ReplayCapsule(*selftest_, arguments().selftest, session.get());
    if (tflite && !facts.replay.difference) {
      session = nullptr;
      Replay fused = ReplayCapsule(*selftest_, arguments().selftest, Open(false, arguments().xnnpack).get());
      fused.packed_checked = facts.replay.packed_checked;
      facts.replay = std::move(fused);
    }
    report_.selftest = std::move(facts);
  }

  void WriteOutputs() {
    Bytes outputs;
    if (inputs_) {
      outputs = ReplayCapsule(*inputs_, arguments().inputs, Open(false, arguments().xnnpack).get()).outputs;
    } else {
      outputs = report_.selftest->replay.outputs;
    }
    WriteFile(arguments().outputs, outputs.data(), outputs.size());
  }

  // A session with its inputs set.
  std::unique_ptr<Session> Open(bool trace, bool xnnpack, Fusion fusion = Fusion::kAll) {
    std::unique_ptr<Session> session = runtime_->Open({arguments().threads, xnnpack, fusion, trace});
    const Capsule* capsule = inputs_ ? &*inputs_ : selftest_ ? &*selftest_ : nullptr;
    if (capsule != nullptr) {
      CheckFits(*session, *capsule, inputs_ ? arguments().inputs : arguments().selftest);
      FillFrom(*capsule, 0, session.get());
      report_.generated = false;
    } else {
      FillGenerated(session.get());
    }
    return session;
  }

  // Of a table of operators, the measured ones and those before them.
  int MostRuns(bool xnnpack) {
    if (report_.model.kind == "tflite") return 2 * kMostOpRuns;
    const std::unique_ptr<Session> session = Open(true, xnnpack);
    Measure({0, 1, 0, false}, session.get());
    std::size_t events = kEventsPerRun;
    for (const OpTimes& op : session->Ops(0)) events += op.events;
    return static_cast<int>(std::clamp<std::size_t>(kMostEvents / events, 1, 2 * kMostOpRuns));
  }

  OpFacts MeasureOps(bool xnnpack) {
    const int most = MostRuns(xnnpack), most_measured = std::min(kMostOpRuns, std::max(most / 2, 1));
    const std::unique_ptr<Session> session = Open(true, xnnpack, xnnpack ? Fusion::kGroups : Fusion::kNone);
    const Plan plan = {std::min(arguments().warmup, most - most_measured), arguments().runs, arguments().seconds, false};
    OpFacts facts;
    facts.samples = Measure(plan, session.get(), static_cast<std::size_t>(most_measured));
    facts.ops = session->Ops(static_cast<std::size_t>(plan.warmup));
    return facts;
  }

  void MeasureAll() {
    ForgetPeakMemory();
    const Plan plan = {arguments().warmup, arguments().runs, arguments().seconds, arguments().markers};
    report_.latency = Measure(plan, Open(false, arguments().xnnpack).get());
    report_.peak_bytes = PeakMemory();
    if (!arguments().per_op) return;
    const bool tflite = report_.model.kind == "tflite";
    try {
      report_.ops = MeasureOps(false);
      if (tflite && arguments().xnnpack) report_.ops_xnnpack = MeasureOps(true);
    } catch (const Failure& failure) {
      no_ops_.emplace(failure);  // the latency is measured already, and is reported
    }
  }

  Report report_;
  Bytes model_;
  std::optional<Capsule> selftest_, inputs_;
  std::unique_ptr<Runtime> runtime_;
  std::optional<Failure> no_ops_;
};

int Guarded(const std::function<Exit()>& code) {
  try {
    return static_cast<int>(code());
  } catch (const Failure& failure) {
    Complain(failure.what());
    return static_cast<int>(failure.code);
  } catch (const std::bad_alloc&) {
    Complain("not enough memory");
    return static_cast<int>(Exit::kMissing);
  } catch (const std::exception& error) {
    Complain(std::string("a bug of the runner: ") + error.what() + "; please report it");
  } catch (...) {
    Complain("a bug of the runner: an unknown error; please report it");
  }
  return static_cast<int>(Exit::kBug);
}

int Main(int count, const char* const* values) {
  FillStandardFiles();
  // Whoever reads the output may stop; then writing fails, which is told as everything else is.
  std::signal(SIGPIPE, SIG_IGN);
  return Guarded([&] {
    const Arguments arguments = ParseArguments(count, values);
    if (arguments.help) return WriteFile("-", kHelp), Exit::kOk;
    if (arguments.version) return WriteFile("-", std::string("fdabnn-runner ") + kVersion + "\n"), Exit::kOk;
    const std::string subject = arguments.model.empty() ? arguments.selftest : arguments.model;
    return static_cast<Exit>(Supervise(subject, arguments.markers, [&] { return Guarded([&] { return Run(arguments).All(); }); }));
  });
}

}  // namespace
}  // namespace fdabnn::runner

int main(int count, char** values) { return fdabnn::runner::Main(count, values); }
