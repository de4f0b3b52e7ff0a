#include "index/filter.h"

#include <algorithm>
#include <bit>

namespace gapless {

bool Filter::allows(Label label) const {
  if (label < 0) return false;
  if (items) label = item_of(label);
  if (kind == Kind::kLabels) return std::binary_search(labels.begin(), labels.end(), label);
  const auto byte = static_cast<std::size_t>(label / 8);
  return byte < bits.size() && ((bits[byte] >> (label % 8)) & 1);
}

SlotFilter::SlotFilter(const Filter& filter, const IndexView& view)
    : bits_((view.rows->capacity + 63) / 64, 0) {
  if (filter.kind == Filter::Kind::kLabels) {
    for (const Label label : filter.labels) {
      if (filter.items && (label < 0 || label > kItemMask)) continue;
      for (Label ordinal = 0;; ++ordinal) {  // those of an item are numbered without holes
        const Slot slot = view.slot(filter.items ? row_label(label, ordinal) : label);
        if (slot == kNoSlot) break;
        set(slot);
        if (!filter.items) break;
      }
    }
    return;
  }
  const std::size_t used = view.rows->used.load();
  for (Slot slot = 0; slot < used; ++slot) {
    if (filter.allows(view.rows->label(slot))) set(slot);
  }
}

void SlotFilter::set(Slot slot) {
  std::uint64_t& word = bits_[slot / 64];
  const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
  matches_ += (word & bit) == 0;
  word |= bit;
}

std::vector<Slot> SlotFilter::slots() const {
  std::vector<Slot> found;
  found.reserve(matches_);
  for (std::size_t word = 0; word < bits_.size(); ++word) {
    for (std::uint64_t rest = bits_[word]; rest != 0; rest &= rest - 1) {
      found.push_back(static_cast<Slot>(word * 64 + std::countr_zero(rest)));
    }
  }
  return found;
}

}  // namespace gapless
