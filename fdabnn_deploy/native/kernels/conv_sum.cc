#include "kernels/conv_sum.h"

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>

#include "kernels/aligned_buffer.h"
#include "kernels/conv_sum_band.h"
#include "kernels/conv_sum_finish.h"
#include "kernels/conv_sum_octets.h"
#include "kernels/conv_sum_plan.h"
#include "kernels/conv_sum_whole.h"
#include "kernels/layer_finish.h"

namespace fdabnn {
namespace {

constexpr double kMostBytes = 1e12;  // of anything: beyond every memory, and far below where sizes overflow

// Weights that a tile reads at once stay in the first-level cache together with the tile's pixels, what a strip of rows works on in the
// second.
constexpr std::int64_t kChunkBytes = 24 << 10;
constexpr std::int64_t kBandBytes = 512 << 10;
constexpr std::int64_t kSlotBytes = 256 << 10;

constexpr std::int64_t kFewestPixels = 48;  // of a strip: every one of them reads all the weights
constexpr std::int64_t kStrips = 8;         // of an image, for threads to share

const ConvSumLevel& LevelOf(Level level) {
  switch (level) {
#if defined(__x86_64__)
    case Level::kPopcnt:
      return kConvSumPopcnt;
    case Level::kAvx2:
      return kConvSumAvx2;
    case Level::kAvx512:
      return kConvSumAvx512;
#elif defined(__aarch64__)
    case Level::kNeon:
    case Level::kNeonLookup:
      return kConvSumNeon;
#endif
    default:
      return kConvSumScalar;
  }
}

// Null, or why the parameters are refused.
const char* Refusal(const ConvSumParams& p, const std::vector<ConvSumTerm>& terms) {
  if (std::min({p.channels_in, p.channels_out, p.kernel_h, p.kernel_w}) < 1) return "its filter is empty";
  if (std::min({p.stride_h, p.stride_w, p.dilation_h, p.dilation_w}) < 1) return "a stride or dilation is below 1";
  if (const char* refusal = RefusePadding(p)) return refusal;
  if (terms.empty() || terms.size() > 0xffff) return "it has no convolution, or too many";
  for (const ConvSumTerm& term : terms) {
    if (term.input < 0 || term.input > 0xffff) return "it has too many inputs";
    if (p.octets && term.input != 0) return "it has another input beside the bytes";
    if (term.filter == nullptr || term.bias == nullptr) return "a filter or bias is missing";
  }
  const double bytes = 4.0 * p.channels_out * p.kernel_h * p.kernel_w * p.channels_in * static_cast<double>(terms.size());
  return bytes < kMostBytes ? nullptr : "its filters are too large";
}

// Likewise of offsets at the borders.
const char* RefuseBorder(const ConvSumBorder& border, int channels) {
  if (border.rows.empty() != border.columns.empty()) return "its offsets have rows or columns only";
  if (border.rows.empty()) return nullptr;
  std::size_t classes = 1;
  for (const std::vector<int>* places : {&border.rows, &border.columns}) {
    if (*std::min_element(places->begin(), places->end()) < 0) return "a class of its offsets is below 0";
    classes *= 1 + static_cast<std::size_t>(*std::max_element(places->begin(), places->end()));
  }
  return border.offset.size() == classes * static_cast<std::size_t>(channels) ? nullptr : "it has other offsets than classes";
}

// Output channels that are computed together.
struct Block {
  int vectors_place;   // in kConvSumVectors
  std::int64_t first;  // channel
  std::int64_t width;  // channels; the last block's go beyond the output's
};

class ConvSumImpl : public ConvSum {
 public:
  ConvSumImpl(const ConvSumParams& params, const std::vector<ConvSumTerm>& terms, const std::vector<int>& expression, ConvSumPlan plan,
              ConvSumBorder border, Level level)
      : ConvSum(params),
        params_(params),
        level_(LevelOf(level)),
        border_(std::move(border)),
        octets_level_(OctetsOf(level)),
        whole_level_(WholeOf(level)),
        whole_(WholeOf(level)),
        transpose_(LayerLoopsOf(level).transpose),
        plan_(std::move(plan)),
        steps_(std::int64_t{1} * params.kernel_h * params.kernel_w * params.channels_in),
        band_(params.channels_in, params.planes, level) {
    const std::int64_t vectors = (params.channels_out + level_.lanes - 1) / level_.lanes;
    std::vector<std::int64_t> widths;
    for (std::int64_t done = 0; done < vectors; done += kConvSumVectors[blocks_.back().vectors_place]) {
      int place = 0;
      while (place < 2 && kConvSumVectors[place + 1] <= std::min<std::int64_t>(level_.max_vectors, vectors - done)) ++place;
      widths.push_back(std::int64_t{kConvSumVectors[place]} * level_.lanes);
      blocks_.push_back({place, done * level_.lanes, widths.back()});
    }
    channels_ = vectors * level_.lanes;
    for (const ConvSumTerm& term : terms) {
      inputs_.push_back(term.input);
      input_count_ = std::max(input_count_, term.input + 1);
      packed_.push_back(Pack(term));
    }
    if (octets_level_ != nullptr && (params.octets || octets_level_->convert != nullptr))
      octets_ = PackOctets(params, terms, expression, widths);
    for (std::size_t i = 0; whole_ != nullptr && i < terms.size(); ++i) {
      whole_terms_.emplace_back();
      whole_bits_ = std::min(whole_bits_, PackWhole(params, terms[i], widths, &whole_terms_.back()));
      if (whole_bits_ == 0) {
        whole_ = nullptr;
        whole_terms_.clear();
      }
    }
    std::vector<bool> is_zero(whole_terms_.size());
    std::transform(whole_terms_.begin(), whole_terms_.end(), is_zero.begin(), [](const ConvSumWholeTerm& term) { return term.zero; });
    // Of whole numbers, which are finite: a zero times them is one. It needs no more slots than the whole tree.
    if (whole_ != nullptr) PlanConvSum(WithoutZeros(expression, is_zero), static_cast<int>(terms.size()), &whole_plan_);
  }

  const char* Run(const ConvSumTensors& tensors, int batch, ThreadPool& pool, void* workspace) const override {
    struct Job {
      const ConvSumImpl& conv;
      const ConvSumTensors& tensors;
      void* workspace;
      std::int64_t strips;
      std::int64_t parts;
      std::atomic<std::int64_t> next;
    };
    const std::int64_t strips = (out_height() + strip_h_ - 1) / strip_h_;
    Job job{*this, tensors, workspace, strips, strips * batch, {0}};
    pool.Run(
        static_cast<int>(std::min<std::int64_t>(pool.threads(), job.parts)),
        [](void* context, int worker) {
          Job& j = *static_cast<Job*>(context);
          auto* bands = reinterpret_cast<float*>(j.conv.WorkerSpace(j.workspace, worker));
          for (std::int64_t part = j.next++; part < j.parts; part = j.next++) {
            j.conv.RunStrip(j.tensors, worker, part / j.strips, part % j.strips * j.conv.strip_h_, bands);
          }
        },
        &job);
    return nullptr;
  }

  int SinkRows() const override { return static_cast<int>(strip_h_); }

 private:
  bool Fit(const ImageSize& s, std::string* error) override {
    const ConvSumParams& p = params_;
    const std::int64_t band_w = (s.out_w - std::int64_t{1}) * p.stride_w + (p.kernel_w - std::int64_t{1}) * p.dilation_w + 1;
    const std::int64_t reach = (p.kernel_h - std::int64_t{1}) * p.dilation_h + 1;
    const double row_bytes = 4.0 * p.channels_in * static_cast<double>(band_w) * input_count_;
    const double slot_bytes = 4.0 * s.out_w * static_cast<double>(Widest()) * Slots();
    const double image_bytes = 4.0 * std::max(1.0 * s.in_h * s.in_w * p.channels_in, 1.0 * s.out_h * s.out_w * p.channels_out);
    if (row_bytes * static_cast<double>(reach) > kMostBytes || slot_bytes > kMostBytes || image_bytes > kMostBytes) {
      *error = "its input, output or window is too large";
      return false;
    }
    if (!border_.rows.empty() &&
        (border_.rows.size() != static_cast<std::size_t>(s.out_h) || border_.columns.size() != static_cast<std::size_t>(s.out_w))) {
      *error = "its output has other rows or columns than the offsets at its borders";
      return false;
    }
    SetRuns(band_w);
    whole_runs_ = WholeRuns(p, band_w * p.channels_in);
    const auto fit = [](std::int64_t bytes, double of_one) { return static_cast<std::int64_t>(static_cast<double>(bytes) / of_one); };
    const std::int64_t few = std::max((kFewestPixels + s.out_w - 1) / s.out_w, (s.out_h + kStrips - 1) / kStrips);
    const std::int64_t most = std::min((fit(kBandBytes, row_bytes) - reach) / p.stride_h + 1, fit(kSlotBytes, slot_bytes));
    strip_h_ = std::max<std::int64_t>(std::min({few, most, std::int64_t{s.out_h}}), 1);
    band_.Resize(s.in_h, s.in_w, s.pad_left, (strip_h_ - 1) * p.stride_h + reach, band_w);
    return true;
  }

  std::size_t WorkerBytes() const override {
    // Bands and their units, slots, a row, patches.
    const std::int64_t floats = (band_.floats() + 1) * input_count_ + SlotFloats() * Slots() + band_.row_floats();
    const std::int64_t patches = octets_.slices > 0 ? size().out_w * OctetGroups(params_) * kOctetGroup + 2 * kOctetSlack : 0;
    return RoundUp(sizeof(float) * static_cast<std::size_t>(floats) + static_cast<std::size_t>(patches), kCacheLine);
  }

  std::int64_t Widest() const { return blocks_[0].width; }
  // One more for the sums between chunks.
  int Slots() const { return plan_.slots + 1; }
  std::int64_t SlotFloats() const { return strip_h_ * size().out_w * Widest(); }

  // Biases and weights by blocks of channels, [channels] and [steps][channels] of each; zeros behind the last channel.
  AlignedBuffer Pack(const ConvSumTerm& term) const {
    AlignedBuffer buffer(sizeof(float) * static_cast<std::size_t>((steps_ + 1) * channels_));
    float* to = buffer.as<float>();
    for (const Block& block : blocks_) {
      const auto pack = [&](const float* from, std::int64_t step, std::int64_t steps) {
        for (std::int64_t c = block.first; c < block.first + block.width; ++c) {
          *to++ = c < params_.channels_out ? from[c * steps + step] : 0.0f;
        }
      };
      pack(term.bias, 0, 1);
      for (std::int64_t step = 0; step < steps_; ++step) pack(term.filter, step, steps_);
    }
    return buffer;
  }

  // The steps of a window in chunks, whose weights stay in the cache, and the runs of each.
  void SetRuns(std::int64_t band_w) {
    const ConvSumParams& p = params_;
    const std::int64_t most = std::max<std::int64_t>(kChunkBytes / (Widest() * std::int64_t{sizeof(float)}), 1);
    const std::int64_t chunks = (steps_ + most - 1) / most;
    chunk_steps_ = (steps_ + chunks - 1) / chunks;
    runs_.clear();
    chunks_.assign(1, 0);
    std::int64_t room = chunk_steps_;
    const auto add = [&](std::int64_t offset, std::int64_t length) {
      while (length > 0) {
        if (room == 0) {
          chunks_.push_back(runs_.size());
          room = chunk_steps_;
        }
        const std::int64_t part = std::min(length, room);
        runs_.push_back({static_cast<std::ptrdiff_t>(offset), static_cast<std::ptrdiff_t>(part)});
        offset += part;
        length -= part;
        room -= part;
      }
    };
    for (std::int64_t y = 0; y < p.kernel_h; ++y) {
      const std::int64_t row = y * p.dilation_h * band_w * p.channels_in;
      if (p.dilation_w == 1) {
        add(row, std::int64_t{p.kernel_w} * p.channels_in);
      } else {
        for (std::int64_t x = 0; x < p.kernel_w; ++x) add(row + x * p.dilation_w * p.channels_in, p.channels_in);
      }
    }
    chunks_.push_back(runs_.size());
  }

  ConvSumImage ImageOf(const ConvSumTensors& tensors, int input, std::int64_t image) const {
    const std::int64_t start = image * size().in_h * size().in_w * params_.channels_in;
    if (params_.octets) return {nullptr, tensors.octets + start};
    return {tensors.inputs[input] + start, nullptr};
  }

  // Returns whether the bands hold whole numbers.
  bool FillBands(const ConvSumTensors& tensors, std::int64_t image, std::int64_t first_row, float* bands, float* units, float* row) const {
    bool whole = whole_ != nullptr;
    for (int i = 0; i < input_count_ && whole; ++i) {
      auto* band = reinterpret_cast<std::int16_t*>(bands + i * band_.floats());
      whole = band_.FillWhole(*whole_, whole_bits_, ImageOf(tensors, i, image), first_row, band, units + i, row);
    }
    for (int i = 0; i < input_count_ && !whole; ++i) band_.Fill(ImageOf(tensors, i, image), first_row, bands + i * band_.floats());
    return whole;
  }

  // Where the rows of a strip go; those of planes, the image.
  float* Target(const ConvSumTensors& tensors, int worker, std::int64_t image, std::int64_t first_row) const {
    if (tensors.sink != nullptr) return tensors.sink->Rows(worker, image, static_cast<int>(first_row));
    const std::int64_t row = image * size().out_h + (params_.planes ? 0 : first_row);
    return tensors.output + row * size().out_w * params_.channels_out;
  }

  void RunStrip(const ConvSumTensors& tensors, int worker, std::int64_t image, std::int64_t first_row, float* bands) const {
    const std::int64_t rows = std::min<std::int64_t>(strip_h_, size().out_h - first_row);
    float* to = Target(tensors, worker, image, first_row);
    ComputeStrip(tensors, image, first_row, rows, bands, to);
    if (tensors.sink != nullptr) tensors.sink->Take(worker, image, static_cast<int>(first_row), static_cast<int>(rows));
  }

  void ComputeStrip(const ConvSumTensors& tensors, std::int64_t image, std::int64_t first_row, std::int64_t rows, float* bands,
                    float* to) const {
    float* slots = bands + input_count_ * band_.floats();
    float* units = slots + Slots() * SlotFloats();
    // A block that is as wide as the output has the output's layout: slot 0 lies there.
    const bool direct = Widest() == params_.channels_out && !params_.planes;
    const std::int64_t top = first_row * params_.stride_h - size().pad_top;
    if (octets_.slices > 0 && FillOctets(tensors, image, top, bands, units, units + input_count_)) {
      const auto* band = reinterpret_cast<const std::uint8_t*>(bands);
      auto* patches = reinterpret_cast<std::uint8_t*>(units + input_count_ + band_.row_floats());
      for (std::int64_t y = 0; y < rows; ++y) {
        GatherPatches(params_, band + y * params_.stride_h * band_.columns() * params_.channels_in, band_.columns(), size().out_w, patches);
        float* row = direct ? to + y * size().out_w * params_.channels_out : slots;
        for (const Block& block : blocks_) {
          ConvolveOctets(block, patches, *units, row);
          AddBorder(block, first_row + y, 1, row);
          if (!direct) Put(slots, block, first_row + y, y, 1, to);
        }
      }
      return;
    }
    const bool whole = FillBands(tensors, image, top, bands, units, units + input_count_);
    const auto slot = [&](int index) { return direct && index == 0 ? to : slots + index * SlotFloats(); };
    for (const Block& block : blocks_) {
      for (const ConvSumStep& step : whole ? whole_plan_.steps : plan_.steps) {
        if (step.term == kSubtract) {
          Subtract(slot(step.slot), slot(step.slot + 1), rows * size().out_w * block.width, step.finish);
          continue;
        }
        const int input = inputs_[static_cast<std::size_t>(step.term)];
        const float* band = bands + input * band_.floats();
        if (whole) {
          ConvolveWhole(step, block, rows, reinterpret_cast<const std::int16_t*>(band), units[input], slot(step.slot));
        } else {
          Convolve(step, block, rows, band, slot(step.slot), slot(plan_.slots));
        }
      }
      AddBorder(block, first_row, rows, slot(0));
      if (!direct) Put(slots, block, first_row, 0, rows, to);
    }
  }

  // Returns whether the only band holds bytes.
  bool FillOctets(const ConvSumTensors& tensors, std::int64_t image, std::int64_t first_row, float* band, float* unit, float* row) const {
    return band_.FillOctets(*octets_level_, whole_level_, ImageOf(tensors, inputs_[0], image), first_row,
                            reinterpret_cast<std::uint8_t*>(band), unit, row);
  }

  // The tree in bytes, for a row of a strip and a block.
  void ConvolveOctets(const Block& block, const std::uint8_t* patches, float unit, float* target) const {
    const std::int64_t groups = OctetGroups(params_);
    ConvSumOctetsTile tile;
    tile.groups = groups;
    tile.weights = octets_.weights.as<std::int8_t>() + block.first * groups * octets_.slices * kOctetGroup;
    tile.starts = octets_.starts.as<std::int32_t>() + block.first * octets_.slices;
    tile.scales = octets_.scales.as<float>() + block.first;
    tile.unit = unit;
    const auto& functions = octets_level_->functions[octets_.slices - 1][block.vectors_place];
    int place = 4;
    for (std::int64_t x = 0; x < size().out_w; x += kConvSumPixels[place]) {
      while (kConvSumPixels[place] > size().out_w - x || functions[place] == nullptr) --place;
      tile.patches = patches + x * groups * kOctetGroup;
      tile.target = target + x * block.width;
      functions[place](tile);
    }
  }

  void AddBorder(const Block& block, std::int64_t first_row, std::int64_t rows, float* slot) const {
    if (border_.rows.empty()) return;
    const std::int64_t inside = std::min<std::int64_t>(block.width, params_.channels_out - block.first);
    const std::int64_t columns = 1 + *std::max_element(border_.columns.begin(), border_.columns.end());
    for (std::int64_t y = 0; y < rows; ++y) {
      const std::int64_t row = border_.rows[static_cast<std::size_t>(first_row + y)] * columns;
      for (std::int64_t x = 0; x < size().out_w; ++x, slot += block.width) {
        const float* offset =
            border_.offset.data() + (row + border_.columns[static_cast<std::size_t>(x)]) * params_.channels_out + block.first;
        for (std::int64_t c = 0; c < inside; ++c) slot[c] += offset[c];
      }
    }
  }

  // The first slot of a block to where its channels are in the output: rows of the image, or of the strip, whose target is `output`.
  void Put(const float* slot, const Block& block, std::int64_t image_row, std::int64_t strip_row, std::int64_t rows, float* output) const {
    const auto inside = static_cast<std::size_t>(std::min<std::int64_t>(block.width, params_.channels_out - block.first));
    const std::int64_t plane = std::int64_t{1} * size().out_h * size().out_w, pixels = rows * size().out_w;
    if (params_.planes) {
      transpose_(slot, static_cast<std::size_t>(block.width), static_cast<std::size_t>(pixels), inside,
                 output + block.first * plane + image_row * size().out_w, static_cast<std::size_t>(plane));
      return;
    }
    float* to = output + strip_row * size().out_w * params_.channels_out + block.first;
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      std::memcpy(to + pixel * params_.channels_out, slot + pixel * block.width, inside * sizeof(float));
    }
  }

  static void Subtract(float* slot, const float* next, std::int64_t count, ConvSumFinish finish) {
    for (std::int64_t i = 0; i < count; ++i) FinishSums(finish, next[i], slot + i);
  }

  // Calls compute(function, first value in the band, first value in a slot) for the tiles of a strip and a block.
  template <class Functions, class Compute>
  void ForTiles(const Functions& functions, const Block& block, std::int64_t rows, const Compute& compute) const {
    for (std::int64_t y = 0; y < rows; ++y) {
      int place = 4;
      for (std::int64_t x = 0; x < size().out_w; x += kConvSumPixels[place]) {
        while (kConvSumPixels[place] > size().out_w - x || functions[place] == nullptr) --place;
        compute(functions[place], (y * params_.stride_h * band_.columns() + x * params_.stride_w) * params_.channels_in,
                (y * size().out_w + x) * block.width);
      }
    }
  }

  // One convolution for a strip and a block, finished into a slot. Between chunks the sums are in `between`.
  void Convolve(const ConvSumStep& step, const Block& block, std::int64_t rows, const float* band, float* slot, float* between) const {
    const float* packed = packed_[static_cast<std::size_t>(step.term)].as<float>() + block.first * (steps_ + 1);
    ConvSumTile tile;
    tile.pixel_stride = std::int64_t{params_.stride_w} * params_.channels_in;
    tile.weights = packed + block.width;
    const std::size_t chunks = chunks_.size() - 1;
    for (std::size_t chunk = 0; chunk < chunks; ++chunk, tile.weights += chunk_steps_ * block.width) {
      const bool last = chunk + 1 == chunks;
      tile.runs = runs_.data() + chunks_[chunk];
      tile.runs_end = runs_.data() + chunks_[chunk + 1];
      tile.finish = last ? step.finish : ConvSumFinish::kStore;
      tile.start_stride = chunk == 0 ? 0 : block.width;
      ForTiles(level_.functions[block.vectors_place], block, rows, [&](ConvSumFunction function, std::int64_t in, std::int64_t out) {
        tile.input = band + in;
        tile.start = chunk == 0 ? packed : between + out;
        tile.target = (last ? slot : between) + out;
        function(tile);
      });
    }
  }

  // Likewise in whole numbers.
  void ConvolveWhole(const ConvSumStep& step, const Block& block, std::int64_t rows, const std::int16_t* band, float unit,
                     float* slot) const {
    const ConvSumWholeTerm& term = whole_terms_[static_cast<std::size_t>(step.term)];
    std::int64_t pairs = 0;
    for (const ConvSumRun& run : whole_runs_) pairs += run.length;
    ConvSumWholeTile tile;
    tile.pixel_stride = std::int64_t{params_.stride_w} * params_.channels_in;
    tile.runs = whole_runs_.data();
    tile.runs_end = tile.runs + whole_runs_.size();
    tile.weights = term.weights.as<std::int16_t>() + block.first * 2 * pairs;
    tile.scales = term.scales.as<float>() + block.first;
    tile.biases = term.biases.as<float>() + block.first;
    tile.unit = unit;
    tile.finish = step.finish;
    ForTiles(whole_->functions[block.vectors_place], block, rows, [&](auto function, std::int64_t in, std::int64_t out) {
      tile.input = band + in;
      tile.target = slot + out;
      function(tile);
    });
  }

  const ConvSumParams params_;
  const ConvSumLevel& level_;
  const ConvSumBorder border_;
  const ConvSumOctetsLevel* octets_level_;
  const ConvSumWholeLevel* whole_level_;
  ConvSumOctets octets_;
  const ConvSumWholeLevel* whole_;  // null where a filter is not made of whole numbers
  void (*const transpose_)(const float*, std::size_t, std::size_t, std::size_t, float*, std::size_t);
  const ConvSumPlan plan_;
  const std::int64_t steps_;   // of a window
  std::int64_t channels_ = 0;  // of all blocks
  std::vector<Block> blocks_;  // the widest first
  std::vector<int> inputs_;    // by term
  int input_count_ = 0;
  std::vector<AlignedBuffer> packed_;  // by term
  std::vector<ConvSumRun> runs_;
  std::vector<std::size_t> chunks_;  // where each begins in runs_, and the end
  std::int64_t chunk_steps_ = 0;
  std::vector<ConvSumWholeTerm> whole_terms_;
  ConvSumPlan whole_plan_;  // without terms of zeros
  std::vector<ConvSumRun> whole_runs_;
  int whole_bits_ = INT_MAX;  // of the inputs
  std::int64_t strip_h_ = 0;  // output rows that a thread computes at a time
  ConvSumBand band_;          // the inputs' under a strip
};

}  // namespace

std::unique_ptr<ConvSum> ConvSum::Create(const ConvSumParams& params, const std::vector<ConvSumTerm>& terms,
                                         const std::vector<int>& expression, const ConvSumBorder& border, Level level, std::string* error) {
  ConvSumPlan plan;
  const char* refusal = Refusal(params, terms);
  if (refusal == nullptr) refusal = PlanConvSum(expression, static_cast<int>(terms.size()), &plan);
  if (refusal == nullptr) refusal = RefuseBorder(border, params.channels_out);
  if (refusal != nullptr) {
    *error = refusal;
    return nullptr;
  }
  return std::make_unique<ConvSumImpl>(params, terms, expression, std::move(plan), border, level);
}

}  // namespace fdabnn
