#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "query/fusion_options.h"
#include "query/ranked_lists.h"

namespace gapless {

// What one list says: a value for each of some items, before its weight. Keeps its memory.
class ListValues {
 public:
  using Item = RankedLists::Item;

  // Applies the method's norm to a list. `candidates` are the items that a list of weight says
  // anything of, `is_candidate` flags them, empty for all items.
  void normalise(const RankedLists& lists, std::size_t list, const ListTerms& terms,
                 const FusionOptions& options, std::size_t candidates,
                 const std::vector<std::uint8_t>& is_candidate);
  void clear() { values_.clear(); }

  std::size_t size() const { return values_.size(); }
  const Item* items() const { return items_; }
  const double* values() const { return values_.data(); }
  std::vector<double>& values() { return values_; }

 private:
  void by_score(const RankedLists::List& list, const ListTerms& terms,
                const FusionOptions& options);
  void by_rank(const RankedLists::List& list, const Label* labels, double weight,
               const FusionOptions& options, std::size_t candidates);
  void rank_all(const RankedLists::List& list, const Label* labels);
  void share_rest(double share, std::size_t items, const std::vector<std::uint8_t>& is_candidate);

  const Item* items_ = nullptr;  // the list's, or extended_
  std::vector<double> values_;
  std::vector<Item> extended_;
  std::vector<std::uint32_t> order_;  // entries of the list, best first
  std::vector<double> ranked_;        // values by rank
  std::vector<std::uint8_t> held_;
};

// How many of a list's leading entries say something under these options.
std::size_t spoken(const RankedLists::List& list, const FusionOptions& options);

}  // namespace gapless
