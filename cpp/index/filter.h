#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/types.h"
#include "index/index_view.h"

namespace gapless {

class SlotFilter;

// Which labels a search may return, as the caller says it: a list of labels, or a packed bitset in
// which bit (label % 8) of byte (label / 8) allows the label. Labels without a row are ignored. It
// must not change any more once an index was searched with it: what it comes to there is kept.
struct Filter {
  enum class Kind { kLabels, kBits };
  Kind kind = Kind::kLabels;
  std::vector<Label> labels;  // ascending
  std::vector<std::uint8_t> bits;
  bool items = false;  // names items, of which each allows all its rows

  Filter() = default;
  Filter(const Filter&) = default;  // a copy shares what is kept, and must not change either
  Filter& operator=(const Filter&) = default;

  bool allows(Label label) const;
  std::size_t count() const;  // of what it names

  // What this allows of an index's rows as they are now. Free while the rows stay what they were
  // the last time; any number of threads may ask.
  std::shared_ptr<const SlotFilter> resolve(const IndexView& view) const;

 private:
  struct Resolved {
    bool items;
    std::uint64_t table;    // whose rows,
    std::uint64_t changes;  // and as of which change
    std::shared_ptr<const SlotFilter> slots;
  };
  struct Known {
    std::mutex lock;
    std::vector<Resolved> resolved;  // the latest last
  };

  std::shared_ptr<Known> known_ = std::make_shared<Known>();
};

// A filter resolved against one index's rows: a bit per slot, set for live rows that match.
class SlotFilter {
 public:
  SlotFilter(const Filter& filter, const IndexView& view);

  bool allows(Slot slot) const { return (bits_[slot / 64] >> (slot % 64)) & 1; }
  std::size_t matches() const { return matches_; }
  std::vector<Slot> slots() const;  // ascending

  // Calls take(slots, count) on the matches, ascending, some at a time: at most `most`.
  template <std::size_t most, typename Take>
  void for_each(const Take& take) const {
    static_assert(most >= 64);
    Slot slots[most];
    std::size_t count = 0;
    for (std::size_t word = 0; word < bits_.size(); ++word) {
      if (count + 64 > most) {
        take(slots, count);
        count = 0;
      }
      for (std::uint64_t rest = bits_[word]; rest != 0; rest &= rest - 1) {
        slots[count++] = static_cast<Slot>(word * 64 + std::countr_zero(rest));
      }
    }
    if (count > 0) take(slots, count);
  }

 private:
  void set(Slot slot) { bits_[slot / 64] |= std::uint64_t{1} << (slot % 64); }
  void look_up(const Filter& filter, const IndexView& view, Label label);
  void look_up_all(const Filter& filter, const IndexView& view);
  void test_rows(const Filter& filter, const RowTable& rows);

  std::vector<std::uint64_t> bits_;
  std::size_t matches_ = 0;
};

}  // namespace gapless
