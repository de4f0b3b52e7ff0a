#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>

#include "core/prefetch.h"
#include "core/types.h"

namespace gapless {

// Label -> slot by linear probing at most half full. An entry is a slot alone; its label is the one
// that the slot bears, so a reader beside the writer can be late, but never wrong. One writer.
class LabelTable {
 public:
  explicit LabelTable(std::size_t labels)
      : size_(std::bit_ceil(2 * labels + 16)), entries_(new std::atomic<Slot>[size_]) {
    for (std::size_t i = 0; i < size_; ++i) entries_[i].store(kNoSlot, std::memory_order_relaxed);
  }

  std::size_t bytes() const { return size_ * sizeof(Slot); }
  bool has_room(std::size_t labels) const { return 2 * (filled_ + labels) <= size_; }
  // Changes with every move or removal.
  std::size_t version() const { return version_.load(std::memory_order_acquire); }

  // `label_of(slot)` says which label a slot bears now.
  template <typename LabelOf>
  Slot find(Label label, const LabelOf& label_of) const {
    for (;;) {
      const std::size_t before = version();
      for (std::size_t i = home(label);; i = (i + 1) & (size_ - 1)) {
        const Slot slot = entries_[i].load(std::memory_order_acquire);
        if (slot == kNoSlot) break;
        if (slot != kRemoved && label_of(slot) == label) return slot;
      }
      // A label that moved while we looked can be missed.
      if (version() == before) return kNoSlot;
    }
  }

  // Sends for the memory that find() starts at.
  void touch(Label label) const { GAPLESS_PREFETCH(&entries_[home(label)]); }
  // The slot that find() looks at first, or a number that is none.
  Slot first(Label label) const { return entries_[home(label)].load(std::memory_order_relaxed); }

  // Adds a label that is not there. The slot bears it already.
  void add(Label label, Slot slot) {
    std::size_t i = home(label);
    while (entries_[i].load(std::memory_order_relaxed) != kNoSlot) i = (i + 1) & (size_ - 1);
    entries_[i].store(slot, std::memory_order_release);
    ++filled_;
  }
  // Points a label elsewhere; both slots bear it until the old one drops it after this.
  void move(Label label, Slot from, Slot to) {
    entry(label, from).store(to, std::memory_order_release);
    version_.fetch_add(1, std::memory_order_acq_rel);
  }
  // Forgets a label that its slot still bears.
  void remove(Label label, Slot slot) {
    entry(label, slot).store(kRemoved, std::memory_order_release);
    version_.fetch_add(1, std::memory_order_acq_rel);
  }

 private:
  static constexpr Slot kRemoved = kNoSlot - 1;

  std::size_t home(Label label) const {
    std::uint64_t x = static_cast<std::uint64_t>(label) * 0x9E3779B97F4A7C15u;
    x ^= x >> 32;
    return static_cast<std::size_t>(x) & (size_ - 1);
  }
  std::atomic<Slot>& entry(Label label, Slot slot) {
    std::size_t i = home(label);
    while (entries_[i].load(std::memory_order_relaxed) != slot) i = (i + 1) & (size_ - 1);
    return entries_[i];
  }

  std::size_t size_;
  std::size_t filled_ = 0;  // entries ever used
  std::unique_ptr<std::atomic<Slot>[]> entries_;
  std::atomic<std::size_t> version_{0};
};

}  // namespace gapless
