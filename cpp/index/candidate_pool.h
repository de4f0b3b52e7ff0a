#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/types.h"

namespace gapless {

struct Candidate {
  float score;
  Slot slot;
};

// The rows a graph search has met, best first, and how far it has expanded them. Keeps at most
// `ef` rows that may be returned, plus those that may not but rank before the worst of these: they
// are the way to the others. A sorted array beats two heaps here, since most rows are rejected by
// one comparison.
class CandidatePool {
 public:
  void begin(std::size_t ef) {
    ef_ = ef;
    entries_.clear();
    allowed_ = 0;
    cursor_ = 0;
  }

  bool accepts(float score) const { return allowed_ < ef_ || score > entries_.back().score; }

  void insert(float score, Slot slot, bool allowed) {
    const auto at = std::upper_bound(entries_.begin(), entries_.end(), score,
                                     [](float s, const Entry& e) { return s > e.score; });
    const auto position = static_cast<std::size_t>(at - entries_.begin());
    entries_.insert(at, {score, slot | (allowed ? 0 : kRejected)});
    cursor_ = std::min(cursor_, position);
    allowed_ += allowed;
    if (allowed_ > ef_) {
      drop_rejected_tail();
      entries_.pop_back();
      --allowed_;
    }
    if (allowed_ == ef_) drop_rejected_tail();
  }

  // The best slot not expanded yet, now marked as expanded; kNoSlot when there is none.
  Slot expand_next() {
    while (cursor_ < entries_.size() && (entries_[cursor_].tagged & kExpanded)) ++cursor_;
    if (cursor_ >= entries_.size()) return kNoSlot;
    Entry& entry = entries_[cursor_++];
    const Slot slot = entry.tagged & kSlotMask;
    entry.tagged |= kExpanded;
    return slot;
  }

  // The slot that expand_next() would give if nothing better came; kNoSlot when there is none.
  Slot peek_next() const {
    for (std::size_t i = cursor_; i < entries_.size(); ++i) {
      if (!(entries_[i].tagged & kExpanded)) return entries_[i].tagged & kSlotMask;
    }
    return kNoSlot;
  }

  template <typename Visit>
  void for_each_allowed(const Visit& visit) const {
    for (const Entry& entry : entries_) {
      if (!(entry.tagged & kRejected)) visit(Candidate{entry.score, entry.tagged & kSlotMask});
    }
  }

 private:
  // Slots stay below 2^30, so two bits are free.
  static constexpr Slot kExpanded = Slot{1} << 31;
  static constexpr Slot kRejected = Slot{1} << 30;
  static constexpr Slot kSlotMask = kRejected - 1;

  struct Entry {
    float score;
    Slot tagged;
  };

  void drop_rejected_tail() {
    while (entries_.back().tagged & kRejected) entries_.pop_back();
  }

  std::size_t ef_ = 0;
  std::size_t allowed_ = 0;
  std::size_t cursor_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace gapless
