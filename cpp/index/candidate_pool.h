#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "core/types.h"

namespace gapless {

struct Candidate {
  float score;
  Slot slot;
};

// What a graph search is to find: the best k, by an effort.
struct SearchWidth {
  std::size_t k = 10;
  std::size_t ef = 64;  // rows kept, at most
  // Rows farther than (1 + reach) times the k-th nearest are let go; infinite: none.
  float reach = 0.0f;
  // Where a filter leaves rows that may not be returned but lead on, ef counts these too, and at
  // least so many that may are kept: more where they are rare, which is among more rows than
  // `crowd`. What is found there first is not so near, since the way to it leads around. Reach is
  // of no use then.
  std::size_t least = 0;
  std::size_t crowd = 0;
};

// The rows a graph search has met, best first, and how far it has expanded them. Keeps at most
// `ef` rows that may be returned, plus those that may not but rank before the worst of these: they
// are the way to the others. A sorted array beats two heaps here, since most rows are rejected by
// one comparison with limit().
class CandidatePool {
 public:
  void begin(const SearchWidth& width) {
    width_ = width;
    entries_.resize(width.ef + 2);
    size_ = 0;
    allowed_ = 0;
    cursor_ = 0;
    nearest_.clear();
    limit_ = kNoScore;
  }

  // Only rows that score more than this matter any more.
  float limit() const { return limit_; }

  void insert(float score, Slot slot, bool allowed) {
    put(score, slot, allowed);
    if (!allowed) return;
    if (++allowed_ > width_.ef) {
      drop_rejected_tail();
      --size_;
      --allowed_;
    }
    narrow(score);
  }

  // The same where width.least is set.
  void insert_mixed(float score, Slot slot, bool allowed) {
    put(score, slot, allowed);
    allowed_ += allowed;
    const std::size_t least = size_ > width_.crowd ? kRare * width_.least : width_.least;
    if (size_ < width_.ef || allowed_ < least) return;
    while (size_ > width_.ef) {
      const bool rejected = (entries_[size_ - 1].tagged & kRejected) != 0;
      if (!rejected && allowed_ == least) break;
      allowed_ -= !rejected;
      --size_;
    }
    limit_ = std::max(limit_, entries_[size_ - 1].score);
  }

  // The best slot not expanded yet, now marked as expanded; kNoSlot when none matters.
  Slot expand_next() {
    while (cursor_ < size_ && (entries_[cursor_].tagged & kExpanded)) ++cursor_;
    if (cursor_ >= size_ || entries_[cursor_].score < limit_) return kNoSlot;
    Entry& entry = entries_[cursor_++];
    const Slot slot = entry.tagged & kSlotMask;
    entry.tagged |= kExpanded;
    return slot;
  }

  // The slot that expand_next() would give if nothing better came; kNoSlot when there is none.
  Slot peek_next() const {
    for (std::size_t i = cursor_; i < size_; ++i) {
      if (!(entries_[i].tagged & kExpanded)) return entries_[i].tagged & kSlotMask;
    }
    return kNoSlot;
  }

  // The best `most` rows that may be returned.
  std::size_t best(std::size_t most, Candidate* out) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < size_ && count < most; ++i) {
      if (entries_[i].tagged & kRejected) continue;
      out[count++] = {entries_[i].score, entries_[i].tagged & kSlotMask};
    }
    return count;
  }

 private:
  // Slots stay below 2^30, so two bits are free.
  static constexpr Slot kExpanded = Slot{1} << 31;
  static constexpr Slot kRejected = Slot{1} << 30;
  static constexpr Slot kSlotMask = kRejected - 1;
  static constexpr std::size_t kRare = 2;

  struct Entry {
    float score;
    Slot tagged;
  };

  void put(float score, Slot slot, bool allowed) {
    if (size_ == entries_.size()) entries_.resize(2 * size_);
    Entry* const begin = entries_.data();
    Entry* const at = std::upper_bound(begin, begin + size_, score,
                                       [](float s, const Entry& e) { return s > e.score; });
    std::memmove(at + 1, at, static_cast<std::size_t>(begin + size_ - at) * sizeof(Entry));
    *at = {score, slot | (allowed ? 0 : kRejected)};
    ++size_;
    cursor_ = std::min(cursor_, static_cast<std::size_t>(at - begin));
  }

  void drop_rejected_tail() {
    while (entries_[size_ - 1].tagged & kRejected) --size_;
  }

  void narrow(float score) {
    if (nearest_.size() < width_.k || score > nearest_.back()) {
      nearest_.insert(std::upper_bound(nearest_.begin(), nearest_.end(), score, std::greater<>()),
                      score);
      if (nearest_.size() > width_.k) nearest_.pop_back();
    }
    if (nearest_.size() == width_.k && width_.reach < std::numeric_limits<float>::infinity()) {
      // Rounding takes scores beyond 1, and no distance is less than 0.
      const float distance = std::max(0.0f, 1.0f - nearest_.back());
      limit_ = std::max(limit_, nearest_.back() - width_.reach * distance);
    }
    if (allowed_ == width_.ef) {
      drop_rejected_tail();
      limit_ = std::max(limit_, entries_[size_ - 1].score);
    }
  }

  SearchWidth width_;
  std::size_t size_ = 0;
  std::size_t allowed_ = 0;
  std::size_t cursor_ = 0;
  float limit_ = kNoScore;
  std::vector<Entry> entries_;
  std::vector<float> nearest_;  // the k best scores that may be returned
};

}  // namespace gapless
