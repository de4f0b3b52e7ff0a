#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/types.h"

namespace gapless {

// The largest size of a score that fusion takes: squares and weighted sums of such stay finite.
inline constexpr double kLargestScore = 1e100;

// Ranked lists over one numbering of their items: the item i is the i-th label that was met. To be
// used again and again: reset() keeps the memory.
class RankedLists {
 public:
  using Item = std::uint32_t;

  // A list's items, those that it retrieved first and best first, then completed ones.
  struct List {
    std::vector<Item> items;
    std::vector<double> scores;
    std::size_t retrieved = 0;
  };

  // `entries`, when known, is how many the lists will have together: it spares making room anew.
  void reset(std::size_t lists, std::size_t entries = 0);
  // Adds what a list retrieved, best first; kNoLabel ends it early. Once for a list, and before
  // anything of it is completed. Throws InvalidArgument for a score that is not finite or above
  // kLargestScore in size, scores out of order, or a label that occurs twice; reset() then.
  void add(std::size_t list, const double* scores, const Label* found, std::size_t count);
  // Adds the score of an item that another list retrieved and this one does not hold. NaN, which is
  // what indexes give where there is no row, adds nothing.
  void complete(std::size_t list, Item item, double score);
  // The items that a list does not hold, ascending.
  void missing(std::size_t list, std::vector<Item>& items);

  std::size_t lists() const { return count_; }
  std::size_t items() const { return items_; }
  const Label* labels() const { return labels_.data() + 1; }  // by item
  const List& list(std::size_t number) const { return lists_[number]; }

 private:
  void make_room(std::size_t more);
  std::size_t place(Label label) const;

  std::vector<List> lists_;  // the first count_ are in use
  std::size_t count_ = 0;
  std::size_t items_ = 0;
  // By 1 + item; place 0 is that of no item.
  std::vector<Label> labels_{kNoLabel};
  std::vector<std::uint32_t> last_{0};  // 1 + the last list that retrieved it
  // Label -> 1 + item, 0 for none, by linear probing at most half full.
  std::vector<std::uint32_t> entries_;
  std::size_t size_ = 0;            // entries in use, a power of two
  std::vector<std::uint8_t> held_;  // of missing()
};

}  // namespace gapless
