#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/rank_merge.h"
#include "query/fusion_options.h"
#include "query/list_values.h"
#include "query/ranked_lists.h"

namespace gapless {

// What each list gave to each of some items: matrices (items, lists).
struct Contributions {
  std::vector<std::int32_t> ranks;  // from 1; 0 = not retrieved by that list
  std::vector<double> raw;          // scores, completed; NaN = none
  std::vector<double> normalised;   // values before the weight, of calibrated the probability;
                                    // NaN = nothing was said
};

// Merges ranked lists into one; keeps its memory from one merge to the next. For one thread.
//
// Lists of weight other than 0 make values of their ranks or scores (Norm), an item's weighted
// values become one score (Rule), which a Factor may multiply. FusionMethod names such triples.
class Fuser {
 public:
  using Item = RankedLists::Item;

  // The k best items. check_fusion() has passed `options` and the weights of `terms`; where a
  // method wants them, every list of weight other than 0 has its cohort or its calibration. Throws
  // InvalidArgument when a calibration overflows.
  void merge(const RankedLists& lists, const std::vector<ListTerms>& terms,
             const FusionOptions& options, std::size_t k);

  // Of the last merge, best first.
  const std::vector<double>& scores() const { return scores_; }
  const std::vector<Item>& items() const { return items_; }
  // What the lists said of them; `lists` and `options` as in the last merge.
  void contributions(const RankedLists& lists, const FusionOptions& options, Contributions& found);

 private:
  void find_candidates(const RankedLists& lists, const std::vector<ListTerms>& terms,
                       const FusionOptions& options);
  void total(Rule rule, const std::vector<ListTerms>& terms, std::size_t items);
  void divide_by_weight(const std::vector<ListTerms>& terms, std::size_t items);
  void multiply(const FusionOptions& options, const std::vector<ListTerms>& terms,
                std::size_t items);
  void take_medians(const std::vector<ListTerms>& terms, std::size_t items);
  void count_values(std::size_t items);
  void merge_evidence(const RankedLists& lists, const std::vector<ListTerms>& terms,
                      const FusionOptions& options, std::size_t k);
  void weigh_contenders(const RankedLists& lists, const std::vector<ListTerms>& terms,
                        const FusionOptions& options, std::size_t k);
  void leave_out_strangers();

  std::vector<ListValues> said_;  // by list; the first lists_ are in use
  std::size_t lists_ = 0;
  std::size_t candidates_ = 0;              // items that a list of positive weight speaks of
  std::vector<std::uint8_t> is_candidate_;  // by item; empty when all are
  std::vector<double> totals_;              // by item, as all that follow
  std::vector<double> weights_;
  std::vector<std::uint32_t> counts_;
  std::vector<std::uint32_t> places_;
  std::vector<double> values_;
  std::vector<double> factors_;  // by count
  std::vector<MergedRank> best_;
  std::vector<double> scores_;
  std::vector<Item> items_;
};

}  // namespace gapless
