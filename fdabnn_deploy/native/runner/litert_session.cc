// TFLite files in libLiteRt.so, with the delegate for the binary operators.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runner/delegate.h"
#include "runner/failure.h"
#include "runner/library.h"
#include "runner/litert_abi.h"
#include "runner/op_trace.h"
#include "runner/session.h"
#include "runner/supervisor.h"
#include "runner/tflite_file.h"
#include "runner/thread_setting.h"

namespace fdabnn::runner {
namespace {

constexpr std::size_t kAlignment = 64;   // of memory that LiteRT uses where it lies
constexpr std::size_t kExtraBytes = 64;  // XNNPACK may read behind the end

constexpr char kRuntimeAdvice[] = "give its path by --runtime; it is in the wheel ai-edge-litert (ai_edge_litert/libLiteRt.so)";

struct DelegateApi {
  TfLiteDelegate* (*create)(const char* const* keys, const char* const* values, std::size_t count, void (*report)(const char*));
  void (*destroy)(TfLiteDelegate* delegate);
};

// LiteRT's functions that make delegates get no data of ours.
const DelegateApi* delegate_api = nullptr;
const LitertApi* litert_api = nullptr;
OpTrace* trace = nullptr;
ThreadSetting* thread_setting = nullptr;
std::string delegate_error;

// Of the delegate's option `engine`.
const char* engine_setting = "1";

const char* EngineSetting(Fusion fusion) {
  switch (fusion) {
    case Fusion::kNone:
      return "0";
    case Fusion::kGroups:
      return "groups";
    case Fusion::kAll:
      break;
  }
  return "1";
}

extern "C" {

LiteRtStatus DelegateName(LiteRtAccelerator, const char** name) { return *name = "fdabnn", kLiteRtStatusOk; }
LiteRtStatus DelegateVersion(LiteRtAccelerator, LiteRtApiVersion* version) { return *version = {1, 0, 0}, kLiteRtStatusOk; }
LiteRtStatus DelegateHardware(LiteRtAccelerator, int* hardware) { return *hardware = kLiteRtHwAcceleratorCpu, kLiteRtStatusOk; }

void ReportDelegate(const char* text) { delegate_error = text; }
void KeepDelegate(TfLiteDelegate*) {}

LiteRtStatus CreateDelegate(void*, LiteRtEnvironment, LiteRtAccelerator, LiteRtOptions, LiteRtDelegateWrapper* wrapper) {
  const char* const key = "engine";
  TfLiteDelegate* delegate = delegate_api->create(&key, &engine_setting, 1, ReportDelegate);
  if (delegate == nullptr) return 1;
  return litert_api->WrapDelegate(delegate, delegate_api->destroy, wrapper);
}

LiteRtStatus CreateTrace(void*, LiteRtEnvironment, LiteRtAccelerator, LiteRtOptions, LiteRtDelegateWrapper* wrapper) {
  return litert_api->WrapDelegate(trace->delegate(), KeepDelegate, wrapper);
}

LiteRtStatus CreateThreadSetting(void*, LiteRtEnvironment, LiteRtAccelerator, LiteRtOptions, LiteRtDelegateWrapper* wrapper) {
  return litert_api->WrapDelegate(thread_setting->delegate(), KeepDelegate, wrapper);
}

}  // extern "C"

LitertApi LoadApi(const Library& library) {
  LitertApi api{};
  const auto get = [&](const char* name, auto** function) { library.Get((std::string("LiteRt") + name).c_str(), function); };
  get("CreateEnvironment", &api.CreateEnvironment);
  get("DestroyEnvironment", &api.DestroyEnvironment);
  get("CreateModelFromBuffer", &api.CreateModelFromBuffer);
  get("DestroyModel", &api.DestroyModel);
  get("GetModelSignature", &api.GetModelSignature);
  get("GetNumSignatureInputs", &api.GetNumSignatureInputs);
  get("GetNumSignatureOutputs", &api.GetNumSignatureOutputs);
  get("GetSignatureInputTensorByIndex", &api.GetSignatureInputTensorByIndex);
  get("GetSignatureOutputTensorByIndex", &api.GetSignatureOutputTensorByIndex);
  get("GetTensorName", &api.GetTensorName);
  get("GetRankedTensorType", &api.GetRankedTensorType);
  get("CreateOptions", &api.CreateOptions);
  get("DestroyOptions", &api.DestroyOptions);
  get("SetOptionsHardwareAccelerators", &api.SetOptionsHardwareAccelerators);
  get("CreateOpaqueOptions", &api.CreateOpaqueOptions);
  get("AddOpaqueOptions", &api.AddOpaqueOptions);
  get("CreateCompiledModel", &api.CreateCompiledModel);
  get("DestroyCompiledModel", &api.DestroyCompiledModel);
  get("GetCompiledModelInputBufferRequirements", &api.GetCompiledModelInputBufferRequirements);
  get("GetCompiledModelOutputBufferRequirements", &api.GetCompiledModelOutputBufferRequirements);
  get("GetTensorBufferRequirementsBufferSize", &api.GetTensorBufferRequirementsBufferSize);
  get("RunCompiledModel", &api.RunCompiledModel);
  get("CreateTensorBufferFromHostMemory", &api.CreateTensorBufferFromHostMemory);
  get("DestroyTensorBuffer", &api.DestroyTensorBuffer);
  get("CreateAccelerator", &api.CreateAccelerator);
  get("SetAcceleratorGetName", &api.SetAcceleratorGetName);
  get("SetAcceleratorGetVersion", &api.SetAcceleratorGetVersion);
  get("SetAcceleratorGetHardwareSupport", &api.SetAcceleratorGetHardwareSupport);
  get("SetDelegateFunction", &api.SetDelegateFunction);
  get("WrapDelegate", &api.WrapDelegate);
  get("RegisterAccelerator", &api.RegisterAccelerator);
  get("StaticLinkedAcceleratorCpuDef", &api.StaticLinkedAcceleratorCpuDef);
  const LiteRtAcceleratorDef* cpu = *api.StaticLinkedAcceleratorCpuDef;
  if (cpu == nullptr || cpu->major_version != 1 || cpu->struct_size < sizeof(LiteRtAcceleratorDef)) {
    throw Failure(Exit::kMissing,
                  library.path() + " defines XNNPACK in a way that the runner does not know: use the library of ai-edge-litert 2.3");
  }
  return api;
}

// The version in the name of the wheel's metadata folder next to the library; empty where there is none.
std::string VersionInMetadata(const std::string& library) {
  const std::string folder = Folder(Folder(library)), begin = "ai_edge_litert-", end = ".dist-info";
  for (const std::string& name : List(folder)) {
    if (name.size() > begin.size() + end.size() && name.compare(0, begin.size(), begin) == 0 &&
        name.compare(name.size() - end.size(), end.size(), end) == 0) {
      return name.substr(begin.size(), name.size() - begin.size() - end.size());
    }
  }
  return "";
}

bool ToElementType(int type, ElementType* out) {
  struct Pair {
    int litert;
    ElementType ours;
  };
  constexpr Pair kTypes[] = {
      {1, ElementType::kFloat32},  {2, ElementType::kInt32},   {3, ElementType::kUint8},   {4, ElementType::kInt64},
      {6, ElementType::kBool},     {7, ElementType::kInt16},   {9, ElementType::kInt8},    {10, ElementType::kFloat16},
      {11, ElementType::kFloat64}, {13, ElementType::kUint64}, {16, ElementType::kUint32}, {17, ElementType::kUint16},
  };
  for (const Pair& pair : kTypes) {
    if (pair.litert != type) continue;
    *out = pair.ours;
    return true;
  }
  return false;
}

class LitertRuntime;

class LitertSession : public Session {
 public:
  LitertSession(const LitertApi& api, const Bytes& model, const TfliteFile& file, const std::string& name, const SessionOptions& options);
  ~LitertSession() override;

  void* Input(std::size_t index) override { return input_memory_[index]; }
  const void* Output(std::size_t index) override { return output_memory_[index]; }

  void Run() override {
    Check(api_.RunCompiledModel(compiled_, 0, input_buffers_.size(), input_buffers_.data(), output_buffers_.size(), output_buffers_.data()),
          "does not run the model");
  }

  bool Observe(Observer observer) override {
    if (trace_ == nullptr) return false;
    trace_->Observe(std::move(observer));
    return true;
  }

  std::vector<OpTimes> Ops(std::size_t skipped) override { return trace_->Ops(skipped); }

 private:
  void Check(LiteRtStatus status, const char* what) const;
  void Register(LiteRtStatus (*create)(void*, LiteRtEnvironment, LiteRtAccelerator, LiteRtOptions, LiteRtDelegateWrapper*));
  void Compile(const Bytes& model, const SessionOptions& options);
  void Destroy();
  std::vector<std::size_t> Order(bool inputs, const TfliteFile& file, LiteRtSignature signature) const;
  void MakeBuffers(bool inputs, const TfliteFile& file, LiteRtSignature signature);

  const LitertApi& api_;
  const std::string name_;
  ThreadSetting threads_;
  std::unique_ptr<OpTrace> trace_;
  LiteRtEnvironment environment_ = nullptr;
  LiteRtModel model_ = nullptr;
  LiteRtOptions options_ = nullptr;
  LiteRtCompiledModel compiled_ = nullptr;
  // In the order of the signature, which LiteRT wants; the memory in that of the file.
  std::vector<LiteRtTensorBuffer> input_buffers_, output_buffers_;
  std::vector<void*> input_memory_, output_memory_;
};

void LitertSession::Check(LiteRtStatus status, const char* what) const {
  if (status == kLiteRtStatusOk) return;
  const std::string words = delegate_error.empty() ? LastWords() : delegate_error;
  throw Failure(Exit::kRefused, name_ + ": LiteRT " + what + " (status " + std::to_string(status) + (words.empty() ? "" : "; " + words) +
                                    "): the file is damaged or not for this runtime; copy or export it again");
}

void LitertSession::Register(LiteRtStatus (*create)(void*, LiteRtEnvironment, LiteRtAccelerator, LiteRtOptions, LiteRtDelegateWrapper*)) {
  LiteRtAccelerator accelerator = nullptr;
  Check(api_.CreateAccelerator(&accelerator), "takes no delegate");
  Check(api_.SetAcceleratorGetName(accelerator, DelegateName), "takes no delegate");
  Check(api_.SetAcceleratorGetVersion(accelerator, DelegateVersion), "takes no delegate");
  Check(api_.SetAcceleratorGetHardwareSupport(accelerator, DelegateHardware), "takes no delegate");
  Check(api_.SetDelegateFunction(accelerator, create), "takes no delegate");
  Check(api_.RegisterAccelerator(environment_, accelerator, nullptr, nullptr), "takes no delegate");
}

void LitertSession::Compile(const Bytes& model, const SessionOptions& options) {
  // Delegates are applied in the order in which they were registered: as in Python ours first, then XNNPACK to what it has left.
  const LiteRtEnvOption nothing = {kLiteRtEnvOptionTagAutoRegisterAccelerators, {kLiteRtAnyTypeInt, 0}};
  Check(api_.CreateEnvironment(1, &nothing, &environment_), "does not start");
  Register(CreateThreadSetting);
  Register(CreateDelegate);
  Register((*api_.StaticLinkedAcceleratorCpuDef)->create_delegate);
  if (trace_) Register(CreateTrace);
  Check(api_.CreateModelFromBuffer(environment_, model.data(), model.size(), &model_), "does not read the model");
  Check(api_.CreateOptions(&options_), "makes no options");
  Check(api_.SetOptionsHardwareAccelerators(options_, kLiteRtHwAcceleratorCpu), "does not compute on the processor");
  // TOML, as its own options for the processor write it.
  const std::string settings = std::string("kernel_mode = \"") + (options.xnnpack ? "delegate" : "builtin") +
                               "\"\nnum_threads = " + std::to_string(options.threads) + "\n";
  LiteRtOpaqueOptions opaque = nullptr;
  Check(api_.CreateOpaqueOptions("xnnpack", strdup(settings.c_str()), std::free, &opaque), "makes no options");
  Check(api_.AddOpaqueOptions(options_, opaque), "takes no options");
  Check(api_.CreateCompiledModel(environment_, model_, options_, &compiled_), "does not take the model");
}

LitertSession::LitertSession(const LitertApi& api, const Bytes& model, const TfliteFile& file, const std::string& name,
                             const SessionOptions& options)
    : api_(api), name_(name), threads_(options.threads) {
  const InRuntime stage("LiteRT loads the model");
  delegate_error.clear();
  if (options.trace) trace_ = std::make_unique<OpTrace>(file);
  trace = trace_.get();
  thread_setting = &threads_;
  engine_setting = EngineSetting(options.fusion);
  try {
    Compile(model, options);
    LiteRtSignature signature = nullptr;
    Check(api_.GetModelSignature(model_, 0, &signature), "shows no signature");
    MakeBuffers(true, file, signature);
    MakeBuffers(false, file, signature);
  } catch (...) {
    Destroy();
    throw;
  }
}

LitertSession::~LitertSession() {
  const InRuntime stage("LiteRT closes the model");
  Destroy();
}

void LitertSession::Destroy() {
  for (const LiteRtTensorBuffer buffer : input_buffers_) api_.DestroyTensorBuffer(buffer);
  for (const LiteRtTensorBuffer buffer : output_buffers_) api_.DestroyTensorBuffer(buffer);
  if (compiled_ != nullptr) api_.DestroyCompiledModel(compiled_);
  if (options_ != nullptr) api_.DestroyOptions(options_);
  if (model_ != nullptr) api_.DestroyModel(model_);
  if (environment_ != nullptr) api_.DestroyEnvironment(environment_);
  for (void* memory : input_memory_) std::free(memory);
  for (void* memory : output_memory_) std::free(memory);
  trace = nullptr;
  thread_setting = nullptr;
}

// Where the file has each input or output of the signature, which may order them otherwise.
std::vector<std::size_t> LitertSession::Order(bool inputs, const TfliteFile& file, LiteRtSignature signature) const {
  std::size_t count = 0;
  Check(inputs ? api_.GetNumSignatureInputs(signature, &count) : api_.GetNumSignatureOutputs(signature, &count), "shows no signature");
  const std::vector<std::int32_t>& own = inputs ? file.inputs : file.outputs;
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < count; ++i) {
    LiteRtTensor tensor = nullptr;
    const char* name = nullptr;
    Check(inputs ? api_.GetSignatureInputTensorByIndex(signature, i, &tensor) : api_.GetSignatureOutputTensorByIndex(signature, i, &tensor),
          "shows no tensor");
    Check(api_.GetTensorName(tensor, &name), "shows no tensor");
    std::size_t place = 0;
    while (place < own.size() && file.tensors[static_cast<std::size_t>(own[place])].name != name) ++place;
    order.push_back(place);
  }
  std::vector<bool> seen(own.size());
  for (const std::size_t place : order) {
    if (place < seen.size()) seen[place] = true;
  }
  if (order.size() != own.size() || std::count(seen.begin(), seen.end(), false) != 0) {
    throw Failure(Exit::kRefused, name_ +
                                      ": its first signature does not have the inputs and outputs of its first subgraph; "
                                      "export it with one subgraph and one signature");
  }
  return order;
}

void LitertSession::MakeBuffers(bool inputs, const TfliteFile& file, LiteRtSignature signature) {
  const std::vector<std::size_t> order = Order(inputs, file, signature);
  std::vector<TensorInfo>& infos = inputs ? inputs_ : outputs_;
  std::vector<void*>& memory = inputs ? input_memory_ : output_memory_;
  infos.resize(order.size());
  memory.assign(order.size(), nullptr);
  for (std::size_t i = 0; i < order.size(); ++i) {
    LiteRtTensor tensor = nullptr;
    LiteRtRankedTensorType type{};
    const char* name = nullptr;
    Check(inputs ? api_.GetSignatureInputTensorByIndex(signature, i, &tensor) : api_.GetSignatureOutputTensorByIndex(signature, i, &tensor),
          "shows no tensor");
    Check(api_.GetTensorName(tensor, &name), "shows no tensor");
    Check(api_.GetRankedTensorType(tensor, &type), "shows no shape of a tensor");
    TensorInfo& info = infos[order[i]];
    info.name = name;
    if (!ToElementType(type.element_type, &info.type)) {
      throw Failure(Exit::kRefused, name_ + ": tensor " + info.name + " is of type " + std::to_string(type.element_type) +
                                        "; the runner knows numbers and booleans");
    }
    info.bytes = SizeOf(info.type);
    for (unsigned axis = 0; axis < type.layout.rank && axis < 8; ++axis) {
      // A free size is -1 here; the file's own is 1.
      const std::int64_t size = type.layout.dimensions[axis] < 0 ? 1 : type.layout.dimensions[axis];
      type.layout.dimensions[axis] = static_cast<std::int32_t>(size);
      info.shape.push_back(size);
      if (__builtin_mul_overflow(info.bytes, static_cast<std::size_t>(size), &info.bytes)) throw std::bad_alloc();
    }
    LiteRtTensorBufferRequirements requirements = nullptr;
    std::size_t size = 0;
    Check(inputs ? api_.GetCompiledModelInputBufferRequirements(compiled_, 0, i, &requirements)
                 : api_.GetCompiledModelOutputBufferRequirements(compiled_, 0, i, &requirements),
          "does not say how large a tensor is");
    Check(api_.GetTensorBufferRequirementsBufferSize(requirements, &size), "does not say how large a tensor is");
    if (size < info.bytes) size = info.bytes;
    void*& block = memory[order[i]];
    std::size_t all = 0;
    if (__builtin_add_overflow(size, kExtraBytes, &all) || posix_memalign(&block, kAlignment, all) != 0) throw std::bad_alloc();
    std::memset(block, 0, all);
    LiteRtTensorBuffer buffer = nullptr;
    Check(api_.CreateTensorBufferFromHostMemory(&type, block, size, nullptr, &buffer), "takes no memory for a tensor");
    (inputs ? input_buffers_ : output_buffers_).push_back(buffer);
  }
}

class LitertRuntime : public Runtime {
 public:
  LitertRuntime(const Libraries& libraries, const Bytes& model, const std::string& name)
      : model_(model),
        name_(name),
        file_(Parse(model, name)),
        library_(libraries.runtime, {"libLiteRt.so"}, {"libLiteRt.so"}, kRuntimeAdvice),
        delegate_(libraries.delegate, "a TFLite file's binary operators are in it"),
        api_(LoadApi(library_)) {
    delegate_.Get("tflite_plugin_create_delegate", &functions_.create);
    delegate_.Get("tflite_plugin_destroy_delegate", &functions_.destroy);
    info_ = {"LiteRT", VersionInMetadata(library_.path()), library_.path(), delegate_.path(), delegate_.LevelName()};
    litert_api = &api_;
    delegate_api = &functions_;
  }

  const RuntimeInfo& info() const override { return info_; }

  std::unique_ptr<Session> Open(const SessionOptions& options) override {
    return std::make_unique<LitertSession>(api_, model_, file_, name_, options);
  }

 private:
  static TfliteFile Parse(const Bytes& model, const std::string& name) {
    try {
      return ParseTflite(model);
    } catch (const Damaged& error) {
      throw Failure(Exit::kRefused, name + " is damaged or not a TFLite file (" + error.what() + "): copy or export it again");
    }
  }

  const Bytes& model_;
  const std::string name_;
  const TfliteFile file_;
  const Library library_;
  const DelegateLibrary delegate_;
  const LitertApi api_;
  DelegateApi functions_{};
  RuntimeInfo info_;
};

}  // namespace

std::unique_ptr<Runtime> MakeLitert(const Libraries& libraries, const Bytes& model, const std::string& name) {
  return std::make_unique<LitertRuntime>(libraries, model, name);
}

}  // namespace fdabnn::runner
