#include "runner/inputs.h"

#include <algorithm>
#include <cstring>

#include "runner/failure.h"

namespace fdabnn::runner {
namespace {

// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
class Splitmix64 {
 public:
  std::uint64_t Next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }

 private:
  std::uint64_t state_ = 0;
};

std::string Shape(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += (text.size() == 1 ? "" : ", ") + std::to_string(size);
  return text + "]";
}

void CheckTensors(const char* kind, const std::vector<TensorInfo>& infos, const std::vector<Tensor>& tensors, std::size_t batch,
                  const std::string& name) {
  if (infos.size() != tensors.size()) {
    throw Failure(Exit::kRefused, name + " has " + std::to_string(tensors.size()) + " " + kind + "s, the model " +
                                      std::to_string(infos.size()) + ": it is of another model");
  }
  for (std::size_t i = 0; i < infos.size(); ++i) {
    std::vector<std::int64_t> shape = tensors[i].shape;
    // An output that does not have the batch in front is one image's as a whole.
    const bool whole = batch == 1 && infos[i].shape == shape;
    shape.insert(shape.begin(), static_cast<std::int64_t>(batch));
    if (infos[i].type != tensors[i].type || !(whole || infos[i].shape == shape)) {
      throw Failure(Exit::kRefused, name + ": its " + kind + " " + tensors[i].name + " is " + NameOf(tensors[i].type) + " " + Shape(shape) +
                                        ", the model's " + infos[i].name + " " + NameOf(infos[i].type) + " " + Shape(infos[i].shape) +
                                        ": it is of another model");
    }
  }
}

}  // namespace

std::size_t Batch(const Session& session) {
  if (session.inputs().empty() || session.inputs()[0].shape.empty() || session.inputs()[0].shape[0] < 1) return 1;
  return static_cast<std::size_t>(session.inputs()[0].shape[0]);
}

void CheckFits(const Session& session, const Capsule& capsule, const std::string& name) {
  CheckTensors("input", session.inputs(), capsule.inputs, Batch(session), name);
  CheckTensors("output", session.outputs(), capsule.outputs, Batch(session), name);
}

void FillFrom(const Capsule& capsule, std::size_t first, Session* session) {
  const std::size_t batch = Batch(*session);
  const std::size_t count = first < capsule.count ? std::min(batch, capsule.count - first) : 0;
  for (std::size_t i = 0; i < capsule.inputs.size(); ++i) {
    const Tensor& input = capsule.inputs[i];
    auto* memory = static_cast<std::uint8_t*>(session->Input(i));
    std::copy_n(input.values.data() + first * input.bytes, count * input.bytes, memory);
    std::fill_n(memory + count * input.bytes, (batch - count) * input.bytes, std::uint8_t{0});
  }
}

void FillGenerated(Session* session) {
  Splitmix64 random;
  for (std::size_t i = 0; i < session->inputs().size(); ++i) {
    const TensorInfo& info = session->inputs()[i];
    auto* bytes = static_cast<std::uint8_t*>(session->Input(i));
    for (std::size_t place = 0; place < info.bytes; place += SizeOf(info.type)) {
      const std::uint64_t number = random.Next();
      const float value = static_cast<float>(number >> 40) * 0x1p-23f - 1.0f;
      switch (info.type) {
        case ElementType::kFloat32:
          std::memcpy(bytes + place, &value, sizeof value);
          break;
        case ElementType::kInt8:
        case ElementType::kUint8:
          bytes[place] = static_cast<std::uint8_t>(number >> 56);
          break;
        case ElementType::kBool:
          bytes[place] = static_cast<std::uint8_t>(number >> 63);
          break;
        default:
          std::memset(bytes + place, 0, SizeOf(info.type));
      }
    }
  }
}

}  // namespace fdabnn::runner
