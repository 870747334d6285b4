// A model loaded by a runtime: what LiteRT and ONNX Runtime have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runner/element_type.h"
#include "runner/file.h"

namespace fdabnn::runner {

struct TensorInfo {
  std::string name;
  ElementType type;
  std::vector<std::int64_t> shape;  // with the batch
  std::size_t bytes;
};

// What ran in a session, in order, and how long each run took.
struct OpTimes {
  std::string name;
  std::string type;
  std::string kernel;
  std::int64_t node = -1;             // -1 where it is not known
  std::vector<std::int64_t> nodes;    // operators of the file that it stands for
  std::vector<std::int64_t> samples;  // nanoseconds
  std::size_t events = 0;             // times that the runtime has taken, in all runs: more than one in a run inside a loop
};

// Gets a tensor inside the model as soon as an operator has written it.
using Observer = std::function<void(const std::string& name, const void* data, std::size_t bytes)>;

// How much our delegate runs as one: nothing but differences of convolutions; groups that are then operators of their own; or whole parts
// of the file.
enum class Fusion { kNone, kGroups, kAll };

struct SessionOptions {
  int threads = 1;
  bool xnnpack = true;
  Fusion fusion = Fusion::kAll;
  bool trace = false;  // times operators, and lets an observer see tensors
};

// Where the libraries are: paths, or "" for the places where they are looked for.
struct Libraries {
  std::string runtime;
  std::string delegate;
};

struct RuntimeInfo {
  std::string name;
  std::string version;  // "" where the library does not say
  std::string path;
  std::string delegate;  // its path, "" for none
  std::string kernels;   // the delegate's level, "" for none
};

// One run at a time. Functions throw Failure: refused where the runtime does not take the model, missing where a library is.
class Session {
 public:
  virtual ~Session() = default;

  const std::vector<TensorInfo>& inputs() const { return inputs_; }
  const std::vector<TensorInfo>& outputs() const { return outputs_; }

  // Memory of the inputs, to be written before a run, and of the outputs, to be read after one.
  virtual void* Input(std::size_t index) = 0;
  virtual const void* Output(std::size_t index) = 0;

  virtual void Run() = 0;

  // Of a session that traces. Whether tensors inside the model can be observed; if not, the observer is never called.
  // By value, as those that keep it want it. NOLINTNEXTLINE(performance-unnecessary-value-param)
  virtual bool Observe(Observer) { return false; }

  // Of a session that traces, once, after its runs: times of all runs but the first `skipped`.
  virtual std::vector<OpTimes> Ops(std::size_t skipped) = 0;

 protected:
  std::vector<TensorInfo> inputs_;
  std::vector<TensorInfo> outputs_;
};

// A runtime with a model. Sessions of one model may follow one another.
class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual const RuntimeInfo& info() const = 0;
  virtual std::unique_ptr<Session> Open(const SessionOptions& options) = 0;
};

// `model` has to live as long as the runtime; `name` is for messages. They throw Failure, where the file is damaged, too.
std::unique_ptr<Runtime> MakeLitert(const Libraries& libraries, const Bytes& model, const std::string& name);
std::unique_ptr<Runtime> MakeOnnxRuntime(const Libraries& libraries, const Bytes& model, const std::string& name);

}  // namespace fdabnn::runner
