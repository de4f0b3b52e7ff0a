#include "query/rank_table.h"

#include <algorithm>
#include <limits>

#include "query/fuse.h"

namespace gapless {
namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

}  // namespace

void RankTable::add_list(std::size_t list, const double* scores, const Label* found,
                         std::size_t count) {
  if (retrieved.lists() != lists) retrieved.reset(lists);
  retrieved.add(list, scores, found, count);
  labels.assign(retrieved.labels(), retrieved.labels() + retrieved.items());
  ranks.resize(items() * lists, 0);
  raw.resize(items() * lists, kNothing);
  const RankedLists::List& added = retrieved.list(list);
  for (std::size_t i = 0; i < added.retrieved; ++i) {
    ranks[added.items[i] * lists + list] = static_cast<std::int32_t>(i + 1);
    raw[added.items[i] * lists + list] = added.scores[i];
  }
}

Fused fuse(const RankTable& table, const std::vector<double>& weights, const FusionOptions& options,
           std::size_t k) {
  RankedLists lists = table.retrieved;
  if (lists.lists() != table.lists) lists.reset(table.lists);
  std::vector<ListTerms> terms(table.lists);
  for (std::size_t list = 0; list < table.lists; ++list) {
    terms[list].weight = weights[list];
    if (list < table.cohorts.size()) terms[list].cohort = table.cohorts[list];
    if (list < table.calibrations.size()) terms[list].calibration = table.calibrations[list];
    for (std::size_t item = 0; item < table.items(); ++item) {
      const std::size_t cell = item * table.lists + list;
      if (table.ranks[cell] != 0) continue;
      lists.complete(list, static_cast<RankedLists::Item>(item), table.raw[cell]);
    }
  }
  Fuser fuser;
  fuser.merge(lists, terms, options, k);
  Contributions said;
  fuser.contributions(lists, options, said);
  Fused fused;
  fused.scores = fuser.scores();
  fused.items.assign(fuser.items().begin(), fuser.items().end());
  fused.normalised.assign(table.items() * table.lists, kNothing);
  for (std::size_t i = 0; i < fused.items.size(); ++i) {
    std::copy_n(
        said.normalised.begin() + static_cast<std::ptrdiff_t>(i * table.lists), table.lists,
        fused.normalised.begin() + static_cast<std::ptrdiff_t>(fused.items[i] * table.lists));
  }
  return fused;
}

}  // namespace gapless
