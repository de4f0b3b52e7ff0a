#include "index/cascade.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/prefetch.h"
#include "core/thread_pool.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr std::size_t kLine = 64;

const CodeKernels& code_kernels() { return *kernels().codes; }

std::size_t up_to(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

// The nearest code of a mean product. None saturates: products lie within twice the mean's length,
// and units are chosen by that.
std::int16_t mean_code(float product, float unit) {
  return static_cast<std::int16_t>(std::clamp(std::nearbyint(product / unit), -32767.0f, 32767.0f));
}

float dot(const std::vector<float>& a, const float* b) {
  return kernels().dot(a.data(), b, a.size());
}

}  // namespace

CascadeCodes::CascadeCodes(const std::shared_ptr<RowTable>& rows, const std::vector<float>& mean)
    : centred_(mean),
      padded_(centred_.padded_dim()),
      line_stride_(up_to(sizeof(LineHead) + padded_ / 8, kLine)),
      nibble_stride_(up_to(padded_ / 2, kLine)),
      mean_square_(dot(mean, mean.data())) {
  allocate(rows->capacity);
}

void CascadeCodes::allocate(std::size_t capacity) {
  lines_.allocate(capacity * line_stride_);
  nibbles_.allocate(capacity * nibble_stride_);
  bytes_.allocate(capacity * padded_);
}

std::unique_ptr<Codes> CascadeCodes::grown(const std::shared_ptr<RowTable>& rows) const {
  auto larger = std::make_unique<CascadeCodes>(rows, centred_.mean());
  std::copy_n(lines_.data(), lines_.size(), larger->lines_.data());
  std::copy_n(nibbles_.data(), nibbles_.size(), larger->nibbles_.data());
  std::copy_n(bytes_.data(), bytes_.size(), larger->bytes_.data());
  return larger;
}

void CascadeCodes::encode(Slot slot, const float* unit) {
  thread_local std::vector<float> y;
  y.resize(padded_);
  centred_.apply(unit, y.data());
  std::uint8_t* to = line(slot);
  std::fill(to, to + line_stride_, std::uint8_t{0});
  std::uint8_t* nibbles = nibbles_.data() + slot * nibble_stride_;
  std::fill(nibbles, nibbles + nibble_stride_, std::uint8_t{0});
  LineHead made = code_kernels().encode_row(y.data(), padded_, to + sizeof(LineHead), nibbles,
                                            bytes_.data() + slot * padded_);
  made.mean = mean_code(dot(centred_.rotated_mean(), y.data()), kMeanUnit);
  std::memcpy(to, &made, sizeof(made));
}

void CascadeCodes::decode_rotated(Slot slot, float* y) const {
  code_kernels().decode_row(head(slot), nibbles_.data() + slot * nibble_stride_,
                            bytes_.data() + slot * padded_, padded_, y);
}

void CascadeCodes::decode(Slot slot, float* unit) const {
  thread_local std::vector<float> y;
  y.resize(padded_);
  decode_rotated(slot, y.data());
  centred_.invert(y.data(), unit);
}

bool CascadeCodes::equal(Slot a, Slot b) const {
  return std::memcmp(line(a), line(b), line_stride_) == 0 &&
         std::memcmp(bytes_.data() + a * padded_, bytes_.data() + b * padded_, padded_) == 0 &&
         std::memcmp(nibbles_.data() + a * nibble_stride_, nibbles_.data() + b * nibble_stride_,
                     nibble_stride_) == 0;
}

void CascadeCodes::copy_local(Slot slot, LocalRows& to, std::size_t row) const {
  thread_local std::vector<float> y;
  y.resize(padded_);
  decode_rotated(slot, y.data());
  to.scale[row] = code_kernels().encode_bytes(y.data(), padded_, to.bytes.data() + row * padded_);
}

void CascadeCodes::prepare(CodeQuery& query, const QueryMean* mean, float margin) const {
  query.rotated.resize(padded_);
  query.shifted.resize(padded_);
  query.high.resize(padded_);
  query.low.resize(padded_);
  query.line_high.resize(padded_);
  query.line_low.resize(padded_);
  centred_.rotation().apply(query.vector, query.rotated.data());
  const float base = query.c + dot(centred_.mean(), query.vector);
  query.code = code_kernels().encode_query(query.rotated.data(), padded_, query.high.data(),
                                           query.low.data());
  query.nibble = {query.high.data(), query.code.high_sum, query.code.scale, base, query.r};

  // A shorter vector leaves less to the signs. The lines know <rows' mean, y>, which suits queries
  // that lie where the rows do; an aligned query has often no mean worth taking away.
  float unit = kMeanUnit;
  if (mean != nullptr) {
    query.shifted = mean->rotated;
    unit = mean->unit;
  } else {
    query.shifted = centred_.rotated_mean();
    if (2.0f * dot(centred_.mean(), query.vector) < mean_square_) {
      std::fill(query.shifted.begin(), query.shifted.end(), 0.0f);
      unit = 0.0f;
    }
  }
  for (std::size_t j = 0; j < padded_; ++j) query.shifted[j] = query.rotated[j] - query.shifted[j];
  const QueryCode shifted = code_kernels().encode_query(
      query.shifted.data(), padded_, query.line_high.data(), query.line_low.data());
  const float length = std::sqrt(dot(query.shifted, query.shifted.data()));
  query.line = {query.line_high.data(),
                shifted.high_sum,
                shifted.scale,
                margin * length * kErrorUnit,
                base,
                mean != nullptr ? mean->products.data() : nullptr,
                unit,
                query.r};
}

void CascadeCodes::touch(const Slot* slots, std::size_t count) const {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* at = line(slots[i]);
    for (std::size_t byte = 0; byte < line_stride_; byte += kLine) GAPLESS_PREFETCH(at + byte);
  }
}

std::size_t CascadeCodes::filter(const CodeQuery& query, const Slot* slots, std::size_t count,
                                 float limit, Slot* kept) const {
  const std::size_t left = code_kernels().filter_lines(query.line, lines_.data(), line_stride_,
                                                       padded_, slots, count, limit, kept);
  for (std::size_t i = 0; i < left; ++i) {
    const std::uint8_t* at = nibbles_.data() + kept[i] * nibble_stride_;
    for (std::size_t byte = 0; byte < nibble_stride_; byte += kLine) GAPLESS_PREFETCH(at + byte);
  }
  return left;
}

void CascadeCodes::score(const CodeQuery& query, const Slot* slots, std::size_t count,
                         float* scores) const {
  code_kernels().score_nibbles(query.nibble, nibbles_.data(), nibble_stride_, lines_.data(),
                               line_stride_, padded_, slots, count, scores);
}

void CascadeCodes::touch_refine(const Slot* slots, std::size_t count) const {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* at = bytes_.data() + slots[i] * padded_;
    for (std::size_t byte = 0; byte < padded_; byte += kLine) GAPLESS_PREFETCH(at + byte);
  }
}

void CascadeCodes::refine(const CodeQuery& query, const Slot* slots, std::size_t count,
                          float* scores) const {
  constexpr std::size_t kBlock = 64;
  std::int32_t nibble_high[kBlock], nibble_low[kBlock], byte_high[kBlock], byte_low[kBlock];
  const CodeKernels& by = code_kernels();
  const QueryCode& code = query.code;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t block = std::min(kBlock, count - begin);
    const Slot* at = slots + begin;
    by.dot_nibbles(query.high.data(), nibbles_.data(), nibble_stride_, padded_, at, block,
                   nibble_high);
    by.dot_nibbles(query.low.data(), nibbles_.data(), nibble_stride_, padded_, at, block,
                   nibble_low);
    by.dot_bytes(query.high.data(), bytes_.data(), padded_, padded_, at, block, byte_high);
    by.dot_bytes(query.low.data(), bytes_.data(), padded_, padded_, at, block, byte_low);
    for (std::size_t i = 0; i < block; ++i) {
      const LineHead& of = head(at[i]);
      const auto nibbles = static_cast<float>(2 * nibble_high[i] - 15 * code.high_sum) +
                           static_cast<float>(2 * nibble_low[i] - 15 * code.low_sum) / 254.0f;
      const auto rest = static_cast<float>(byte_high[i] - 128 * code.high_sum) +
                        static_cast<float>(byte_low[i] - 128 * code.low_sum) / 254.0f;
      const float score =
          code.scale * (of.nibble_scale * nibbles + of.byte_scale * rest) + query.nibble.base;
      scores[begin + i] = query.r == nullptr ? score : score * query.r[at[i]];
    }
  }
}

void CascadeCodes::fill_mean(QueryMean& mean, std::size_t used, std::size_t threads) const {
  mean.rotated.resize(padded_);
  centred_.rotation().apply(mean.mean.data(), mean.rotated.data());
  // |<mean, y>| <= |mean| * |y|, and |y| <= 2.
  const float length = std::sqrt(dot(mean.mean, mean.mean.data()));
  mean.unit = std::max(2.0f * length / 32767.0f, 1e-30f);
  mean.products.allocate(lines_.size() / line_stride_);
  parallel_for(used, threads, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t slot = begin; slot < end; ++slot) {
      mean.products[slot] = mean_product(mean, static_cast<Slot>(slot));
    }
  });
}

std::int16_t CascadeCodes::mean_product(const QueryMean& mean, Slot slot) const {
  thread_local std::vector<float> y;
  y.resize(padded_);
  decode_rotated(slot, y.data());
  return mean_code(dot(mean.rotated, y.data()), mean.unit);
}

void CascadeCodes::append_sections(SectionWriter& sections, std::size_t used) const {
  sections.borrow("mean", centred_.mean().data(), centred_.mean().size());
  sections.borrow("lines", lines_.data(), used * line_stride_);
  sections.borrow("nibbles", nibbles_.data(), used * nibble_stride_);
  sections.borrow("bytes", bytes_.data(), used * padded_);
}

void CascadeCodes::restore(const RowTable& rows, const SectionReader& reader, std::size_t used) {
  const auto* lines = reader.array<std::uint8_t>("lines", used * line_stride_);
  std::copy_n(lines, used * line_stride_, lines_.data());
  std::copy_n(reader.array<std::uint8_t>("nibbles", used * nibble_stride_), used * nibble_stride_,
              nibbles_.data());
  std::copy_n(reader.array<std::uint8_t>("bytes", used * padded_), used * padded_, bytes_.data());
  for (Slot slot = 0; slot < used; ++slot) {
    const LineHead& of = head(slot);
    const bool finite = std::fabs(of.factor) < 1e6f && std::fabs(of.nibble_scale) < 1e6f &&
                        std::fabs(of.byte_scale) < 1e6f;
    if (rows.is_live(slot) && !finite) {
      throw Corruption{"lines", "slot " + std::to_string(slot) + " has no finite scale"};
    }
  }
}

}  // namespace gapless
