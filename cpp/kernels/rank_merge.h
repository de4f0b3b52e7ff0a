#pragma once

#include <cstddef>
#include <vector>

#include "core/types.h"

namespace gapless {

// How one item's contributions from several lists become one score.
enum class MergeRule { kSum, kMax };

// An item after the merge: its fused score and its row in the table of contributions.
struct MergedRank {
  double score;
  std::size_t item;
};

// Merges `items` rows of `lists` contributions (row-major; NaN = the list says nothing of the item)
// into the `k` best, by score descending and label ascending. kSum adds weight * contribution;
// kMax takes the largest such product. An item of which no list says anything is left out.
std::vector<MergedRank> rank_merge(const double* contributions, const double* weights,
                                   const Label* labels, std::size_t items, std::size_t lists,
                                   MergeRule rule, std::size_t k);

}  // namespace gapless
