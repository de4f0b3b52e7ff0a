#include "index/filter.h"

#include <bit>

namespace gapless {

SlotFilter::SlotFilter(const Filter& filter, const RowStore& rows)
    : bits_((rows.slots() + 63) / 64, 0) {
  if (filter.kind == Filter::Kind::kLabels) {
    for (const Label label : filter.labels) {
      const Slot slot = label < 0 ? kNoSlot : rows.slot(label);
      if (slot != kNoSlot) set(slot);
    }
    return;
  }
  for (Slot slot = 0; slot < rows.slots(); ++slot) {
    const Label label = rows.label(slot);
    if (label == kNoLabel) continue;
    const auto byte = static_cast<std::size_t>(label / 8);
    if (byte < filter.bits.size() && ((filter.bits[byte] >> (label % 8)) & 1)) set(slot);
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
