#pragma once

#include <cstddef>
#include <vector>

#include "core/buffer.h"
#include "core/types.h"
#include "index/label_map.h"

namespace gapless {

// Writes `count` rows of `dim` floats to `out` (may be `in`) at unit length. Throws InvalidVector
// naming the first row that is zero, NaN or infinite.
void unit_rows(const float* in, std::size_t count, std::size_t dim, float* out);

// Unit f32 rows by slot, the label of each, and the way back. A slot without label is free, or a
// tombstone that a graph still walks through; which of the two is the index's to know. Each row
// starts on a cache line. Not thread-safe: its index locks.
class RowStore {
 public:
  explicit RowStore(std::size_t dim) : dim_(dim), stride_((dim + 15) / 16 * 16) {}

  std::size_t dim() const { return dim_; }
  std::size_t stride() const { return stride_; }
  std::size_t size() const { return slots_.size(); }    // rows with a label
  std::size_t slots() const { return labels_.size(); }  // rows ever allocated
  std::size_t memory_bytes() const;

  const float* vectors() const { return vectors_.data(); }
  const float* vector(Slot slot) const { return vectors_.data() + slot * stride_; }
  const Label* labels() const { return labels_.data(); }
  Label label(Slot slot) const { return labels_[slot]; }
  Slot slot(Label label) const { return slots_.find(label); }
  std::vector<Label> sorted_labels() const;

  // Slots there will be when `count` more rows have come.
  std::size_t slots_after(std::size_t count) const {
    return slots() + (count > free_.size() ? count - free_.size() : 0);
  }
  // Makes room for `count` more rows: after it, so many `put`s, and any `drop` or `recycle`, cannot
  // fail. Changes nothing when it fails itself.
  void reserve(std::size_t count);
  // Stores a unit row in a recycled slot or a new one. The label must not be present.
  Slot put(Label label, const float* unit_row);
  // Takes the label from its slot and returns the slot, which stays allocated.
  Slot drop(Label label);
  // Gives a slot without label to later `put`s.
  void recycle(Slot slot) { free_.push_back(slot); }
  // Takes over rows and labels as they were; throws Corruption when they cannot be a row store's.
  void restore(const float* vectors, const Label* labels, std::size_t count);

 private:
  std::size_t dim_;
  std::size_t stride_;
  Buffer<float> vectors_;
  Buffer<Label> labels_;
  LabelMap slots_;
  std::vector<Slot> free_;
};

}  // namespace gapless
