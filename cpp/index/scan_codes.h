#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "core/types.h"
#include "kernels/scan.h"

namespace gapless {

// Rows that are scanned together: what is kept of them stays in the cache while all queries pass.
inline constexpr std::size_t kScanBlockRows = 1024;

// What an exact scan keeps of its rows, with everything that its bounds need. A row x is centred, w
// = x - mean, and kept twice:
//   prefix: y = B w in parts of int8, B the leading directions of the rows, and the norm of what
//           the first dims of y leave of w, for a few depths;
//   line:   all dims of w in int8, its scale and its own residual norm.
class ScanCodes {
 public:
  static constexpr std::size_t kDepths = 4;

  explicit ScanCodes(std::size_t dim);
  // These rows of another's, ascending, numbered from 0, with room for more.
  ScanCodes(const ScanCodes& from, const Slot* slots, std::size_t count, std::size_t room,
            std::size_t threads);
  ScanCodes(ScanCodes&&) = default;
  ScanCodes& operator=(ScanCodes&&) = default;

  // Builds the basis from a sample of the rows, and codes all.
  void build(const float* rows, std::size_t stride, std::size_t count, std::size_t threads);
  // Codes rows [size(), count) by the basis there is.
  void extend(const float* rows, std::size_t stride, std::size_t count, std::size_t threads);
  // Codes these rows anew.
  void replace(const float* rows, std::size_t stride, const Slot* slots, std::size_t count);

  std::size_t size() const { return size_; }
  std::size_t memory_bytes() const;

  // A query's first dims and all of them, coded, for bounds of <query, row>.
  struct Query {
    std::vector<float> first;             // B query, for the cells
    std::vector<std::int8_t> prefix;      // codes of it
    std::vector<std::int8_t> line;        // codes of the query
    std::array<ScanQuery, kDepths> at;    // by depth; limit and shift are yet to be set
    std::array<double, kDepths> slack{};  // by depth: part of the bound that no row changes
    double prefix_scale = 0.0;
    double line_scale = 0.0;
    std::int32_t line_sum = 0;
    double line_norm = 0.0;   // times a row's residual norm
    double line_slack = 0.0;  // what is left of the line's bound
    double mean = 0.0;        // <query, mean of the rows>
    double norm = 0.0;
  };
  // False when the query's norm is out of the range of the bounds' arithmetic.
  bool encode(const float* vector, Query& query) const;

  std::size_t depths() const { return depths_.size(); }
  std::size_t part_count() const { return basis_dims_ / kPartDims; }
  std::size_t depth_parts(std::size_t depth) const { return depths_[depth]; }
  // The rows of one block, to be scanned from 0.
  ScanRows rows(std::size_t depth, std::size_t block, const std::uint8_t** parts) const;
  const std::uint8_t* lines() const { return lines_.data(); }
  std::size_t line_dims() const { return line_dims_; }
  float line_scale(Slot slot) const { return line_scales_[slot]; }
  float line_error(Slot slot) const { return line_errors_[slot]; }
  // Rows of the cells nearest to the query until there are `wanted`.
  void near(const Query& query, std::size_t wanted, std::vector<Slot>& slots) const;

 private:
  void find_pivots(const float* rows, std::size_t stride, std::size_t count);
  // Codes rows at `rows` as these slots; returns the largest norm of a centred one.
  double code(const float* rows, std::size_t stride, const Slot* slots, std::size_t count,
              std::uint16_t* cells);
  void code_prefix(const float* y, double norm, double error, Slot slot);
  double code_line(const float* row, Slot slot);
  // What float arithmetic may be off in B x, in units of |x| (and of |mean| for rows).
  double projection_error() const;
  void resize(std::size_t count);
  // Of a row's prefix, its first four codes.
  std::size_t prefix_at(std::size_t slot) const {
    const std::size_t in_block = slot % kScanBlockRows;
    return slot / kScanBlockRows * kScanBlockRows * basis_dims_ +
           in_block / kPanelRows * kPartDims * kPanelRows + in_block % kPanelRows * 4;
  }

  std::size_t dim_;
  std::size_t line_dims_;
  // That a line's dims are multiplied by: no structure of the rows survives the transform of it.
  std::vector<double> signs_;
  std::size_t size_ = 0;
  std::vector<double> mean_;
  std::vector<float> basis_;    // basis_dims_ x dim_
  std::vector<double> centre_;  // B mean
  std::size_t basis_dims_ = 0;
  double skew_ = 0.0;  // of the basis: norm of B B' - 1
  double mean_norm_ = 0.0;
  double most_ = 0.0;                // largest norm of a centred row
  std::vector<std::size_t> depths_;  // in parts, ascending
  // Block by block, part by part: parts a power of two apart would share a few sets of a cache.
  Buffer<std::uint8_t> parts_;
  Buffer<float> scales_;
  std::array<Buffer<float>, kDepths> tails_;
  Buffer<std::uint8_t> lines_;
  Buffer<float> line_scales_;
  Buffer<float> line_errors_;
  std::vector<float> pivots_;  // kPivotDims each
  std::vector<float> pivot_offsets_;
  std::vector<std::vector<Slot>> cells_;
};

}  // namespace gapless
