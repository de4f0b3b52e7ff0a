#include "kernels/rank_merge.h"

#include <algorithm>
#include <cmath>

namespace gapless {

void merge_sum(const double* values, const std::uint32_t* items, std::size_t count, double weight,
               double* totals) {
  for (std::size_t i = 0; i < count; ++i) totals[items[i]] += weight * values[i];
}

void merge_max(const double* values, const std::uint32_t* items, std::size_t count, double weight,
               double* totals) {
  for (std::size_t i = 0; i < count; ++i) {
    totals[items[i]] = std::max(totals[items[i]], weight * values[i]);
  }
}

void merge_min(const double* values, const std::uint32_t* items, std::size_t count, double weight,
               double* totals) {
  for (std::size_t i = 0; i < count; ++i) {
    totals[items[i]] = std::min(totals[items[i]], weight * values[i]);
  }
}

void best_merged(const double* totals, const Label* labels, std::size_t items, std::size_t k,
                 std::vector<MergedRank>& found) {
  const auto first = [labels](const MergedRank& a, const MergedRank& b) {
    return a.score != b.score ? a.score > b.score : labels[a.item] < labels[b.item];
  };
  found.clear();
  if (k == 0) return;
  std::size_t item = 0;
  for (; item < items && found.size() < k; ++item) {
    if (!std::isnan(totals[item]))
      found.push_back({totals[item], static_cast<std::uint32_t>(item)});
  }
  // A heap whose front is the last of the k best so far: most items do not reach it.
  std::make_heap(found.begin(), found.end(), first);
  for (; item < items; ++item) {
    if (!(totals[item] >= found.front().score)) continue;
    const MergedRank next = {totals[item], static_cast<std::uint32_t>(item)};
    if (!first(next, found.front())) continue;
    std::pop_heap(found.begin(), found.end(), first);
    found.back() = next;
    std::push_heap(found.begin(), found.end(), first);
  }
  std::sort_heap(found.begin(), found.end(), first);
}

}  // namespace gapless
