#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/types.h"
#include "index/scan_codes.h"
#include "index/scan_pass.h"
#include "index/top_k.h"

namespace gapless {

// Exact search through codes. Its answer is that of a scan of all f32 rows by kernels().dot_rows,
// bit for bit: a row is passed over only when a bound, whose every rounding is accounted for, says
// that its score cannot reach the k-th best. Where the bounds prune too little, that scan is what
// is done. Searches may run beside each other, not beside a change.
class ExactScan {
 public:
  explicit ExactScan(std::size_t dim) : dim_(dim), codes_(dim) {}
  // What `from` has of these rows, ascending, numbered from 0, with room for more.
  ExactScan(const ExactScan& from, const Slot* slots, std::size_t count, std::size_t room,
            std::size_t threads);

  // Codes all the rows, on a basis of their own.
  void pack(const float* rows, std::size_t stride, std::size_t count, std::size_t threads);
  // Codes the rows from coded() on; all of them, on a new basis, when they have outgrown the old.
  void extend(const float* rows, std::size_t stride, std::size_t count, std::size_t threads);
  // Codes again rows that have changed.
  void replace(const float* rows, std::size_t stride, const Slot* slots, std::size_t count);

  bool outgrown(std::size_t count) const;
  std::size_t coded() const { return codes_.size(); }
  std::size_t memory_bytes() const { return codes_.memory_bytes(); }

  // Pushes the k best rows of each query to best[q], an empty TopK(k). Rows that are not coded yet
  // are searched as they are.
  void search(const ScanTarget* queries, std::size_t query_count, std::size_t k,
              const ScannedRows& rows, std::size_t threads, TopK* best) const;

  void search(const ScanTarget* queries, std::size_t query_count, std::size_t k,
              const ScannedRows& rows, std::size_t threads, TopK* best, ScanCounts& counts) const;

 private:
  std::size_t dim_;
  ScanCodes codes_;
  std::size_t packed_ = 0;  // rows when the basis was made
};

}  // namespace gapless
