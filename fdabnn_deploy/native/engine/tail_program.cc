#include "engine/tail_program.h"

#include <algorithm>
#include <map>
#include <utility>

namespace fdabnn::engine {
namespace {

using Operator = Pointwise::Operator;

// How far a kLayer step has come: what is computed behind may be added to it.
enum class Stage { kNone, kSlope, kScale, kOffset, kResidual };

class Maker {
 public:
  Maker(const Graph& graph, const Group& group, const std::vector<bool>& tensors)
      : graph_(graph), group_(group), tensors_(tensors), uses_(graph.types.size(), 0) {
    for (const int node : group.tail) {
      for (const int value : NodeAt(node).inputs) ++uses_[static_cast<std::size_t>(value)];
    }
  }

  std::vector<PointwiseStep> Make() {
    for (const int node : group_.tail) {
      if (std::holds_alternative<Signs>(NodeAt(node).what)) {
        AddSigns(NodeAt(node));
      } else {
        AddPointwise(NodeAt(node), std::get<Pointwise>(NodeAt(node).what));
      }
    }
    return std::move(steps_);
  }

 private:
  const Node& NodeAt(int node) const { return graph_.nodes[static_cast<std::size_t>(node)]; }

  // The step that writes a value; -1 where it comes from outside.
  int StepOf(int value) const {
    const auto found = step_of_.find(value);
    return found == step_of_.end() ? -1 : found->second;
  }

  // The step that a kLayer operator on a value can become part of; -1 where there is none.
  int Open(int value, Stage stage) const {
    const int step = StepOf(value);
    if (step < 0 || uses_[static_cast<std::size_t>(value)] != 1 || tensors_[static_cast<std::size_t>(value)]) return -1;
    return stages_[static_cast<std::size_t>(step)] < stage && steps_[static_cast<std::size_t>(step)].signs < 0 ? step : -1;
  }

  // A step that does nothing yet.
  int NewStep(PointwiseKind kind, int a) {
    PointwiseStep step;
    step.kind = kind;
    step.a = a;
    steps_.push_back(std::move(step));
    // Others than kLayer take nothing in.
    stages_.push_back(kind == PointwiseKind::kLayer ? Stage::kNone : Stage::kResidual);
    return static_cast<int>(steps_.size()) - 1;
  }

  // The step gets a new result.
  void Finish(int step, int value) {
    steps_[static_cast<std::size_t>(step)].result = value;
    step_of_[value] = step;
  }

  void AddSigns(const Node& node) {
    const int value = node.inputs[0];
    int step = StepOf(value);
    if (step < 0 || steps_[static_cast<std::size_t>(step)].kind != PointwiseKind::kLayer ||
        steps_[static_cast<std::size_t>(step)].signs >= 0) {
      step = NewStep(PointwiseKind::kLayer, value);
    }
    steps_[static_cast<std::size_t>(step)].signs = node.output;
  }

  std::vector<float> Constant(const Pointwise& pointwise, float factor = 1) const {
    const std::vector<float>& given = pointwise.constant;
    std::vector<float> values = given.size() == 1 ? std::vector<float>(static_cast<std::size_t>(group_.shape.c), given[0]) : given;
    for (float& value : values) value *= factor;
    return values;
  }

  void AddPointwise(const Node& node, const Pointwise& pointwise) {
    if (node.inputs.size() == 2) return AddPair(node, pointwise.op);
    switch (pointwise.op) {
      case Operator::kPrelu:
        return AddToLayer(node, Stage::kSlope, &PointwiseStep::slope, Constant(pointwise));
      case Operator::kMultiply:
        return AddToLayer(node, Stage::kScale, &PointwiseStep::scale, Constant(pointwise));
      case Operator::kAdd:
        return AddToLayer(node, Stage::kOffset, &PointwiseStep::offset, Constant(pointwise));
      case Operator::kSubtract:
        if (!pointwise.constant_first) return AddToLayer(node, Stage::kOffset, &PointwiseStep::offset, Constant(pointwise, -1));
        // c - x is -x + c.
        AddToLayer(node, Stage::kScale, &PointwiseStep::scale, std::vector<float>(static_cast<std::size_t>(group_.shape.c), -1.0f));
        return AddOffset(step_of_.at(node.output), Constant(pointwise));
      case Operator::kRound:
        return Finish(NewStep(PointwiseKind::kRound, node.inputs[0]), node.output);
      case Operator::kMinimum:
      case Operator::kMaximum:
        const int step = NewStep(pointwise.op == Operator::kMinimum ? PointwiseKind::kMinimum : PointwiseKind::kMaximum, node.inputs[0]);
        steps_[static_cast<std::size_t>(step)].constant = Constant(pointwise);
        return Finish(step, node.output);
    }
  }

  void AddToLayer(const Node& node, Stage stage, std::vector<float> PointwiseStep::* part, std::vector<float> constant) {
    int step = Open(node.inputs[0], stage);
    if (step < 0) step = NewStep(PointwiseKind::kLayer, node.inputs[0]);
    steps_[static_cast<std::size_t>(step)].*part = std::move(constant);
    stages_[static_cast<std::size_t>(step)] = stage;
    Finish(step, node.output);
  }

  void AddOffset(int step, std::vector<float> constant) {
    steps_[static_cast<std::size_t>(step)].offset = std::move(constant);
    stages_[static_cast<std::size_t>(step)] = Stage::kOffset;
  }

  void AddPair(const Node& node, Operator op) {
    const int a = node.inputs[0], b = node.inputs[1];
    if (op == Operator::kAdd || op == Operator::kSubtract) return AddResidual(node, a, b, op == Operator::kSubtract);
    const PointwiseKind kind = op == Operator::kMultiply  ? PointwiseKind::kMultiply
                               : op == Operator::kMinimum ? PointwiseKind::kMinimum
                                                          : PointwiseKind::kMaximum;
    const int step = NewStep(kind, a);
    steps_[static_cast<std::size_t>(step)].b = b;
    Finish(step, node.output);
  }

  void AddResidual(const Node& node, int a, int b, bool subtract) {
    // The other operand has to be there when the step runs.
    const int of_a = Open(a, Stage::kResidual), of_b = Open(b, Stage::kResidual);
    int step = -1, other = -1;
    Residual residual = Residual::kAdd;
    if (of_a >= 0 && StepOf(b) < of_a) {
      step = of_a, other = b, residual = subtract ? Residual::kSubtract : Residual::kAdd;
    } else if (of_b >= 0 && StepOf(a) < of_b) {
      step = of_b, other = a, residual = subtract ? Residual::kSubtractFrom : Residual::kAdd;
    } else {
      step = NewStep(PointwiseKind::kLayer, a), other = b, residual = subtract ? Residual::kSubtract : Residual::kAdd;
    }
    steps_[static_cast<std::size_t>(step)].b = other;
    steps_[static_cast<std::size_t>(step)].residual = residual;
    stages_[static_cast<std::size_t>(step)] = Stage::kResidual;
    Finish(step, node.output);
  }

  const Graph& graph_;
  const Group& group_;
  const std::vector<bool>& tensors_;
  std::vector<int> uses_;  // of a value, in the tail
  std::vector<PointwiseStep> steps_;
  std::vector<Stage> stages_;
  std::map<int, int> step_of_;  // by value
};

// Replaces values by places.
class Placer {
 public:
  Placer(const Graph& graph, const Group& group, const std::vector<bool>& tensors, TailProgram* program)
      : tensors_(tensors), program_(*program) {
    if (group.head >= 0) head_ = graph.nodes[static_cast<std::size_t>(group.head)].output;
  }

  void Place(std::vector<PointwiseStep>* steps) {
    std::map<int, std::size_t> last;  // step that reads a value
    for (std::size_t i = 0; i < steps->size(); ++i) {
      for (const int value : {(*steps)[i].a, (*steps)[i].b}) last[value] = i;
    }
    for (std::size_t i = 0; i < steps->size(); ++i) {
      PointwiseStep& step = (*steps)[i];
      const int a = step.a, b = step.b, result = step.result;
      // Of a value that nobody reads, only the signs are wanted.
      const bool wanted = result >= 0 && (tensors_[static_cast<std::size_t>(result)] || last.count(result) != 0);
      step.a = Find(a);
      step.b = b < 0 ? -1 : Find(b);
      if (step.signs >= 0) {
        step.signs = Find(step.signs);
        program_.places[static_cast<std::size_t>(step.signs)].signs = true;
      }
      for (const int value : {a, b}) {
        if (value >= 0 && last[value] == i) Free(value);
      }
      // An operator of single values may write where it has read.
      step.result = wanted ? Find(result) : -1;
    }
  }

 private:
  int Find(int value) {
    const auto found = places_.find(value);
    if (found != places_.end()) return found->second;
    TailProgram::Place place;
    if (tensors_[static_cast<std::size_t>(value)] || value == head_) {
      place.value = value;
    } else if (free_.empty()) {
      place.scratch = program_.scratches++;
    } else {
      place.scratch = free_.back();
      free_.pop_back();
    }
    program_.places.push_back(place);
    const int number = static_cast<int>(program_.places.size()) - 1;
    if (value == head_ && !tensors_[static_cast<std::size_t>(value)]) program_.head_place = number;
    return places_[value] = number;
  }

  void Free(int value) {
    const TailProgram::Place& place = program_.places[static_cast<std::size_t>(places_.at(value))];
    const bool listed = std::find(free_.begin(), free_.end(), place.scratch) != free_.end();
    if (place.scratch >= 0 && !listed) free_.push_back(place.scratch);
  }

  const std::vector<bool>& tensors_;
  TailProgram& program_;
  int head_ = -1;
  std::map<int, int> places_;  // by value
  std::vector<int> free_;      // scratch memory
};

// Drops steps whose results nobody wants.
void DropUnused(const std::vector<bool>& tensors, std::vector<PointwiseStep>* steps) {
  std::vector<bool> read(tensors.size(), false);
  for (std::size_t i = steps->size(); i-- > 0;) {
    PointwiseStep& step = (*steps)[i];
    const auto wanted = [&](int value) {
      return value >= 0 && (tensors[static_cast<std::size_t>(value)] || read[static_cast<std::size_t>(value)]);
    };
    if (!wanted(step.signs)) step.signs = -1;
    if (!wanted(step.result) && step.signs < 0) {
      steps->erase(steps->begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    for (const int value : {step.a, step.b}) {
      if (value >= 0) read[static_cast<std::size_t>(value)] = true;
    }
  }
}

}  // namespace

TailProgram MakeTailProgram(const Graph& graph, const Group& group, const std::vector<bool>& tensors, Level level) {
  TailProgram tail;
  std::vector<PointwiseStep> steps = Maker(graph, group, tensors).Make();
  DropUnused(tensors, &steps);
  Placer(graph, group, tensors, &tail).Place(&steps);
  tail.program = PointwiseProgram(std::move(steps), group.shape.c, level);
  return tail;
}

}  // namespace fdabnn::engine
