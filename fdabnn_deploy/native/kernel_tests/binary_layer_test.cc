#include <doctest/doctest.h>

#include "kernel_tests/cases.h"

namespace fdabnn {
namespace {

// The constants of a layer other than its filters; those left out are empty.
struct Epilogue {
  Epilogue(Random& random, int channels)
      : slope(Maybe(random, channels)), scale(Maybe(random, channels)), offset(Maybe(random, channels)) {}

  static std::vector<float> Maybe(Random& random, int channels) {
    std::vector<float> values(random.Between(0, 1) == 1 ? static_cast<std::size_t>(channels) : 0);
    for (float& value : values) value = random.Float();
    return values;
  }

  static const float* Pointer(const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }

  std::vector<float> slope, scale, offset;
};

void Check(Random& random, const BinaryLayerParams& p, const Batch& batch) {
  const SignImages input(random, batch, p.channels_in);
  const Exact<Word> filter = DrawSigns(random, reference::CountOf({p.channels_out, p.kernel_h, p.kernel_w}), p.channels_in / p.groups);
  const Epilogue epilogue(random, p.channels_out);
  const BinaryLayerConstants constants = {filter.data(), Epilogue::Pointer(epilogue.slope), Epilogue::Pointer(epilogue.scale),
                                          Epilogue::Pointer(epilogue.offset)};
  // The size of the output, from a run without a residual.
  reference::Images<float> residual = reference::Layer(p, constants, input.signs, nullptr);
  for (float& value : residual.values) value = random.Float();
  const bool adds = random.Between(0, 1) == 1;
  const reference::Images<float> expected = reference::Layer(p, constants, input.signs, adds ? &residual : nullptr);

  const std::vector<float> added = p.planes ? reference::ToPlanes(residual) : residual.values;
  const std::vector<float> values = p.planes ? reference::ToPlanes(expected) : expected.values;
  const std::vector<Word> words = reference::Pack(reference::SignsOf(expected.values), p.channels_out);
  const bool wants_values = random.Between(0, 3) > 0, wants_signs = random.Between(0, 3) > 0;
  ThreadPool pool(random.Between(1, 3));
  for (const Level level : SupportedLevels()) {
    CAPTURE(Name(level));
    std::string error;
    const auto layer = BinaryLayer::Create(p, constants, level, &error);
    REQUIRE_MESSAGE(layer != nullptr, error);
    REQUIRE_MESSAGE(layer->Resize(batch.height, batch.width, &error), error);
    CHECK(layer->out_height() == expected.height);
    CHECK(layer->out_width() == expected.width);
    Exact<float> found(values.size());
    Exact<Word> packed(words.size());
    const BinaryLayerTensors tensors = {input.words.data(), adds ? added.data() : nullptr, wants_values ? found.data() : nullptr,
                                        wants_signs ? packed.data() : nullptr};
    REQUIRE(RunInWorkspace(*layer, tensors, batch.images, pool) == nullptr);
    if (wants_values) CHECK(BitsOf(ToVector(found)) == BitsOf(values));
    if (wants_signs) CHECK(ToVector(packed) == words);
  }
}

TEST_CASE("binary layers of drawn shapes") {
  Random random(1);
  for (int done = 0; done < 300;) {
    const BinaryLayerParams p = DrawBinaryLayer(random);
    const Batch batch = DrawBatch(random);
    if (!IsWorthwhile(p, batch, ProductsOfPixel(p))) continue;
    ++done;
    CAPTURE(Describe(p, batch));
    Check(random, p, batch);
  }
}

TEST_CASE("dense binary layers") {
  Random random(2);
  for (int round = 0; round < 60; ++round) {
    BinaryLayerParams p;
    p.channels_in = random.Between(1, 700);
    p.channels_out = random.OneOf({1, 7, 64, 65, 130, 260});
    p.planes = random.Between(0, 1) == 1;
    const Batch batch = {random.Between(0, 20), 1, 1};
    CAPTURE(Describe(p, batch));
    Check(random, p, batch);
  }
}

}  // namespace
}  // namespace fdabnn
