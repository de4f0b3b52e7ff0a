#include "kernels/rank_merge.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gapless {

std::vector<MergedRank> rank_merge(const double* contributions, const double* weights,
                                   const Label* labels, std::size_t items, std::size_t lists,
                                   MergeRule rule, std::size_t k) {
  std::vector<MergedRank> merged;
  merged.reserve(items);
  for (std::size_t item = 0; item < items; ++item) {
    const double* row = contributions + item * lists;
    double sum = 0.0;
    double largest = -std::numeric_limits<double>::infinity();
    bool found = false;
    for (std::size_t list = 0; list < lists; ++list) {
      if (std::isnan(row[list])) continue;
      found = true;
      sum += weights[list] * row[list];
      largest = std::max(largest, weights[list] * row[list]);
    }
    if (found) merged.push_back({rule == MergeRule::kSum ? sum : largest, item});
  }
  const auto first = [labels](const MergedRank& a, const MergedRank& b) {
    return a.score != b.score ? a.score > b.score : labels[a.item] < labels[b.item];
  };
  const std::size_t kept = std::min(k, merged.size());
  std::partial_sort(merged.begin(), merged.begin() + static_cast<std::ptrdiff_t>(kept),
                    merged.end(), first);
  merged.resize(kept);
  return merged;
}

}  // namespace gapless
