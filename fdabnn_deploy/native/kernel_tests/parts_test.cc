// The parts of kernels: where windows lie, what zero padding takes, how threads share the work, and loops over floats.
#include <doctest/doctest.h>

#include <cmath>
#include <mutex>

#include "kernel_tests/cases.h"
#include "kernels/bconv_driver.h"
#include "kernels/dense.h"
#include "kernels/layer_finish.h"
#include "kernels/padding_correction.h"

namespace fdabnn {
namespace {

TEST_CASE("windows lie where the formulas of SAME and VALID put them") {
  Random random(1);
  for (int round = 0; round < 3000; ++round) {
    Windows w;
    w.kernel_h = random.Between(1, 7);
    w.kernel_w = random.Between(1, 7);
    w.stride_h = random.Between(1, 4);
    w.stride_w = random.Between(1, 4);
    w.dilation_h = random.Between(1, 3);
    w.dilation_w = random.Between(1, 3);
    w.same_padding = random.Between(0, 1) == 1;
    w.pad_top = random.Between(-1, 7);
    w.pad_right = random.Between(0, 7);
    const bool right = 0 <= w.pad_top && w.pad_top <= (w.kernel_h - 1) * w.dilation_h && w.pad_right <= (w.kernel_w - 1) * w.dilation_w;
    CHECK((RefusePadding(w) == nullptr) == right);
    if (!right) continue;
    const int height = random.Between(1, 20), width = random.Between(1, 20);
    const auto rows = reference::PlaceAxis(height, w.kernel_h, w.stride_h, w.dilation_h, w.same_padding, w.pad_top, w.pad_bottom);
    const auto columns = reference::PlaceAxis(width, w.kernel_w, w.stride_w, w.dilation_w, w.same_padding, w.pad_left, w.pad_right);
    ImageSize size;
    std::string error;
    REQUIRE(PlaceWindows(w, height, width, &size, &error) == (rows.out >= 1 && columns.out >= 1));
    if (rows.out < 1 || columns.out < 1) continue;
    CHECK(size.out_h == rows.out);
    CHECK(size.out_w == columns.out);
    CHECK(size.pad_top == rows.before);
    CHECK(size.pad_left == columns.before);
  }
}

TEST_CASE("a padding correction is what the filter has outside of the image") {
  Random random(2);
  for (int done = 0; done < 150;) {
    const BinaryConvParams p = DrawBinaryLayer(random);
    const Batch batch = {1, random.Between(1, 9), random.Between(1, 9)};
    if (!IsWorthwhile(p, batch, ProductsOfPixel(p))) continue;
    ++done;
    CAPTURE(Describe(p, batch));
    const int depth = p.channels_in / p.groups;
    const std::size_t taps = reference::CountOf({p.channels_out, p.kernel_h, p.kernel_w});
    const Exact<Word> words = DrawSigns(random, taps, depth);
    const std::vector<int> filter = reference::Unpack(words.data(), taps, depth);
    const SignImages input(random, batch, p.channels_in);
    const auto as_one = reference::Products(p, input.signs, filter, 1), as_zero = reference::Products(p, input.signs, filter, 0);
    ImageSize size;
    std::string error;
    REQUIRE(PlaceWindows(p, batch.height, batch.width, &size, &error));
    PaddingCorrection correction(p, words.data());
    correction.Resize(size);
    CHECK(correction.empty() != IsZeroPadded(p));
    if (correction.empty()) continue;
    for (int y = 0; y < size.out_h; ++y) {
      for (int x = 0; x < size.out_w; ++x) {
        const std::int32_t row = correction.row_class()[static_cast<std::size_t>(y)];
        const std::int32_t found = row * correction.column_classes() + correction.column_class()[static_cast<std::size_t>(x)];
        REQUIRE(static_cast<std::size_t>(found) < correction.classes());
        CHECK((found == 0) == reference::IsInside(p, batch.height, batch.width, y, x));
        for (int c = 0; c < p.channels_out; ++c) {
          CHECK(correction.Outside(static_cast<std::size_t>(found), c) == as_one.at(0, y, x, c) - as_zero.at(0, y, x, c));
        }
      }
    }
  }
}

TEST_CASE("threads share all rows of a batch, each once") {
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    BinaryConvParams p;
    p.channels_in = random.OneOf({1, 64, 4096});
    p.channels_out = random.OneOf({1, 64, 1024});
    BconvShape shape;
    shape.out_h = random.Between(1, 40);
    shape.out_w = random.Between(1, 60);
    const int batch = random.Between(0, 3);
    ThreadPool pool(random.Between(1, 4));
    std::mutex mutex;
    std::vector<int> times(reference::CountOf({batch, shape.out_h}));
    bool sound = true;
    RunParts(p, shape, batch, pool, [&](int worker, std::int64_t image, int begin, int end) {
      const std::lock_guard<std::mutex> lock(mutex);
      sound = sound && 0 <= worker && worker < pool.threads() && begin < end && end <= shape.out_h;
      for (int row = begin; row < end; ++row) ++times[static_cast<std::size_t>(image * shape.out_h + row)];
    });
    CHECK(sound);
    CHECK(times == std::vector<int>(times.size(), 1));
  }
}

TEST_CASE("threads share all channels of all images of a dense layer, each once") {
  Random random(4);
  for (int round = 0; round < 300; ++round) {
    BinaryConvParams p;
    p.channels_in = random.OneOf({1, 64, 1 << 15});
    p.channels_out = random.Between(1, 500);
    const int batch = random.Between(0, 20), most = random.Between(1, 16);
    ThreadPool pool(random.Between(1, 4));
    std::mutex mutex;
    std::vector<int> times(reference::CountOf({batch, p.channels_out}));
    bool sound = true;
    RunDense(p, batch, most, pool, [&](int worker, const DensePart& part) {
      const std::lock_guard<std::mutex> lock(mutex);
      sound = sound && 0 <= worker && worker < pool.threads() && part.channel % kDenseChannels == 0 && part.images <= most;
      sound = sound && (part.images == 1 || part.channels == p.channels_out);
      for (int i = 0; i < part.images; ++i) {
        for (int c = 0; c < part.channels; ++c) ++times[static_cast<std::size_t>((part.image + i) * p.channels_out + part.channel + c)];
      }
    });
    CHECK(sound);
    CHECK(times == std::vector<int>(times.size(), 1));
  }
}

TEST_CASE("a bit behind the last channel is found wherever it is") {
  Random random(5);
  for (int round = 0; round < 300; ++round) {
    const int channels = random.Between(1, 130), rows = random.Between(1, 9);
    Exact<Word> words = DrawSigns(random, static_cast<std::size_t>(rows), channels);
    CHECK(OnlyChannels(words.data(), static_cast<std::size_t>(rows), channels));
    if (channels % kWordBits == 0) continue;
    const int depth = WordsFor(channels), last = depth * random.Between(1, rows) - 1;
    words.data()[last] |= Word{1} << random.Between(channels % kWordBits, kWordBits - 1);
    CHECK_FALSE(OnlyChannels(words.data(), static_cast<std::size_t>(rows), channels));
  }
}

TEST_CASE("digits of values") {
  Random random(6);
  for (int round = 0; round < 100; ++round) {
    Digits digits = {};
    digits.limited = random.Between(0, 1) == 1;
    digits.low = -2.5f;
    digits.high = 3.25f;
    digits.count = random.Between(1, kMostDigits);
    for (int k = 0; k < digits.count; ++k) digits.units[k] = std::ldexp(1.0f, random.Between(-3, 3) + 6 * k);
    const std::size_t count = static_cast<std::size_t>(random.Between(0, 70));
    const Exact<float> x(count, [&] { return random.Float() * 1.0625f; });
    std::vector<std::vector<float>> expected(static_cast<std::size_t>(digits.count) + 1);
    for (std::size_t i = 0; i < count; ++i) {
      float v = x.data()[i];
      if (digits.limited) v = std::fmax(std::fmin(v, digits.high), digits.low);
      for (int k = 0; k < digits.count; ++k) {
        const float y = std::nearbyint(v * digits.units[k]) * (1 / digits.units[k]);
        expected[static_cast<std::size_t>(k)].push_back(y);
        v = v - y;
      }
      expected.back().push_back(v);
    }
    for (const Level level : SupportedLevels()) {
      CAPTURE(Name(level));
      std::vector<Exact<float>> found;
      found.reserve(expected.size());
      for (std::size_t k = 0; k < expected.size(); ++k) found.emplace_back(count);
      float* outputs[kMostDigits + 1] = {};
      for (std::size_t k = 0; k < found.size(); ++k) outputs[k] = found[k].data();
      LayerLoopsOf(level).digits(digits, x.data(), count, outputs);
      for (std::size_t k = 0; k < found.size(); ++k) CHECK(BitsOf(ToVector(found[k])) == BitsOf(expected[k]));
    }
  }
}

TEST_CASE("rows and columns change places") {
  Random random(7);
  for (int round = 0; round < 100; ++round) {
    const std::size_t rows = static_cast<std::size_t>(random.Between(1, 40)), columns = static_cast<std::size_t>(random.Between(1, 40));
    const Exact<float> from(rows * columns, [&] { return random.Float(); });
    std::vector<float> expected;
    for (std::size_t c = 0; c < columns; ++c) {
      for (std::size_t r = 0; r < rows; ++r) expected.push_back(from.data()[r * columns + c]);
    }
    for (const Level level : SupportedLevels()) {
      CAPTURE(Name(level));
      Exact<float> to(rows * columns);
      LayerLoopsOf(level).transpose(from.data(), columns, rows, columns, to.data(), rows);
      CHECK(ToVector(to) == expected);
    }
  }
}

}  // namespace
}  // namespace fdabnn
