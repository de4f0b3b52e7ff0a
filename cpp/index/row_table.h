#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "core/publish.h"
#include "core/types.h"

namespace gapless {

// Rows by slot: the label of each and, when kept, its unit f32 values, each row on a cache line. Of
// fixed capacity, so that readers beside the writer never see it move. A slot without label is
// free, or a waypoint of a graph; which of the two is the index's to know.
struct RowTable {
  RowTable(std::size_t row_dim, std::size_t slots, bool keep_vectors)
      : dim(row_dim), stride((row_dim + 15) / 16 * 16), capacity(slots), has_vectors(keep_vectors) {
    labels.resize(slots, kNoLabel);
    live_bits.resize((slots + 63) / 64, 0);
    if (keep_vectors) vectors.allocate(slots * stride);
  }

  const float* vector(Slot slot) const { return vectors.data() + slot * stride; }
  Label label(Slot slot) const { return acquire(labels[slot]); }
  // Whether a slot bears a label: the same, from a table small enough to stay in cache.
  bool is_live(Slot slot) const { return acquire(live_bits[slot / 64]) >> (slot % 64) & 1; }
  void set_live(Slot slot, bool is) {
    std::uint64_t& word = live_bits[slot / 64];
    const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
    publish(word, is ? word | bit : word & ~bit);
    changes.store(changes.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  // Takes over the rows of another table: row i here was row from_slots[i] there.
  void copy(const RowTable& from, const std::vector<Slot>& from_slots) {
    for (Slot slot = 0; slot < from_slots.size(); ++slot) {
      const Slot old = from_slots[slot];
      labels[slot] = from.labels[old];
      set_live(slot, labels[slot] != kNoLabel);
      if (has_vectors) std::copy_n(from.vector(old), stride, vectors.data() + slot * stride);
    }
    used.store(from_slots.size());
    live.store(from.live.load());
  }

  std::size_t bytes() const { return labels.bytes() + live_bits.bytes(); }

  std::size_t dim;
  std::size_t stride;
  std::size_t capacity;
  bool has_vectors;
  Buffer<Label> labels;
  Buffer<std::uint64_t> live_bits;
  Buffer<float> vectors;
  std::atomic<std::size_t> used{0};  // slots below this have been in use
  std::atomic<std::size_t> live{0};  // those with a label
  // Rows that have come or gone so far: what was learnt of the live rows holds until it changes.
  std::atomic<std::uint64_t> changes{0};
  const std::uint64_t id = next_id();  // no other table of this process has it

 private:
  static std::uint64_t next_id() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1) + 1;
  }
};

}  // namespace gapless
