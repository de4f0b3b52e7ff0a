#include <algorithm>

#include "core/thread_pool.h"
#include "index/hnsw.h"

namespace gapless {
namespace {

// Tombstones are cleared away when they are this share of the live rows, and at least so many.
constexpr std::size_t kTombstoneShare = 8;
constexpr std::size_t kTombstonesKept = 64;

}  // namespace

void HnswIndex::erase(const std::vector<Slot>& slots) {
  Graph& graph = *own().graph;
  std::vector<Slot> freed;
  freed.reserve(slots.size());
  tombstones_.reserve(tombstones_.size() + slots.size());
  recycle({}, slots.size());
  unchain(graph, slots, freed);
  for (const Slot slot : slots) {
    const Graph::State state = graph.state(slot);
    if (state == Graph::State::kChained) continue;  // by now out of its chain
    // An equal row takes the place of the removed one, by bearing its label there.
    const Slot equal = graph.chain[slot];
    if (state == Graph::State::kLinked && equal != kNoSlot) {
      move_label(equal, slot);
      publish(graph.chain[slot], graph.chain[equal]);
      freed.push_back(equal);
      continue;
    }
    graph.linked -= state == Graph::State::kLinked;
    publish(graph.states[slot], Graph::State::kRemoved);
    tombstones_.push_back(slot);
  }
  for (const Slot slot : freed) publish(graph.states[slot], Graph::State::kFree);
  recycle(freed);
  const std::size_t live = seen().rows->live.load();
  const std::size_t most = std::max(kTombstonesKept, live / kTombstoneShare);
  // With no live row left, new ones would find nothing to link to.
  if (live == 0 || tombstones_.size() > most) repair();
}

// Takes the removed rows among `slots` out of the chains they hang on, each chain in one go.
void HnswIndex::unchain(Graph& graph, const std::vector<Slot>& slots, std::vector<Slot>& freed) {
  std::vector<Slot> heads;
  for (const Slot slot : slots) {
    if (graph.state(slot) == Graph::State::kChained) heads.push_back(graph.row(slot)[0]);
  }
  std::sort(heads.begin(), heads.end());
  heads.erase(std::unique(heads.begin(), heads.end()), heads.end());
  const RowTable& rows = *own().rows;
  for (const Slot head : heads) {
    Slot before = head;
    for (Slot slot = graph.chain[head]; slot != kNoSlot; slot = graph.chain[slot]) {
      if (rows.label(slot) != kNoLabel) {
        before = slot;
        continue;
      }
      publish(graph.chain[before], graph.chain[slot]);
      freed.push_back(slot);
    }
  }
}

void HnswIndex::tidy() {
  if (!tombstones_.empty()) repair();
}

// Links the live neighbours of removed rows to each other and frees the removed rows' slots. Each
// live row rewrites only its own links and reads only those of removed ones, so rows need no locks.
void HnswIndex::repair() {
  GraphView& view = own();
  Graph& graph = *view.graph;
  if (tombstones_.size() > view.rows->live.load()) {  // little is left to mend
    rebuild();
    return;
  }
  const std::size_t used = view.rows->used.load();
  parallel_for(used, 0, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t slot = begin; slot < end; ++slot) {
      if (graph.state(static_cast<Slot>(slot)) == Graph::State::kLinked) {
        repair_links(view, static_cast<Slot>(slot));
      }
    }
  });
  for (const Slot slot : tombstones_) publish(graph.states[slot], Graph::State::kFree);
  if (graph.state(graph.root) != Graph::State::kLinked) {
    graph.root = kNoSlot;
    for (Slot slot = 0; slot < used && graph.root == kNoSlot; ++slot) {
      if (graph.state(slot) == Graph::State::kLinked) graph.root = slot;
    }
  }
  const std::vector<Slot> lost = regrow_tree(graph);
  choose_routers(graph);
  recycle(tombstones_);
  tombstones_.clear();
  relink(view, lost, 0);
}

// A new graph of the live rows, beside the old one that readers still walk.
void HnswIndex::rebuild() {
  auto next = std::make_unique<GraphView>(seen());
  const Graph& old = *seen().graph;
  next->graph = std::make_shared<Graph>(old.capacity, old.degree);
  std::vector<Slot> live;
  for (Slot slot = 0; slot < next->rows->used.load(); ++slot) {
    Slot* row = next->graph->row(slot);
    std::fill(row, row + next->graph->stride, kNoSlot);
    if (next->rows->label(slot) != kNoLabel) live.push_back(slot);
  }
  routers_from_ = 0;
  link_all(*next, live, 0);
  forget_recalls(*next);
  recycle(tombstones_);
  tombstones_.clear();
  show(std::move(next));
}

// Links rows anew that no link leads to. Those equal to them, if any, go with them.
void HnswIndex::relink(GraphView& view, const std::vector<Slot>& lost, std::size_t threads) {
  Graph& graph = *view.graph;
  std::vector<Slot> rows;
  for (const Slot head : lost) {
    Slot* row = graph.row(head);
    for (std::size_t i = 0; i < graph.degree; ++i) publish(row[i], kNoSlot);
    rows.push_back(head);
    for (Slot slot = graph.chain[head]; slot != kNoSlot; slot = graph.chain[slot]) {
      rows.push_back(slot);
    }
  }
  for (const Slot slot : rows) {
    publish(graph.chain[slot], kNoSlot);
    publish(graph.states[slot], Graph::State::kFree);
  }
  parallel_for(rows.size(), threads, 16, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) link_one(view, rows[i]);
  });
}

// Replaces links to removed rows by links to the live rows behind them. A chain of removed rows is
// followed to its end, within reason.
void HnswIndex::repair_links(GraphView& view, Slot slot) {
  const Graph& graph = *view.graph;
  const auto removed = [&graph](Slot link) {
    return graph.state(link & Graph::kSlotMask) != Graph::State::kLinked;
  };
  const Slot* row = graph.row(slot);
  const Slot* const end = std::find(row, row + graph.degree, kNoSlot);
  if (std::none_of(row, end, removed)) return;
  std::vector<Slot> found;
  for (const Slot* link = row; link != end; ++link) found.push_back(*link & ~Graph::kTreeLink);
  const std::size_t bound = 8 * graph.degree;
  for (std::size_t i = 0; i < found.size() && found.size() < bound; ++i) {
    if (!removed(found[i])) continue;
    const Slot* next = graph.row(found[i] & Graph::kSlotMask);
    for (std::size_t j = 0; j < graph.degree && next[j] != kNoSlot; ++j) {
      const Slot behind = next[j] & Graph::kSlotMask;
      if (behind == slot) continue;
      const auto is = [behind](Slot link) { return (link & Graph::kSlotMask) == behind; };
      if (std::none_of(found.begin(), found.end(), is)) found.push_back(behind);
    }
  }
  std::erase_if(found, removed);
  rewrite_links(view, slot, std::move(found), graph.degree);
}

// Marks a tree of links from the root to all rows that links lead to, and no other link. Returns
// the rows they do not lead to, now unlinked. Takes links made for queries only where no others
// lead on: the rest can be forgotten.
std::vector<Slot> HnswIndex::regrow_tree(Graph& graph) const {
  std::vector<bool> reached(graph.capacity, false);
  std::vector<Slot> queue;
  if (graph.root != kNoSlot) {
    reached[graph.root] = true;
    queue.push_back(graph.root);
  }
  std::size_t by_rows = 0;
  std::size_t by_queries = 0;
  while (by_queries < queue.size()) {
    const bool made_for_rows = by_rows < queue.size();
    Slot* row = graph.row(queue[made_for_rows ? by_rows++ : by_queries++]);
    for (std::size_t j = 0; j < graph.degree && row[j] != kNoSlot; ++j) {
      if (((row[j] & Graph::kQueryLink) == 0) != made_for_rows) continue;
      const Slot to = row[j] & Graph::kSlotMask;
      const Slot other_tags = row[j] & Graph::kQueryLink;
      publish(row[j], to | other_tags | (reached[to] ? 0 : Graph::kTreeLink));
      if (reached[to]) continue;
      reached[to] = true;
      queue.push_back(to);
    }
  }
  std::vector<Slot> lost;
  for (Slot slot = 0; slot < graph.capacity; ++slot) {
    if (graph.state(slot) != Graph::State::kLinked || reached[slot]) continue;
    lost.push_back(slot);
    publish(graph.states[slot], Graph::State::kFree);
  }
  graph.linked = queue.size();
  return lost;
}

std::pair<std::size_t, std::size_t> HnswIndex::reachable() {
  const std::lock_guard<std::mutex> writer(writer_);
  const Graph& graph = *seen().graph;
  std::size_t linked = 0;
  for (Slot slot = 0; slot < graph.capacity; ++slot) {
    linked +=
        graph.state(slot) == Graph::State::kLinked || graph.state(slot) == Graph::State::kRemoved;
  }
  std::vector<Slot> queue;
  if (graph.root != kNoSlot) queue.push_back(graph.root);
  for (std::size_t i = 0; i < queue.size() && queue.size() <= linked; ++i) {
    const Slot* row = graph.row(queue[i]);
    for (std::size_t j = 0; j < graph.degree && row[j] != kNoSlot; ++j) {
      if (row[j] & Graph::kTreeLink) queue.push_back(row[j] & Graph::kSlotMask);
    }
  }
  return {queue.size(), linked};
}

}  // namespace gapless
