#pragma once

#include <cstddef>
#include <vector>

#include "core/types.h"

namespace gapless {

// Label -> slot by linear probing at most half full; 12 bytes an entry where std::unordered_map
// takes 40 and a cache miss more. Not thread-safe.
class LabelMap {
 public:
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return entries_.capacity() * sizeof(Entry); }

  Slot find(Label label) const {
    if (entries_.empty()) return kNoSlot;
    for (std::size_t i = home(label);; i = next(i)) {
      if (entries_[i].label == label) return entries_[i].slot;
      if (entries_[i].label == kNoLabel) return kNoSlot;
    }
  }

  // Adds the label, or points it elsewhere.
  void assign(Label label, Slot slot) {
    if (2 * (size_ + 1) > entries_.size()) grow(2 * (size_ + 1));
    size_ += place(label, slot);
  }

  void erase(Label label) {
    if (find(label) == kNoSlot) return;
    std::size_t hole = home(label);
    while (entries_[hole].label != label) hole = next(hole);
    // Moves later entries of the run back, so that no probe ends too early.
    for (std::size_t i = next(hole); entries_[i].label != kNoLabel; i = next(i)) {
      const std::size_t from_home = (i - home(entries_[i].label)) & (entries_.size() - 1);
      const std::size_t from_hole = (i - hole) & (entries_.size() - 1);
      if (from_home >= from_hole) {
        entries_[hole] = entries_[i];
        hole = i;
      }
    }
    entries_[hole] = Entry{};
    --size_;
  }

  void reserve(std::size_t size) {
    if (2 * size > entries_.size()) grow(2 * size);
  }

 private:
  struct __attribute__((packed)) Entry {
    Label label = kNoLabel;
    Slot slot = kNoSlot;
  };

  std::size_t home(Label label) const {
    std::uint64_t x = static_cast<std::uint64_t>(label) * 0x9E3779B97F4A7C15u;
    x ^= x >> 32;
    return static_cast<std::size_t>(x) & (entries_.size() - 1);
  }
  std::size_t next(std::size_t i) const { return (i + 1) & (entries_.size() - 1); }

  bool place(Label label, Slot slot) {
    std::size_t i = home(label);
    while (entries_[i].label != kNoLabel && entries_[i].label != label) i = next(i);
    const bool fresh = entries_[i].label == kNoLabel;
    entries_[i].label = label;
    entries_[i].slot = slot;
    return fresh;
  }

  void grow(std::size_t wanted) {
    std::size_t capacity = 16;
    while (capacity < wanted) capacity *= 2;
    std::vector<Entry> old(capacity);
    old.swap(entries_);
    for (const Entry& entry : old) {
      if (entry.label != kNoLabel) place(entry.label, entry.slot);
    }
  }

  std::vector<Entry> entries_;
  std::size_t size_ = 0;
};

}  // namespace gapless
