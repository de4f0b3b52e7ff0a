#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/buffer.h"
#include "core/publish.h"
#include "core/types.h"
#include "index/codes.h"
#include "index/effort.h"
#include "index/index_view.h"

namespace gapless {

// Links of the rows to each other, of fixed capacity. A row's links lie on whole cache lines and
// end at the first kNoSlot. One link into every linked row but the root belongs to a tree that
// spans them all and is never pruned, so that every row can be reached, whatever the others do.
// Rows equal to a linked one hang on a chain behind it and have no links of their own.
struct Graph {
  static constexpr Slot kTreeLink = Slot{1} << 31;   // tags of a link
  static constexpr Slot kQueryLink = Slot{1} << 30;  // made for queries, not for rows
  static constexpr Slot kSlotMask = kMaxSlots - 1;
  static constexpr std::size_t kSlotsPerLine = 64 / sizeof(Slot);
  static constexpr std::size_t kRouters = 64;
  static constexpr std::size_t kFillPercent = 75;

  enum class State : std::uint8_t { kFree, kLinked, kChained, kRemoved };

  Graph(std::size_t slots, std::size_t most_links)
      : capacity(slots),
        degree(most_links),
        stride((most_links + kSlotsPerLine - 1) / kSlotsPerLine * kSlotsPerLine) {
    links.allocate(slots * stride);
    chain.resize(slots, kNoSlot);
    states.resize(slots, State::kFree);
    routers.fill(kNoSlot);
  }

  // Takes over a smaller graph.
  void copy(const Graph& from) {
    std::copy_n(from.links.data(), from.capacity * stride, links.data());
    std::copy_n(from.chain.data(), from.capacity, chain.data());
    std::copy_n(from.states.data(), from.capacity, states.data());
    routers = from.routers;
    root = from.root;
    linked.store(from.linked.load());
  }

  Slot* row(Slot slot) { return links.data() + slot * stride; }
  const Slot* row(Slot slot) const { return links.data() + slot * stride; }
  State state(Slot slot) const { return acquire(states[slot]); }
  Slot next_equal(Slot slot) const { return acquire(chain[slot]); }
  // A full list is pruned to this many links, so that the next ones need no pruning.
  std::size_t pruned() const { return degree * kFillPercent / 100; }
  std::size_t bytes() const { return links.bytes() + chain.bytes() + states.bytes(); }

  std::size_t capacity;
  std::size_t degree;
  std::size_t stride;
  Buffer<Slot> links;
  Buffer<Slot> chain;  // the next equal row, or kNoSlot
  Buffer<State> states;
  std::array<Slot, kRouters> routers;  // a sample of linked rows, the root first
  Slot root = kNoSlot;
  std::atomic<std::size_t> linked{0};  // rows, for readers to see whether there are any
};

struct GraphView : IndexView {
  std::shared_ptr<Codes> codes;
  std::shared_ptr<Graph> graph;
  std::shared_ptr<const Efforts> efforts;
};

}  // namespace gapless
