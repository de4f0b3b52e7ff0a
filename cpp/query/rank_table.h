#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/types.h"
#include "query/fusion_options.h"
#include "query/ranked_lists.h"

namespace gapless {

// Ranked lists as a table that may be written to: a row for every item, a column for every list.
struct RankTable {
  std::size_t lists = 0;
  std::vector<Label> labels;
  std::vector<std::int32_t> ranks;  // (items, lists) from 1; 0 = not retrieved by that list
  std::vector<double> raw;          // (items, lists); NaN = no row there
  std::vector<Moments> cohorts;     // by list, for kCohort
  std::vector<ListCalibration> calibrations;  // by list, for kCalibrated

  std::size_t items() const { return labels.size(); }
  // Adds a list, best first; see RankedLists::add().
  void add_list(std::size_t list, const double* scores, const Label* found, std::size_t count);

  RankedLists retrieved;  // the same without completed scores
};

struct Fused {
  std::vector<double> scores;
  std::vector<std::size_t> items;  // rows of the table, best first
  std::vector<double> normalised;  // (items of the table, lists) of these items; NaN = nothing
};

inline bool uses_ranks(FusionMethod method) { return by_rank(parts_of(method).norm); }

Fused fuse(const RankTable& table, const std::vector<double>& weights, const FusionOptions& options,
           std::size_t k);

}  // namespace gapless
