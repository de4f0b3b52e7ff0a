#include "index/plain_codes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/prefetch.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr std::size_t kLine = 64;

void prefetch_row(const void* row, std::size_t bytes) {
  const char* at = static_cast<const char*>(row);
  for (std::size_t byte = 0; byte < bytes; byte += kLine) GAPLESS_PREFETCH(at + byte);
}

void align_scores(const CodeQuery& query, const Slot* slots, std::size_t count, float* scores) {
  for (std::size_t i = 0; i < count; ++i) {
    scores[i] += query.c;
    if (query.r != nullptr) scores[i] *= query.r[slots[i]];
  }
}

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

void copy_values(const std::vector<float>& values, LocalRows& to, std::size_t row) {
  to.scale[row] =
      kernels().codes->encode_bytes(values.data(), to.dim, to.bytes.data() + row * to.dim);
}

}  // namespace

std::unique_ptr<Codes> F32Codes::grown(const std::shared_ptr<RowTable>& rows) const {
  return std::make_unique<F32Codes>(rows);
}

void F32Codes::decode(Slot slot, float* unit) const {
  std::copy_n(rows_->vector(slot), rows_->dim, unit);
}

bool F32Codes::equal(Slot a, Slot b) const {
  return std::memcmp(rows_->vector(a), rows_->vector(b), rows_->dim * sizeof(float)) == 0;
}

void F32Codes::copy_local(Slot slot, LocalRows& to, std::size_t row) const {
  std::vector<float> values(to.dim, 0.0f);
  decode(slot, values.data());
  copy_values(values, to, row);
}

void F32Codes::touch(const Slot* slots, std::size_t count) const {
  // The hardware follows a row once its first lines have been asked for.
  constexpr std::size_t kAhead = 8 * kLine;
  for (std::size_t i = 0; i < count; ++i) {
    prefetch_row(rows_->vector(slots[i]), std::min(kAhead, rows_->dim * sizeof(float)));
  }
}

void F32Codes::score(const CodeQuery& query, const Slot* slots, std::size_t count,
                     float* scores) const {
  kernels().dot_gather(query.vector, rows_->vectors.data(), rows_->stride, rows_->dim, slots, count,
                       scores);
  align_scores(query, slots, count, scores);
}

Bf16Codes::Bf16Codes(const std::shared_ptr<RowTable>& rows)
    : dim_(rows->dim), stride_((rows->dim + kCodeDims - 1) / kCodeDims * kCodeDims) {
  halves_.allocate(rows->capacity * stride_);
}

std::unique_ptr<Codes> Bf16Codes::grown(const std::shared_ptr<RowTable>& rows) const {
  auto larger = std::make_unique<Bf16Codes>(rows);
  std::copy_n(halves_.data(), halves_.size(), larger->halves_.data());
  return larger;
}

void Bf16Codes::encode(Slot slot, const float* unit) {
  std::uint16_t* row = halves_.data() + slot * stride_;
  for (std::size_t j = 0; j < dim_; ++j) row[j] = to_bf16(unit[j]);
  std::fill(row + dim_, row + stride_, std::uint16_t{0});
}

void Bf16Codes::decode(Slot slot, float* unit) const {
  const std::uint16_t* row = halves_.data() + slot * stride_;
  for (std::size_t j = 0; j < dim_; ++j) unit[j] = bf16_to_float(row[j]);
  kernels().normalise(unit, unit, dim_);
}

bool Bf16Codes::equal(Slot a, Slot b) const {
  return std::memcmp(halves_.data() + a * stride_, halves_.data() + b * stride_,
                     stride_ * sizeof(std::uint16_t)) == 0;
}

void Bf16Codes::copy_local(Slot slot, LocalRows& to, std::size_t row) const {
  std::vector<float> values(to.dim, 0.0f);
  decode(slot, values.data());
  copy_values(values, to, row);
}

void Bf16Codes::prepare(CodeQuery& query, const QueryMean*, float) const {
  query.rotated.assign(stride_, 0.0f);  // padded, not rotated
  std::copy_n(query.vector, dim_, query.rotated.data());
}

void Bf16Codes::touch(const Slot* slots, std::size_t count) const {
  for (std::size_t i = 0; i < count; ++i) {
    prefetch_row(halves_.data() + slots[i] * stride_, stride_ * sizeof(std::uint16_t));
  }
}

void Bf16Codes::score(const CodeQuery& query, const Slot* slots, std::size_t count,
                      float* scores) const {
  kernels().codes->dot_bf16(query.rotated.data(), halves_.data(), stride_, stride_, slots, count,
                            scores);
  align_scores(query, slots, count, scores);
}

void Bf16Codes::append_sections(SectionWriter& sections, std::size_t used) const {
  sections.borrow("bf16", halves_.data(), used * stride_);
}

void Bf16Codes::restore(const RowTable& rows, const SectionReader& reader, std::size_t used) {
  const auto* halves = reader.array<std::uint16_t>("bf16", used * stride_);
  std::copy_n(halves, used * stride_, halves_.data());
  for (std::size_t i = 0; i < used * stride_; ++i) {
    if (rows.is_live(static_cast<Slot>(i / stride_)) && (halves[i] & 0x7f80) == 0x7f80)
      throw Corruption{"bf16", "holds NaN or infinity"};
  }
}

I8Codes::I8Codes(const std::shared_ptr<RowTable>& rows, const std::vector<float>& mean)
    : centred_(mean), padded_(centred_.padded_dim()) {
  bytes_.allocate(rows->capacity * padded_);
  scales_.allocate(rows->capacity);
}

std::unique_ptr<Codes> I8Codes::grown(const std::shared_ptr<RowTable>& rows) const {
  auto larger = std::make_unique<I8Codes>(rows, centred_.mean());
  std::copy_n(bytes_.data(), bytes_.size(), larger->bytes_.data());
  std::copy_n(scales_.data(), scales_.size(), larger->scales_.data());
  return larger;
}

void I8Codes::encode(Slot slot, const float* unit) {
  thread_local std::vector<float> y;
  y.resize(padded_);
  centred_.apply(unit, y.data());
  scales_[slot] = kernels().codes->encode_bytes(y.data(), padded_, bytes_.data() + slot * padded_);
}

void I8Codes::decode(Slot slot, float* unit) const {
  thread_local std::vector<float> y;
  y.resize(padded_);
  const std::uint8_t* row = bytes_.data() + slot * padded_;
  for (std::size_t j = 0; j < padded_; ++j) {
    y[j] = scales_[slot] * static_cast<float>(row[j] - 128);
  }
  centred_.invert(y.data(), unit);
}

bool I8Codes::equal(Slot a, Slot b) const {
  return scales_[a] == scales_[b] &&
         std::memcmp(bytes_.data() + a * padded_, bytes_.data() + b * padded_, padded_) == 0;
}

void I8Codes::copy_local(Slot slot, LocalRows& to, std::size_t row) const {
  std::copy_n(bytes_.data() + slot * padded_, padded_, to.bytes.data() + row * padded_);
  to.scale[row] = scales_[slot];
}

void I8Codes::prepare(CodeQuery& query, const QueryMean*, float) const {
  query.rotated.resize(padded_);
  query.high.resize(padded_);
  query.low.resize(padded_);
  centred_.rotation().apply(query.vector, query.rotated.data());
  query.code = kernels().codes->encode_query(query.rotated.data(), padded_, query.high.data(),
                                             query.low.data());
  const std::vector<float>& mean = centred_.mean();
  query.nibble.base = query.c + kernels().dot(mean.data(), query.vector, mean.size());
}

void I8Codes::touch(const Slot* slots, std::size_t count) const {
  for (std::size_t i = 0; i < count; ++i) {
    prefetch_row(bytes_.data() + slots[i] * padded_, padded_);
    GAPLESS_PREFETCH(scales_.data() + slots[i]);
  }
}

// By a query of one byte a dim: the rows' own rounding is of the same size.
void I8Codes::score(const CodeQuery& query, const Slot* slots, std::size_t count,
                    float* scores) const {
  constexpr std::size_t kBlock = 64;
  std::int32_t sums[kBlock];
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t block = std::min(kBlock, count - begin);
    kernels().codes->dot_bytes(query.high.data(), bytes_.data(), padded_, padded_, slots + begin,
                               block, sums);
    for (std::size_t i = 0; i < block; ++i) {
      const Slot slot = slots[begin + i];
      const auto sum = static_cast<float>(sums[i] - 128 * query.code.high_sum);
      const float score = query.code.scale * scales_[slot] * sum + query.nibble.base;
      scores[begin + i] = query.r == nullptr ? score : score * query.r[slot];
    }
  }
}

// By two bytes a dim of the query: what is left is the rounding of the rows.
void I8Codes::refine(const CodeQuery& query, const Slot* slots, std::size_t count,
                     float* scores) const {
  constexpr std::size_t kBlock = 64;
  std::int32_t high[kBlock], low[kBlock];
  const CodeKernels& by = *kernels().codes;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t block = std::min(kBlock, count - begin);
    by.dot_bytes(query.high.data(), bytes_.data(), padded_, padded_, slots + begin, block, high);
    by.dot_bytes(query.low.data(), bytes_.data(), padded_, padded_, slots + begin, block, low);
    for (std::size_t i = 0; i < block; ++i) {
      const Slot slot = slots[begin + i];
      const auto sum = static_cast<float>(high[i] - 128 * query.code.high_sum) +
                       static_cast<float>(low[i] - 128 * query.code.low_sum) / 254.0f;
      const float score = query.code.scale * scales_[slot] * sum + query.nibble.base;
      scores[begin + i] = query.r == nullptr ? score : score * query.r[slot];
    }
  }
}

void I8Codes::append_sections(SectionWriter& sections, std::size_t used) const {
  sections.borrow("mean", centred_.mean().data(), centred_.mean().size());
  sections.borrow("bytes", bytes_.data(), used * padded_);
  sections.borrow("scales", scales_.data(), used);
}

void I8Codes::restore(const RowTable& rows, const SectionReader& reader, std::size_t used) {
  std::copy_n(reader.array<std::uint8_t>("bytes", used * padded_), used * padded_, bytes_.data());
  std::copy_n(reader.array<float>("scales", used), used, scales_.data());
  for (Slot slot = 0; slot < used; ++slot) {
    if (rows.is_live(slot) && !(std::fabs(scales_[slot]) < 1e6f)) {
      throw Corruption{"scales", "slot " + std::to_string(slot) + " has no finite scale"};
    }
  }
}

}  // namespace gapless
