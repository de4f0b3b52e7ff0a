#include "index/scan_codes.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "core/thread_pool.h"
#include "index/scan_basis.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr double kFloatError = 1.0 / (1 << 24);
constexpr std::size_t kGrain = 4096;    // rows of a piece of work; whole panels
constexpr std::size_t kBlockRows = 64;  // projected at once
constexpr std::size_t kMixDims = 64;    // of a line, transformed together
constexpr std::size_t kPivotDims = 64;
constexpr std::size_t kMostPivots = 1024;
constexpr double kSmallestNorm = 1e-6;  // of a query
constexpr double kLargestNorm = 1e6;

// Sums of many values go in lanes, which the compiler keeps side by side.
constexpr std::size_t kLanes = 16;

template <typename Term>
double sum_of(std::size_t count, const Term& term) {
  double sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += term(i + lane);
  }
  for (; i < count; ++i) sums[i % kLanes] += term(i);
  return std::accumulate(sums, sums + kLanes, 0.0);
}

template <typename T>
double square_of(const T* values, std::size_t count) {
  return sum_of(count, [&](std::size_t i) { return static_cast<double>(values[i]) * values[i]; });
}

float largest(const float* values, std::size_t count) {
  float most[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      most[lane] = std::max(most[lane], std::fabs(values[i + lane]));
    }
  }
  for (; i < count; ++i) most[0] = std::max(most[0], std::fabs(values[i]));
  return *std::max_element(most, most + kLanes);
}

// Integers within +-limit, and their scale.
float encode_steps(const float* values, std::size_t count, int limit, std::int8_t* codes) {
  const float most = largest(values, count);
  const float scale = most / static_cast<float>(limit);
  const float inverse = scale > 1e-30f ? 1.0f / scale : 0.0f;
  const auto bound = static_cast<float>(limit);
  for (std::size_t i = 0; i < count; ++i) {
    const float steps = std::min(bound, std::max(-bound, values[i] * inverse));
    codes[i] = static_cast<std::int8_t>(static_cast<int>(steps + 128.5f) - 128);
  }
  return scale;
}

// Norm of what the codes leave of the values.
double residual(const float* values, std::size_t count, float scale, const std::int8_t* codes) {
  const auto wide = static_cast<double>(scale);
  return std::sqrt(sum_of(count, [&](std::size_t i) {
    const double rest = values[i] - wide * codes[i];
    return rest * rest;
  }));
}

float up(double value) { return static_cast<float>(value * (1.0 + 4 * kFloatError) + 1e-30); }

}  // namespace

ScanCodes::ScanCodes(std::size_t dim)
    : dim_(dim), line_dims_((dim + kMixDims - 1) / kMixDims * kMixDims), signs_(dim) {
  for (std::size_t j = 0; j < dim; ++j)
    signs_[j] = (j * 0x9E3779B97F4A7C15ull >> 37 & 1) != 0 ? -1.0 : 1.0;
}

ScanCodes::ScanCodes(const ScanCodes& from, const Slot* slots, std::size_t count, std::size_t room,
                     std::size_t threads)
    : dim_(from.dim_),
      line_dims_(from.line_dims_),
      signs_(from.signs_),
      size_(count),
      mean_(from.mean_),
      basis_(from.basis_),
      centre_(from.centre_),
      basis_dims_(from.basis_dims_),
      skew_(from.skew_),
      mean_norm_(from.mean_norm_),
      most_(from.most_),
      depths_(from.depths_),
      pivots_(from.pivots_),
      pivot_offsets_(from.pivot_offsets_),
      cells_(from.cells_.size()) {
  resize(std::max(count, room));
  parallel_for(count, threads, kGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t slot = slots[i];
      for (std::size_t group = 0; group < basis_dims_ / 4; ++group) {
        const std::size_t part = group / (kPartDims / 4);
        const std::size_t at =
            part * kScanBlockRows * kPartDims + group % (kPartDims / 4) * 4 * kPanelRows;
        std::copy_n(from.parts_.data() + from.prefix_at(slot) + at, 4,
                    parts_.data() + prefix_at(i) + at);
      }
      scales_[i] = from.scales_[slot];
      for (std::size_t depth = 0; depth < depths_.size(); ++depth) {
        tails_[depth][i] = from.tails_[depth][slot];
      }
      std::copy_n(from.lines_.data() + slot * line_dims_, line_dims_,
                  lines_.data() + i * line_dims_);
      line_scales_[i] = from.line_scales_[slot];
      line_errors_[i] = from.line_errors_[slot];
    }
  });
  std::vector<Slot> place(from.size_, kNoSlot);
  for (std::size_t i = 0; i < count; ++i) place[slots[i]] = static_cast<Slot>(i);
  for (std::size_t c = 0; c < cells_.size(); ++c) {
    for (const Slot slot : from.cells_[c]) {
      if (place[slot] != kNoSlot) cells_[c].push_back(place[slot]);
    }
  }
}

std::size_t ScanCodes::memory_bytes() const {
  std::size_t bytes = scales_.bytes() + lines_.bytes() + line_scales_.bytes() +
                      line_errors_.bytes() + parts_.bytes() + basis_.capacity() * sizeof(float);
  for (const auto& tail : tails_) bytes += tail.bytes();
  for (const auto& cell : cells_) bytes += cell.capacity() * sizeof(Slot);
  return bytes;
}

double ScanCodes::projection_error() const {
  return static_cast<double>(dim_ + 4) * kFloatError * std::sqrt(static_cast<double>(basis_dims_));
}

void ScanCodes::build(const float* rows, std::size_t stride, std::size_t count,
                      std::size_t threads) {
  ScanBasis basis = find_scan_basis(rows, stride, count, dim_);
  mean_ = std::move(basis.mean);
  mean_norm_ = std::sqrt(square_of(mean_.data(), dim_));
  basis_ = std::move(basis.vectors);
  basis_dims_ = basis.dims;
  skew_ = basis.skew;
  centre_.assign(basis_dims_, 0.0);
  for (std::size_t j = 0; j < basis_dims_; ++j) {
    for (std::size_t i = 0; i < dim_; ++i) centre_[j] += basis_[j * dim_ + i] * mean_[i];
  }
  const std::size_t parts = part_count();
  depths_.clear();
  for (const double share : {0.33, 0.5, 0.67, 1.0}) {
    const auto at = static_cast<std::size_t>(std::lround(share * static_cast<double>(parts)));
    if (at > (depths_.empty() ? 0 : depths_.back())) depths_.push_back(at);
  }
  parts_ = Buffer<std::uint8_t>();
  most_ = 0.0;
  size_ = 0;
  find_pivots(rows, stride, count);
  extend(rows, stride, count, threads);
}

void ScanCodes::find_pivots(const float* rows, std::size_t stride, std::size_t count) {
  const auto root = static_cast<std::size_t>(std::sqrt(static_cast<double>(count)));
  const std::size_t pivots =
      std::min(root, kMostPivots) / kTileQueries * kTileQueries + kTileQueries;
  pivots_.assign(pivots * kPivotDims, 0.0f);
  pivot_offsets_.assign(pivots, 0.0f);
  cells_.assign(pivots, {});
  const std::size_t dims = std::min(kPivotDims, basis_dims_);
  for (std::size_t p = 0; p < pivots && dims > 0; ++p) {
    float* pivot = &pivots_[p * kPivotDims];
    kernels().dot_rows(rows + p * count / pivots * stride, basis_.data(), dim_, dim_, dims, pivot);
    for (std::size_t j = 0; j < dims; ++j) pivot[j] -= static_cast<float>(centre_[j]);
    pivot_offsets_[p] = static_cast<float>(square_of(pivot, dims) / 2);
  }
}

void ScanCodes::resize(std::size_t count) {
  const std::size_t padded = (count + kScanBlockRows - 1) / kScanBlockRows * kScanBlockRows;
  if (count > 0 && lines_.size() == 0) {  // left to the threads that code, but for the padding
    parts_.allocate(padded * basis_dims_);
    std::fill_n(parts_.data() + (padded - kScanBlockRows) * basis_dims_,
                kScanBlockRows * basis_dims_, std::uint8_t{128});
    lines_.allocate(count * line_dims_);
  }
  parts_.resize(padded * basis_dims_, 128);
  scales_.resize(padded, 0.0f);
  for (std::size_t depth = 0; depth < depths_.size(); ++depth) tails_[depth].resize(padded, 0.0f);
  lines_.resize(count * line_dims_, 128);
  line_scales_.resize(count, 0.0f);
  line_errors_.resize(count, 0.0f);
}

void ScanCodes::extend(const float* rows, std::size_t stride, std::size_t count,
                       std::size_t threads) {
  if (count <= size_) return;
  resize(count);
  const std::size_t begin = size_;
  std::vector<std::uint16_t> cells(count - begin);
  std::mutex mutex;
  parallel_for(count - begin, threads, kGrain, [&](std::size_t from, std::size_t to) {
    std::vector<Slot> slots(to - from);
    std::iota(slots.begin(), slots.end(), static_cast<Slot>(begin + from));
    const double most = code(rows, stride, slots.data(), slots.size(), &cells[from]);
    const std::lock_guard<std::mutex> lock(mutex);
    most_ = std::max(most_, most);
  });
  for (std::size_t i = begin; i < count; ++i) {
    cells_[cells[i - begin]].push_back(static_cast<Slot>(i));
  }
  size_ = count;
}

// The rows stay in the cells of what they were: a cell is only where to look first.
void ScanCodes::replace(const float* rows, std::size_t stride, const Slot* slots,
                        std::size_t count) {
  std::vector<std::uint16_t> cells(count);
  most_ = std::max(most_, code(rows, stride, slots, count, cells.data()));
}

double ScanCodes::code(const float* rows, std::size_t stride, const Slot* slots, std::size_t count,
                       std::uint16_t* cells) {
  const std::size_t pivots = pivot_offsets_.size();
  const std::size_t y_stride = std::max(basis_dims_, kPivotDims);
  std::vector<float> block(kBlockRows * stride);
  std::vector<float> projected(basis_dims_ * kBlockRows);
  std::vector<float> y(kBlockRows * y_stride, 0.0f);
  std::vector<float> nearness(kTileQueries * kBlockRows);
  std::vector<float> best(kBlockRows);
  double most = 0.0;
  for (std::size_t begin = 0; begin < count; begin += kBlockRows) {
    const std::size_t in_block = std::min(kBlockRows, count - begin);
    for (std::size_t i = 0; i < in_block; ++i) {
      std::copy_n(rows + slots[begin + i] * stride, dim_, &block[i * stride]);
    }
    for (std::size_t j = 0; j < basis_dims_; j += kTileQueries) {
      const float* vectors[kTileQueries];
      for (std::size_t q = 0; q < kTileQueries; ++q) vectors[q] = &basis_[(j + q) * dim_];
      kernels().dot_tile(vectors, block.data(), stride, dim_, in_block, &projected[j * in_block]);
    }
    for (std::size_t j = 0; j < basis_dims_; ++j) {
      const auto centre = static_cast<float>(centre_[j]);
      for (std::size_t i = 0; i < in_block; ++i) {
        y[i * y_stride + j] = projected[j * in_block + i] - centre;
      }
    }
    std::fill(best.begin(), best.end(), kNoScore);
    for (std::size_t p = 0; p < pivots; p += kTileQueries) {
      const float* vectors[kTileQueries];
      for (std::size_t q = 0; q < kTileQueries; ++q) vectors[q] = &pivots_[(p + q) * kPivotDims];
      kernels().dot_tile(vectors, y.data(), y_stride, kPivotDims, in_block, nearness.data());
      for (std::size_t q = 0; q < kTileQueries; ++q) {
        for (std::size_t i = 0; i < in_block; ++i) {
          const float near = nearness[q * in_block + i] - pivot_offsets_[p + q];
          if (near <= best[i]) continue;
          best[i] = near;
          cells[begin + i] = static_cast<std::uint16_t>(p + q);
        }
      }
    }
    for (std::size_t i = 0; i < in_block; ++i) {
      const float* row = &block[i * stride];
      const double norm = code_line(row, slots[begin + i]);
      const double error = projection_error() * (std::sqrt(square_of(row, dim_)) + mean_norm_);
      if (basis_dims_ > 0) code_prefix(&y[i * y_stride], norm, error, slots[begin + i]);
      most = std::max(most, norm);
    }
  }
  return most;
}

void ScanCodes::code_prefix(const float* y, double norm, double error, Slot slot) {
  std::int8_t codes[kMostScanDims];
  scales_[slot] = encode_steps(y, basis_dims_, 127, codes);
  std::uint8_t* prefix = parts_.data() + prefix_at(slot);
  const double least = norm * norm * (skew_ + 1e-12) + 2.1 * error * (norm + error) + 1e-30;
  double left = norm * norm;
  std::size_t depth = 0;
  for (std::size_t part = 0; part < part_count(); ++part) {
    std::uint8_t* out = prefix + part * kScanBlockRows * kPartDims;
    for (std::size_t d = 0; d < kPartDims; ++d) {
      out[d / 4 * 4 * kPanelRows + d % 4] =
          static_cast<std::uint8_t>(codes[part * kPartDims + d] + 128);
    }
    left -= square_of(y + part * kPartDims, kPartDims);
    if (part + 1 == depths_[depth]) {
      tails_[depth++][slot] = up(std::sqrt(std::max(left, 0.0) + least));
    }
  }
}

// Returns the norm of the centred row.
double ScanCodes::code_line(const float* row, Slot slot) {
  std::vector<float> values(line_dims_, 0.0f);
  std::vector<std::int8_t> codes(line_dims_);
  const double square = sum_of(dim_, [&](std::size_t j) {
    const double centred = row[j] - mean_[j];
    values[j] = static_cast<float>(centred * signs_[j]);
    return centred * centred;
  });
  kernels().codes->hadamard(values.data(), kMixDims, line_dims_ / kMixDims);
  const float scale = encode_steps(values.data(), line_dims_, 127, codes.data());
  std::uint8_t* line = lines_.data() + slot * line_dims_;
  for (std::size_t j = 0; j < line_dims_; ++j) {
    line[j] = static_cast<std::uint8_t>(codes[j] + 128);
  }
  line_scales_[slot] = scale;
  line_errors_[slot] = up(residual(values.data(), line_dims_, scale, codes.data()));
  return std::sqrt(square) * (1.0 + 1e-12);
}

bool ScanCodes::encode(const float* vector, Query& query) const {
  const double norm = std::sqrt(square_of(vector, dim_));
  if (!(norm >= kSmallestNorm && norm <= kLargestNorm)) return false;
  query.mean = 0.0;
  for (std::size_t j = 0; j < dim_; ++j) query.mean += vector[j] * mean_[j];
  const double most_row = most_ + mean_norm_;
  // Of the f32 score itself, and of the few float operations between a sum and its limit.
  const double common =
      norm * (most_row * static_cast<double>(dim_ + 32) * 2 * kFloatError + 1e-20);

  std::vector<float> values(line_dims_, 0.0f);
  for (std::size_t j = 0; j < dim_; ++j) values[j] = static_cast<float>(vector[j] * signs_[j]);
  kernels().codes->hadamard(values.data(), kMixDims, line_dims_ / kMixDims);
  query.line.resize(line_dims_);
  query.line_scale = encode_steps(values.data(), line_dims_, 127, query.line.data());
  query.line_sum = std::accumulate(query.line.begin(), query.line.end(), std::int32_t{0});
  query.line_norm =
      query.line_scale * std::sqrt(square_of(query.line.data(), line_dims_)) * (1.0 + 1e-9);
  const float line_scale = static_cast<float>(query.line_scale);
  query.line_slack =
      1.001 * most_ * residual(values.data(), line_dims_, line_scale, query.line.data()) +
      64 * kFloatError * norm * most_row + common;

  query.first.assign(std::max(basis_dims_, kPivotDims), 0.0f);
  query.prefix.resize(basis_dims_);
  if (basis_dims_ == 0) return true;
  float* z = query.first.data();
  kernels().dot_rows(vector, basis_.data(), dim_, dim_, basis_dims_, z);
  const float scale = encode_steps(z, basis_dims_, kScanQueryLimit, query.prefix.data());
  query.prefix_scale = scale;
  if (!(query.prefix_scale > 1e-6 * norm)) return false;  // nothing of it lies in the basis
  const double error = projection_error() * norm;
  const double least = norm * norm * (skew_ + 1e-12) + 2.1 * error * (norm + error);
  for (std::size_t depth = 0; depth < depths_.size(); ++depth) {
    const std::size_t dims = depths_[depth] * kPartDims;
    const double left = std::max(0.0, norm * norm - square_of(z, dims));
    const double code_norm = std::sqrt(square_of(query.prefix.data(), dims));
    const double row_error = 0.501 * std::sqrt(static_cast<double>(dims));  // in row steps
    ScanQuery& at = query.at[depth];
    at.code = query.prefix.data();
    at.sum = std::accumulate(at.code, at.code + dims, std::int32_t{0});
    at.start = static_cast<std::int32_t>(std::ceil(code_norm * row_error)) + 1;
    at.tail = up(std::sqrt(left + least) / query.prefix_scale);
    query.slack[depth] =
        1.01 * (most_ * residual(z, dims, scale, query.prefix.data()) + error * (most_row + most_) +
                projection_error() * most_row * norm + skew_ * norm * most_) +
        64 * kFloatError * norm * most_row + common;
  }
  return true;
}

ScanRows ScanCodes::rows(std::size_t depth, std::size_t block, const std::uint8_t** parts) const {
  const std::size_t first = block * kScanBlockRows;
  for (std::size_t part = 0; part < depths_[depth]; ++part) {
    parts[part] = parts_.data() + first * basis_dims_ + part * kScanBlockRows * kPartDims;
  }
  return {parts, depths_[depth], scales_.data() + first, tails_[depth].data() + first, nullptr};
}

void ScanCodes::near(const Query& query, std::size_t wanted, std::vector<Slot>& slots) const {
  std::vector<float> scores(cells_.size());
  kernels().dot_rows(query.first.data(), pivots_.data(), kPivotDims, kPivotDims, cells_.size(),
                     scores.data());
  std::vector<std::uint32_t> order(cells_.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto worse = [&](std::uint32_t a, std::uint32_t b) { return scores[a] < scores[b]; };
  std::make_heap(order.begin(), order.end(), worse);
  slots.clear();
  while (!order.empty() && slots.size() < wanted) {
    const std::vector<Slot>& cell = cells_[order.front()];
    const std::size_t taken = std::min(cell.size(), 2 * (wanted - slots.size()));
    slots.insert(slots.end(), cell.begin(), cell.begin() + static_cast<std::ptrdiff_t>(taken));
    std::pop_heap(order.begin(), order.end(), worse);
    order.pop_back();
  }
}

}  // namespace gapless
