#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/types.h"
#include "index/index_view.h"

namespace gapless {

// Which labels a search may return, as the caller says it: a list of labels, or a packed bitset in
// which bit (label % 8) of byte (label / 8) allows the label. Labels without a row are ignored.
struct Filter {
  enum class Kind { kLabels, kBits };
  Kind kind = Kind::kLabels;
  std::vector<Label> labels;  // ascending
  std::vector<std::uint8_t> bits;
  bool items = false;  // names items, of which each allows all its rows

  bool allows(Label label) const;
};

// A filter resolved against one index's rows: a bit per slot, set for live rows that match.
class SlotFilter {
 public:
  SlotFilter(const Filter& filter, const IndexView& view);

  bool allows(Slot slot) const { return (bits_[slot / 64] >> (slot % 64)) & 1; }
  std::size_t matches() const { return matches_; }
  std::vector<Slot> slots() const;  // ascending

 private:
  void set(Slot slot);

  std::vector<std::uint64_t> bits_;
  std::size_t matches_ = 0;
};

}  // namespace gapless
