// ONNX files in the wheel's libonnxruntime.so, with our operators where a file uses their domain.
#include <unistd.h>

#include <cstdlib>
#include <new>
#include <string>

#include "onnxruntime/ort_abi.h"
#include "runner/delegate.h"
#include "runner/failure.h"
#include "runner/library.h"
#include "runner/onnx_file.h"
#include "runner/ort_profile.h"
#include "runner/session.h"
#include "runner/supervisor.h"

namespace fdabnn::runner {
namespace {

constexpr char kDomain[] = "fdabnn";
constexpr int kFatal = 4;  // severity of what it logs: errors are returned as well
constexpr std::size_t kAlignment = 64;

constexpr char kRuntimeAdvice[] = "give its path by --runtime; it is in the wheel onnxruntime (onnxruntime/capi/libonnxruntime.so.*)";

using RegisterCustomOps = OrtStatus*(OrtSessionOptions* options, const OrtApiBase* base);

// What both hold: the library and ways to report what it says.
class Api {
 public:
  Api(const std::string& path, std::string name)
      : library_(path, Beside(), {"libonnxruntime.so.1", "libonnxruntime.so"}, kRuntimeAdvice), name_(std::move(name)) {
    const InRuntime stage("starting ONNX Runtime");
    const OrtApiBase* (*get)() = nullptr;
    library_.Get("OrtGetApiBase", &get);
    base_ = get();
    table_ = base_->GetApi(kOrtApiVersion);
    if (table_ == nullptr)
      throw Failure(Exit::kMissing, library_.path() + " is version " + base_->GetVersionString() + ": 1.17 or newer is needed");
  }

  const OrtApi* operator->() const { return table_; }
  const OrtApiBase* base() const { return base_; }
  const std::string& path() const { return library_.path(); }

  void Check(OrtStatus* status, const char* what) const {
    if (status == nullptr) return;
    const std::string reason = table_->GetErrorMessage(status);
    table_->ReleaseStatus(status);
    throw Failure(Exit::kRefused, name_ + ": ONNX Runtime " + what + " (" + reason.substr(0, 400) +
                                      "): the file is damaged or not for this runtime; copy or export it again");
  }

  const std::string& name() const { return name_; }

 private:
  // Its name ends in its version.
  static std::vector<std::string> Beside() {
    std::vector<std::string> names;
    for (const std::string& name : List(Folder(OwnPath()))) {
      if (name.compare(0, 17, "libonnxruntime.so") == 0) names.push_back(name);
    }
    if (names.empty()) names.emplace_back("libonnxruntime.so");
    return names;
  }

  const Library library_;
  const std::string name_;
  const OrtApiBase* base_ = nullptr;
  const OrtApi* table_ = nullptr;
};

struct TypePair {
  OrtElementType ort;
  ElementType ours;
};
constexpr TypePair kTypes[] = {
    {kOrtFloat, ElementType::kFloat32},  {kOrtUint8, ElementType::kUint8},   {kOrtInt8, ElementType::kInt8},
    {kOrtUint16, ElementType::kUint16},  {kOrtInt16, ElementType::kInt16},   {kOrtInt32, ElementType::kInt32},
    {kOrtInt64, ElementType::kInt64},    {kOrtBool, ElementType::kBool},     {kOrtFloat16, ElementType::kFloat16},
    {kOrtDouble, ElementType::kFloat64}, {kOrtUint32, ElementType::kUint32}, {kOrtUint64, ElementType::kUint64},
};

bool ToElementType(OrtElementType type, ElementType* out) {
  for (const TypePair& pair : kTypes) {
    if (pair.ort != type) continue;
    *out = pair.ours;
    return true;
  }
  return false;
}

OrtElementType ToOrt(ElementType type) {
  for (const TypePair& pair : kTypes) {
    if (pair.ours == type) return pair.ort;
  }
  return kOrtFloat;  // not reached: all are there
}

class OrtRunnerSession : public Session {
 public:
  OrtRunnerSession(const Api& api, RegisterCustomOps* custom_ops, const Bytes& model, const SessionOptions& options) : api_(api) {
    const InRuntime stage("ONNX Runtime loads the model");
    try {
      Load(custom_ops, model, options);
    } catch (...) {
      Destroy();
      throw;
    }
  }

  ~OrtRunnerSession() override {
    const InRuntime stage("ONNX Runtime closes the model");
    Destroy();
  }

  void* Input(std::size_t index) override { return input_memory_[index]; }

  const void* Output(std::size_t index) override {
    void* data = nullptr;
    api_.Check(api_->GetTensorMutableData(output_values_[index], &data), "shows no output");
    return data;
  }

  void Run() override {
    api_.Check(api_->Run(session_, nullptr, input_names_.data(), input_values_.data(), input_values_.size(), output_names_.data(),
                         output_values_.size(), output_values_.data()),
               "does not run the model");
    if (runs_++ == 0) CheckOutputs();
  }

  std::vector<OpTimes> Ops(std::size_t skipped) override;

 private:
  void Load(RegisterCustomOps* custom_ops, const Bytes& model, const SessionOptions& options);
  TensorInfo Describe(bool input, std::size_t index) const;
  void MakeInput(const TensorInfo& info);
  void CheckOutputs();
  void EndProfile();
  void Destroy();

  const Api& api_;
  OrtEnv* env_ = nullptr;
  OrtSessionOptions* options_ = nullptr;
  OrtSession* session_ = nullptr;
  OrtMemoryInfo* memory_ = nullptr;
  OrtAllocator* allocator_ = nullptr;
  bool profiling_ = false;
  std::size_t runs_ = 0;
  std::string folder_, profile_;
  std::vector<void*> input_memory_;
  std::vector<OrtValue*> input_values_, output_values_;  // outputs are made by the first run and written by all others
  std::vector<const char*> input_names_, output_names_;
};

void OrtRunnerSession::Load(RegisterCustomOps* custom_ops, const Bytes& model, const SessionOptions& options) {
  api_.Check(api_->CreateEnv(kFatal, "fdabnn-runner", &env_), "does not start");
  api_.Check(api_->DisableTelemetryEvents(env_), "does not keep to itself");
  api_.Check(api_->CreateSessionOptions(&options_), "makes no options");
  api_.Check(api_->SetSessionLogSeverityLevel(options_, kFatal), "takes no options");
  api_.Check(api_->SetIntraOpNumThreads(options_, options.threads), "takes no number of threads");
  api_.Check(api_->SetInterOpNumThreads(options_, 1), "takes no number of threads");
  if (options.trace) {
    const char* temporary = std::getenv("TMPDIR");
    std::string folder = std::string(temporary != nullptr && *temporary != '\0' ? temporary : "/tmp") + "/fdabnn-runner-XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) {
      throw Failure(Exit::kUsage,
                    "cannot write to " + Folder(folder) + ", where ONNX Runtime's profile goes: set TMPDIR to a folder with space");
    }
    folder_ = folder;
    RemoveIfKilled(folder_);
    api_.Check(api_->EnableProfiling(options_, (folder_ + "/profile").c_str()), "makes no profile");
    profiling_ = true;
  }
  if (custom_ops != nullptr) api_.Check(custom_ops(options_, api_.base()), "takes no operators of ours");
  api_.Check(api_->CreateSessionFromArray(env_, model.data(), model.size(), options_, &session_), "does not take the model");
  api_.Check(api_->CreateCpuMemoryInfo(1, 0, &memory_), "has no memory");
  api_.Check(api_->GetAllocatorWithDefaultOptions(&allocator_), "has no memory");
  std::size_t inputs = 0, outputs = 0;
  api_.Check(api_->SessionGetInputCount(session_, &inputs), "shows no inputs");
  api_.Check(api_->SessionGetOutputCount(session_, &outputs), "shows no outputs");
  for (std::size_t i = 0; i < inputs; ++i) {
    inputs_.push_back(Describe(true, i));
    MakeInput(inputs_.back());
  }
  for (std::size_t i = 0; i < outputs; ++i) outputs_.push_back(Describe(false, i));
  output_values_.assign(outputs, nullptr);
  for (const TensorInfo& info : inputs_) input_names_.push_back(info.name.c_str());
  for (const TensorInfo& info : outputs_) output_names_.push_back(info.name.c_str());
}

TensorInfo OrtRunnerSession::Describe(bool input, std::size_t index) const {
  char* name = nullptr;
  api_.Check(input ? api_->SessionGetInputName(session_, index, allocator_, &name)
                   : api_->SessionGetOutputName(session_, index, allocator_, &name),
             "shows no tensor");
  TensorInfo info{name, ElementType::kFloat32, {}, 0};
  api_.Check(api_->AllocatorFree(allocator_, name), "frees no name");
  OrtTypeInfo* type = nullptr;
  api_.Check(input ? api_->SessionGetInputTypeInfo(session_, index, &type) : api_->SessionGetOutputTypeInfo(session_, index, &type),
             "shows no tensor");
  const std::unique_ptr<OrtTypeInfo, void (*)(OrtTypeInfo*)> owned(type, api_->ReleaseTypeInfo);
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;
  api_.Check(api_->CastTypeInfoToTensorInfo(type, &tensor), "shows no tensor");
  OrtElementType element{};
  std::size_t rank = 0;
  if (tensor != nullptr) {
    api_.Check(api_->GetTensorElementType(tensor, &element), "shows no type");
    api_.Check(api_->GetDimensionsCount(tensor, &rank), "shows no shape");
  }
  if (tensor == nullptr || !ToElementType(element, &info.type)) {
    throw Failure(Exit::kRefused, api_.name() + ": " + info.name +
                                      " is no tensor of numbers or booleans, which the runner knows; leave it out of the file's outputs");
  }
  info.shape.resize(rank);
  api_.Check(api_->GetDimensions(tensor, info.shape.data(), rank), "shows no shape");
  info.bytes = SizeOf(info.type);
  for (std::size_t axis = 0; axis < rank; ++axis) {
    std::int64_t& size = info.shape[axis];
    if (size < 0 && axis == 0) size = 1;  // one image
    if (size < 0 || __builtin_mul_overflow(info.bytes, static_cast<std::size_t>(size), &info.bytes)) {
      throw Failure(Exit::kRefused, api_.name() + ": " + info.name + " has a free size behind the batch; export it with fixed sizes");
    }
  }
  return info;
}

void OrtRunnerSession::MakeInput(const TensorInfo& info) {
  void* block = nullptr;
  std::size_t size = 0;
  if (__builtin_add_overflow(info.bytes, kAlignment, &size) || posix_memalign(&block, kAlignment, size) != 0) throw std::bad_alloc();
  input_memory_.push_back(block);
  OrtValue* value = nullptr;
  api_.Check(
      api_->CreateTensorWithDataAsOrtValue(memory_, block, info.bytes, info.shape.data(), info.shape.size(), ToOrt(info.type), &value),
      "takes no input");
  input_values_.push_back(value);
}

// The file says of which shape its outputs are; nothing makes it come true.
void OrtRunnerSession::CheckOutputs() {
  for (std::size_t i = 0; i < output_values_.size(); ++i) {
    OrtTensorTypeAndShapeInfo* found = nullptr;
    api_.Check(api_->GetTensorTypeAndShape(output_values_[i], &found), "shows no output");
    const std::unique_ptr<OrtTensorTypeAndShapeInfo, void (*)(OrtTensorTypeAndShapeInfo*)> owned(found,
                                                                                                 api_->ReleaseTensorTypeAndShapeInfo);
    OrtElementType type{};
    std::size_t rank = 0;
    api_.Check(api_->GetTensorElementType(found, &type), "shows no type");
    api_.Check(api_->GetDimensionsCount(found, &rank), "shows no shape");
    std::vector<std::int64_t> shape(rank);
    api_.Check(api_->GetDimensions(found, shape.data(), rank), "shows no shape");
    if (shape != outputs_[i].shape || type != ToOrt(outputs_[i].type)) {
      throw Failure(Exit::kRefused,
                    api_.name() + ": output " + outputs_[i].name + " has another shape or type than the file says; export it again");
    }
  }
}

void OrtRunnerSession::EndProfile() {
  if (!profiling_ || session_ == nullptr) return;
  profiling_ = false;
  char* name = nullptr;
  api_.Check(api_->SessionEndProfiling(session_, allocator_, &name), "ends no profile");
  profile_ = name;
  api_.Check(api_->AllocatorFree(allocator_, name), "frees no name");
}

std::vector<OpTimes> OrtRunnerSession::Ops(std::size_t skipped) {
  EndProfile();
  const Bytes content = ReadFile(profile_);
  std::vector<OpTimes> ops;
  try {
    ops = ParseOrtProfile(std::string(content.begin(), content.end()));
  } catch (const Damaged& error) {
    throw Failure(Exit::kBug, "a bug of the runner: it cannot read ONNX Runtime's profile (" + std::string(error.what()) + ")");
  }
  const std::size_t runs = runs_;
  for (OpTimes& op : ops) {
    // A node inside a loop runs several times per run.
    if (runs <= skipped || op.samples.size() % runs != 0) {
      throw Failure(Exit::kBug, "ONNX Runtime's profile does not have node " + op.name + " in every run: is the disk of TMPDIR full?");
    }
    const std::size_t per_run = op.samples.size() / runs;
    op.events = op.samples.size();
    std::vector<std::int64_t> samples(runs - skipped);
    for (std::size_t i = 0; i < samples.size() * per_run; ++i) samples[i / per_run] += op.samples[skipped * per_run + i];
    op.samples = std::move(samples);
  }
  return ops;
}

void OrtRunnerSession::Destroy() {
  try {
    EndProfile();
  } catch (const Failure&) {
    // Whatever it is, the profile is not wanted any more.
  }
  for (OrtValue* value : input_values_) api_->ReleaseValue(value);
  for (OrtValue* value : output_values_) {
    if (value != nullptr) api_->ReleaseValue(value);
  }
  if (memory_ != nullptr) api_->ReleaseMemoryInfo(memory_);
  if (session_ != nullptr) api_->ReleaseSession(session_);
  if (options_ != nullptr) api_->ReleaseSessionOptions(options_);
  if (env_ != nullptr) api_->ReleaseEnv(env_);
  for (void* memory : input_memory_) std::free(memory);
  if (!folder_.empty()) {
    RemoveFolder(folder_);
    RemoveIfKilled("");
  }
}

class OnnxRuntime : public Runtime {
 public:
  OnnxRuntime(const Libraries& libraries, const Bytes& model, const std::string& name)
      : model_(model), packed_(UsesOurs(model, name)), api_(libraries.runtime, name) {
    info_ = {"ONNX Runtime", api_.base()->GetVersionString(), api_.path(), "", ""};
    if (!packed_) return;
    delegate_ = std::make_unique<DelegateLibrary>(libraries.delegate, "the file uses operators of the domain fdabnn, which are in it");
    delegate_->Get("RegisterCustomOps", &custom_ops_);
    info_.delegate = delegate_->path();
    info_.kernels = delegate_->LevelName();
  }

  const RuntimeInfo& info() const override { return info_; }

  std::unique_ptr<Session> Open(const SessionOptions& options) override {
    return std::make_unique<OrtRunnerSession>(api_, custom_ops_, model_, options);
  }

 private:
  static bool UsesOurs(const Bytes& model, const std::string& name) {
    try {
      return OnnxDomains(model).count(kDomain) > 0;
    } catch (const Damaged& error) {
      throw Failure(Exit::kRefused, name + " is damaged or not an ONNX file (" + error.what() + "): copy or export it again");
    }
  }

  const Bytes& model_;
  const bool packed_;
  const Api api_;
  std::unique_ptr<DelegateLibrary> delegate_;
  RegisterCustomOps* custom_ops_ = nullptr;
  RuntimeInfo info_;
};

}  // namespace

std::unique_ptr<Runtime> MakeOnnxRuntime(const Libraries& libraries, const Bytes& model, const std::string& name) {
  return std::make_unique<OnnxRuntime>(libraries, model, name);
}

}  // namespace fdabnn::runner
