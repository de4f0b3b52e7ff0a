#include "index/codes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "index/cascade.h"
#include "index/plain_codes.h"
#include "kernels/kernels.h"

namespace gapless {

const char* code_name(CodeKind kind) {
  switch (kind) {
    case CodeKind::kF32:
      return "f32";
    case CodeKind::kBf16:
      return "bf16";
    case CodeKind::kI8:
      return "i8";
    case CodeKind::kCascade:
      return "cascade";
  }
  return "";
}

namespace {

constexpr CodeKind kKinds[] = {CodeKind::kF32, CodeKind::kBf16, CodeKind::kI8, CodeKind::kCascade};

}  // namespace

bool is_code_name(const std::string& name) {
  return std::any_of(std::begin(kKinds), std::end(kKinds),
                     [&](CodeKind kind) { return name == code_name(kind); });
}

CodeKind code_kind(const std::string& name) {
  for (const CodeKind kind : kKinds) {
    if (name == code_name(kind)) return kind;
  }
  throw InvalidArgument("codes is '" + name + "'; take auto, f32, bf16, i8 or cascade");
}

void LocalRows::resize(std::size_t count, std::size_t padded_dim) {
  dim = padded_dim;
  if (bytes.size() < count * dim) bytes.allocate(count * dim);
  scale.resize(count);
  square.resize(count);
}

void LocalRows::centre(std::size_t row, std::vector<std::int8_t>& values) const {
  values.resize(dim);
  const std::uint8_t* from = bytes.data() + row * dim;
  for (std::size_t j = 0; j < dim; ++j) values[j] = static_cast<std::int8_t>(from[j] - 128);
}

void LocalRows::measure(std::size_t row) {
  const std::uint8_t* from = bytes.data() + row * dim;
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < dim; ++j) sum += (from[j] - 128) * (from[j] - 128);
  square[row] = scale[row] * scale[row] * static_cast<float>(sum);
}

void LocalRows::take(std::size_t row, const LocalRows& from, std::size_t from_row) {
  std::copy_n(from.bytes.data() + from_row * dim, dim, bytes.data() + row * dim);
  scale[row] = from.scale[from_row];
  square[row] = from.square[from_row];
}

void LocalRows::distances(std::size_t from, std::size_t first, std::size_t count,
                          float* out) const {
  thread_local std::vector<Slot> to;
  to.resize(count);
  std::iota(to.begin(), to.end(), static_cast<Slot>(first));
  distances_to(from, to.data(), count, out);
}

void LocalRows::distances_to(std::size_t from, const Slot* to, std::size_t count,
                             float* out) const {
  constexpr std::size_t kBlock = 64;
  thread_local std::vector<std::int8_t> values;
  std::int32_t sums[kBlock];
  centre(from, values);
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < dim; ++j) sum += values[j];
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t block = std::min(kBlock, count - begin);
    const Slot* at = to + begin;
    kernels().codes->dot_bytes(values.data(), bytes.data(), dim, dim, at, block, sums);
    for (std::size_t i = 0; i < block; ++i) {
      const float product = scale[from] * scale[at[i]] * static_cast<float>(sums[i] - 128 * sum);
      out[begin + i] = std::max(0.0f, square[from] + square[at[i]] - 2.0f * product);
    }
  }
}

std::size_t Codes::filter(const CodeQuery&, const Slot* slots, std::size_t count, float,
                          Slot* kept) const {
  std::copy_n(slots, count, kept);
  return count;
}

std::unique_ptr<Codes> make_codes(CodeKind kind, const std::shared_ptr<RowTable>& rows,
                                  const std::vector<float>& mean) {
  switch (kind) {
    case CodeKind::kF32:
      return std::make_unique<F32Codes>(rows);
    case CodeKind::kBf16:
      return std::make_unique<Bf16Codes>(rows);
    case CodeKind::kI8:
      return std::make_unique<I8Codes>(rows, mean);
    case CodeKind::kCascade:
      return std::make_unique<CascadeCodes>(rows, mean);
  }
  return nullptr;
}

std::unique_ptr<Codes> restore_codes(CodeKind kind, const std::shared_ptr<RowTable>& rows,
                                     const SectionReader& reader, std::size_t used) {
  std::vector<float> mean(rows->dim, 0.0f);
  if (kind == CodeKind::kI8 || kind == CodeKind::kCascade) {
    const auto* stored = reader.array<float>("mean", rows->dim);
    mean.assign(stored, stored + rows->dim);
    for (const float value : mean) {
      if (!(std::fabs(value) <= 1.0f)) throw Corruption{"mean", "is not the mean of unit rows"};
    }
  }
  std::unique_ptr<Codes> codes = make_codes(kind, rows, mean);
  if (kind == CodeKind::kBf16) static_cast<Bf16Codes&>(*codes).restore(*rows, reader, used);
  if (kind == CodeKind::kI8) static_cast<I8Codes&>(*codes).restore(*rows, reader, used);
  if (kind == CodeKind::kCascade) static_cast<CascadeCodes&>(*codes).restore(*rows, reader, used);
  return codes;
}

}  // namespace gapless
