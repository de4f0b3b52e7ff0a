#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/types.h"

namespace gapless {

// Merging ranked lists over items that are numbered from 0: item i has total[i] and label[i], a
// list has `count` values, each for another item.

// total += weight * value, from totals of 0.
void merge_sum(const double* values, const std::uint32_t* items, std::size_t count, double weight,
               double* totals);
// The largest and the smallest weight * value, from totals of -infinity and +infinity.
void merge_max(const double* values, const std::uint32_t* items, std::size_t count, double weight,
               double* totals);
void merge_min(const double* values, const std::uint32_t* items, std::size_t count, double weight,
               double* totals);

// An item after the merge.
struct MergedRank {
  double score;
  std::uint32_t item;
};

// The k best items by total descending and label ascending, in that order; fewer when there are not
// so many. An item whose total is NaN is left out. `found` is overwritten.
void best_merged(const double* totals, const Label* labels, std::size_t items, std::size_t k,
                 std::vector<MergedRank>& found);

}  // namespace gapless
