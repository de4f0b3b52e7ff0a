#include <algorithm>
#include <limits>
#include <numeric>

#include "core/mix.h"
#include "core/thread_pool.h"
#include "index/hnsw.h"
#include "index/hnsw_scratch.h"

namespace gapless {
namespace {

// A link to c is dropped when a kept one is nearer to c than the row is, by this factor on squared
// distance: 1 is the HNSW paper's rule; a little more keeps longer lists and fewer hops.
constexpr float kPruneFactor = 1.1f;
// Codes are centred again when there are this many times the rows that their mean was taken from.
constexpr std::size_t kCentreAgain = 4;
constexpr std::size_t kCentreOn = 16384;  // rows that make a mean good enough for ever

}  // namespace

std::size_t HnswIndex::rows_at_once(std::size_t count) const {
  return goes_bulk(*seen().graph, count) ? count : kRowsAtOnce;
}

// Centres the codes on the mean of the rows there will be.
void HnswIndex::prepare(const float* units, std::size_t sampled, std::size_t count) {
  const CodeKind kind = seen().codes->kind();
  if (kind == CodeKind::kF32 || kind == CodeKind::kBf16) return;
  const RowTable& rows = *seen().rows;
  const std::size_t live = rows.live.load();
  if (centred_on_ >= kCentreOn ||
      live + count < std::max<std::size_t>(64, kCentreAgain * centred_on_)) {
    return;
  }
  std::vector<double> sum(dim(), 0.0);
  const double weight = static_cast<double>(count) / static_cast<double>(sampled);
  for (std::size_t i = 0; i < sampled; ++i) {
    for (std::size_t j = 0; j < dim(); ++j) sum[j] += weight * units[i * dim() + j];
  }
  std::vector<float> row(dim());
  for (Slot slot = 0; slot < rows.used.load(); ++slot) {
    if (rows.label(slot) == kNoLabel) continue;
    decode(seen(), slot, row.data());
    for (std::size_t j = 0; j < dim(); ++j) sum[j] += row[j];
  }
  std::vector<float> mean(dim());
  for (std::size_t j = 0; j < dim(); ++j) {
    mean[j] = static_cast<float>(sum[j] / static_cast<double>(live + count));
  }
  auto next = std::make_unique<GraphView>(seen());
  next->codes = make_codes(kind, next->rows, mean);
  for (Slot slot = 0; slot < rows.used.load(); ++slot) {
    decode(seen(), slot, row.data());
    next->codes->encode(slot, row.data());
  }
  refill_means(*next);
  centred_on_ = live + count;
  show(std::move(next));
}

void HnswIndex::store(const std::vector<Slot>& slots, const float* units, std::size_t threads) {
  GraphView& view = own();
  parallel_for(slots.size(), threads, 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      view.codes->encode(slots[i], units + i * dim());
      for (const auto& [modality, effort] : view.efforts->of) {
        if (effort->mean.products.size() == 0) continue;  // codes that need none
        effort->mean.products[slots[i]] = view.codes->mean_product(effort->mean, slots[i]);
      }
      Slot* row = view.graph->row(slots[i]);
      std::fill(row, row + view.graph->stride, kNoSlot);
      view.graph->chain[slots[i]] = kNoSlot;
      view.graph->states[slots[i]] = Graph::State::kFree;
    }
  });
}

void HnswIndex::link(const std::vector<Slot>& slots, std::size_t threads) {
  changed_ += slots.size();
  if (goes_bulk(*seen().graph, slots.size()) && !tombstones_.empty()) repair();
  link_all(own(), slots, threads);
}

void HnswIndex::link_all(GraphView& view, const std::vector<Slot>& slots, std::size_t threads) {
  if (slots.empty()) return;
  Graph& graph = *view.graph;
  if (goes_bulk(graph, slots.size())) {
    link_bulk(view, slots, threads);
    return;
  }
  std::size_t first = 0;
  if (graph.root == kNoSlot) {
    graph.root = slots[0];
    publish(graph.states[slots[0]], Graph::State::kLinked);
    publish(graph.routers[0], slots[0]);
    ++graph.linked;
    first = 1;
  }
  parallel_for(slots.size() - first, threads, 16, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) link_one(view, slots[first + i]);
  });
  if (graph.linked >= 2 * routers_from_) {
    choose_routers(graph);
    routers_from_ = graph.linked;
  }
}

void HnswIndex::choose_routers(Graph& graph) const {
  std::vector<Slot> linked;
  for (Slot slot = 0; slot < graph.capacity; ++slot) {
    if (graph.state(slot) == Graph::State::kLinked && slot != graph.root) linked.push_back(slot);
  }
  publish(graph.routers[0], graph.root);
  for (std::size_t i = 1; i < Graph::kRouters; ++i) {
    Slot chosen = kNoSlot;
    if (i <= linked.size()) {
      const std::size_t at = i - 1 + mixed(options_.seed, i) % (linked.size() - (i - 1));
      std::swap(linked[i - 1], linked[at]);
      chosen = linked[i - 1];
    }
    publish(graph.routers[i], chosen);
  }
}

// Finds the linked rows nearest to a row, itself left out.
void HnswIndex::walk_for_links(const GraphView& view, Slot slot, std::size_t ef, Walk& walk) const {
  std::vector<float> unit(dim());
  decode(view, slot, unit.data());
  walk.query().vector = unit.data();
  walk.query().c = 0.0f;
  walk.query().r = nullptr;
  constexpr float kBuildMargin = 0.6f;
  view.codes->prepare(walk.query(), nullptr, kBuildMargin);
  WalkGoal goal;
  goal.width = {1, ef, std::numeric_limits<float>::infinity()};
  goal.refined = 0;
  goal.for_build = true;
  goal.without = slot;
  walk.begin(view, goal);
  walk.run();
}

// Looks once more for the neighbours of a linked row, by a walk shorter than that of an insertion.
void HnswIndex::refine_links(GraphView& view, Slot slot) {
  constexpr std::size_t kEffort = 48;
  Graph& graph = *view.graph;
  ScratchLease scratch(*this);
  Walk& walk = scratch->walks[0];
  walk_for_links(view, slot, std::min(kEffort, options_.ef_construction), walk);
  std::vector<Slot> old;
  std::vector<Slot> now;
  {
    const std::lock_guard<std::mutex> lock(link_lock(slot));
    const Slot* row = graph.row(slot);
    old.assign(row, std::find(row, row + graph.degree, kNoSlot));
    std::vector<Slot> wanted = old;
    const auto has = [](const std::vector<Slot>& links, Slot to) {
      return std::any_of(links.begin(), links.end(),
                         [to](Slot link) { return (link & Graph::kSlotMask) == to; });
    };
    for (const Candidate& candidate : walk.found()) {
      if (!has(old, candidate.slot)) wanted.push_back(candidate.slot);
    }
    if (wanted.size() == old.size()) return;
    rewrite_links(view, slot, std::move(wanted), graph.pruned());
    row = graph.row(slot);
    for (std::size_t i = 0; i < graph.degree && row[i] != kNoSlot; ++i) {
      if (!has(old, row[i] & Graph::kSlotMask)) now.push_back(row[i] & Graph::kSlotMask);
    }
  }
  for (const Slot neighbour : now) link_back(view, neighbour, slot, false, 0);
}

void HnswIndex::link_one(GraphView& view, Slot slot) {
  Graph& graph = *view.graph;
  ScratchLease scratch(*this);
  Walk& walk = scratch->walks[0];
  walk_for_links(view, slot, options_.ef_construction, walk);
  const std::vector<Candidate>& nearest = walk.found();
  if (chain_equal(view, slot, nearest)) return;

  std::vector<Slot> order{slot};
  for (const Candidate& candidate : nearest) order.push_back(candidate.slot);
  gather(view, order, scratch->local);
  const std::vector<Slot> chosen = select(*scratch, order, graph.pruned(), 0);
  {
    const std::lock_guard<std::mutex> lock(link_lock(slot));
    Slot* row = graph.row(slot);
    for (std::size_t i = 0; i < graph.degree; ++i) {
      publish(row[i], i < chosen.size() ? chosen[i] : kNoSlot);
    }
  }
  // The tree first: a row that others can see is always reachable.
  Slot parent = kNoSlot;
  for (std::size_t i = 0; i < chosen.size() && parent == kNoSlot; ++i) {
    if (link_back(view, chosen[i], slot, true, graph.degree / 2)) parent = chosen[i];
  }
  // Rows by the hundred that no code tells apart all choose the same neighbours: then any row that
  // has room will do, and the tree below one that has none ends in rows that have.
  for (std::size_t i = 0; i < nearest.size() && parent == kNoSlot; ++i) {
    if (link_back(view, nearest[i].slot, slot, true, graph.degree / 2)) parent = nearest[i].slot;
  }
  for (Slot at = nearest.empty() ? graph.root : nearest.front().slot; parent == kNoSlot;
       at = tree_child(graph, at)) {
    if (link_back(view, at, slot, true, graph.degree - 1)) parent = at;
  }
  publish(graph.states[slot], Graph::State::kLinked);
  ++graph.linked;
  for (const Slot neighbour : chosen) {
    if (neighbour != parent) link_back(view, neighbour, slot, false, 0);
  }
}

Slot HnswIndex::tree_child(const Graph& graph, Slot slot) const {
  const Slot* row = graph.row(slot);
  for (std::size_t i = 0; i < graph.degree; ++i) {
    const Slot link = acquire(row[i]);
    if (link != kNoSlot && (link & Graph::kTreeLink)) return link & Graph::kSlotMask;
  }
  return slot;
}

// Hangs a row behind one that equals it, if there is one among the nearest.
bool HnswIndex::chain_equal(GraphView& view, Slot slot, const std::vector<Candidate>& nearest) {
  constexpr std::size_t kLooked = 8;
  for (std::size_t i = 0; i < std::min(kLooked, nearest.size()); ++i) {
    if (!same_row(view, nearest[i].slot, slot)) continue;
    chain(view, slot, nearest[i].slot);
    return true;
  }
  return false;
}

bool HnswIndex::same_row(const GraphView& view, Slot a, Slot b) const {
  const RowTable& rows = *view.rows;
  if (!rows.has_vectors) return view.codes->equal(a, b);
  return std::equal(rows.vector(a), rows.vector(a) + rows.dim, rows.vector(b));
}

void HnswIndex::chain(GraphView& view, Slot slot, Slot head) {
  Graph& graph = *view.graph;
  const std::lock_guard<std::mutex> lock(link_lock(head));
  graph.row(slot)[0] = head;  // of no use as a link: no walk comes here
  graph.chain[slot] = graph.chain[head];
  graph.states[slot] = Graph::State::kChained;
  publish(graph.chain[head], slot);
}

void HnswIndex::gather(const GraphView& view, const std::vector<Slot>& slots,
                       LocalRows& local) const {
  local.resize(slots.size(), view.codes->padded_dim());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    view.codes->copy_local(slots[i], local, i);
    local.measure(i);
  }
}

// Of slots[1...], about nearest to slots[0] first and gathered in scratch.local, those not nearer
// to one already kept than to slots[0]; the first `always` in any case.
std::vector<Slot> HnswIndex::select(Scratch& scratch, const std::vector<Slot>& slots,
                                    std::size_t most, std::size_t always) const {
  const std::size_t count = slots.size();
  std::vector<Slot> kept;
  kept.reserve(most);
  scratch.distances.resize(count);
  scratch.to_kept.resize(count);
  scratch.local.distances(0, 0, count, scratch.distances.data());
  std::vector<Slot>& left = scratch.left;  // places of those not covered yet
  left.resize(count - 1);
  std::iota(left.begin(), left.end(), Slot{1});
  while (!left.empty() && kept.size() < most) {
    const Slot next = left.front();
    kept.push_back(slots[next]);
    left.erase(left.begin());
    scratch.local.distances_to(next, left.data(), left.size(), scratch.to_kept.data());
    // `<=`: rows at no distance from each other would fill each other's lists with `<` and be cut
    // off from the rest.
    std::size_t rest = 0;
    for (std::size_t j = 0; j < left.size(); ++j) {
      const bool covered = kPruneFactor * scratch.to_kept[j] <= scratch.distances[left[j]];
      left[rest] = left[j];
      rest += !covered || left[j] <= always;
    }
    left.resize(rest);
  }
  return kept;
}

// Links `from` to `to`. A link of the tree is refused where there are `most_tree` of them already.
bool HnswIndex::link_back(GraphView& view, Slot from, Slot to, bool tree, std::size_t most_tree) {
  Graph& graph = *view.graph;
  const std::lock_guard<std::mutex> lock(link_lock(from));
  Slot* row = graph.row(from);
  std::size_t count = 0;
  std::size_t in_tree = 0;
  std::size_t place = graph.degree;
  for (; count < graph.degree && row[count] != kNoSlot; ++count) {
    in_tree += (row[count] & Graph::kTreeLink) != 0;
    if ((row[count] & Graph::kSlotMask) == to) place = count;
  }
  if (tree && in_tree >= most_tree) return false;
  const Slot link = to | (tree ? Graph::kTreeLink : 0);
  if (place < graph.degree) {
    if (tree) publish(row[place], link);
    return true;
  }
  if (count < graph.degree) {
    publish(row[count], link);
    return true;
  }
  std::vector<Slot> wanted(row, row + count);
  wanted.push_back(link);
  rewrite_links(view, from, std::move(wanted), graph.pruned());
  return true;
}

// Gives a row all links of the tree among `wanted` and the best of the others, `most` in all if
// that is enough. The caller holds the row's lock, or is alone.
void HnswIndex::rewrite_links(GraphView& view, Slot slot, std::vector<Slot> wanted,
                              std::size_t most) {
  Graph& graph = *view.graph;
  ScratchLease scratch(*this);
  std::vector<Slot> slots{slot};
  for (const Slot link : wanted) slots.push_back(link & Graph::kSlotMask);
  LocalRows& local = scratch->local;
  gather(view, slots, scratch->sorted);
  scratch->distances.resize(slots.size());
  scratch->sorted.distances(0, 0, slots.size(), scratch->distances.data());
  // Links of the tree first, so that they are kept and cover what is near to them; then by
  // distance.
  std::vector<std::size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto in_tree = [&](std::size_t i) { return (wanted[i] & Graph::kTreeLink) != 0; };
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (in_tree(a) != in_tree(b)) return in_tree(a);
    return scratch->distances[a + 1] < scratch->distances[b + 1];
  });
  local.resize(slots.size(), scratch->sorted.dim);
  local.take(0, scratch->sorted, 0);
  for (std::size_t i = 0; i < order.size(); ++i) {
    local.take(i + 1, scratch->sorted, order[i] + 1);
    slots[i + 1] = wanted[order[i]];
  }
  const auto trees = static_cast<std::size_t>(std::count_if(
      wanted.begin(), wanted.end(), [](Slot link) { return (link & Graph::kTreeLink) != 0; }));
  const std::vector<Slot> chosen = select(*scratch, slots, std::max(most, trees), trees);
  Slot* row = graph.row(slot);
  for (std::size_t i = 0; i < graph.degree; ++i) {
    publish(row[i], i < chosen.size() ? chosen[i] : kNoSlot);
  }
}

}  // namespace gapless
