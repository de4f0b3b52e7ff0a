#include <algorithm>

#include "core/thread_pool.h"
#include "index/hnsw.h"

namespace gapless {
namespace {

// A row as the alignment leaves it, or a fixed direction where it leaves none.
void aligned_row(const Alignment* alignment, const std::vector<float>& row, float* out,
                 std::size_t out_dim) {
  if (alignment == nullptr || alignment->rows().out == 0) {
    std::copy(row.begin(), row.end(), out);
    return;
  }
  alignment->rows().apply(row.data(), out);
  if (alignment->scale(row.data()) > 0.0f) return;
  std::fill(out, out + out_dim, 0.0f);
  out[0] = 1.0f;
}

}  // namespace

// The graph is built anew in an index of its own, whose rows are the aligned ones, and its links
// are taken over: searches under that alignment then walk distances that the links were made for.
void HnswIndex::reindex(std::size_t threads) {
  const std::lock_guard<std::mutex> writer(writer_);
  tidy();
  if (seen().rows->live.load() == 0) return;
  const GraphView& view = seen();
  const Alignment* alignment = view.alignment();
  const std::size_t aligned_dim =
      alignment != nullptr && alignment->rows().out != 0 ? alignment->rows().out : dim();
  std::vector<Slot> slots;
  for (Slot slot = 0; slot < view.rows->used.load(); ++slot) {
    if (view.rows->label(slot) != kNoLabel) slots.push_back(slot);
  }
  std::vector<float> rows(slots.size() * aligned_dim);
  parallel_for(slots.size(), threads, 256, [&](std::size_t begin, std::size_t end) {
    std::vector<float> row(dim());
    for (std::size_t i = begin; i < end; ++i) {
      decode(view, slots[i], row.data());
      aligned_row(alignment, row, rows.data() + i * aligned_dim, aligned_dim);
    }
  });
  HnswOptions options = options_;
  options.keep_vectors = false;
  options.codes = "auto";
  HnswIndex other(aligned_dim, options);
  other.add(rows.data(), slots.size(), nullptr, threads);  // labels are places in `slots`
  rows = std::vector<float>();

  const GraphView& made = other.seen();
  const auto own_slot = [&](Slot slot) { return slots[made.rows->label(slot)]; };
  auto next = std::make_unique<GraphView>(view);
  next->graph = std::make_shared<Graph>(view.rows->capacity, view.graph->degree);
  Graph& graph = *next->graph;
  for (const Slot slot : slots) {
    std::fill(graph.row(slot), graph.row(slot) + graph.stride, kNoSlot);
  }
  std::vector<Slot> apart;  // equal only as the alignment leaves them
  for (Slot slot = 0; slot < made.rows->used.load(); ++slot) {
    const Slot to = own_slot(slot);
    Slot* row = graph.row(to);
    if (made.graph->state(slot) != Graph::State::kLinked) continue;
    graph.states[to] = Graph::State::kLinked;
    const Slot* from = made.graph->row(slot);
    for (std::size_t i = 0; i < graph.degree && from[i] != kNoSlot; ++i) {
      row[i] = own_slot(from[i] & Graph::kSlotMask) | (from[i] & Graph::kTreeLink);
    }
    for (Slot equal = made.graph->next_equal(slot); equal != kNoSlot;
         equal = made.graph->next_equal(equal)) {
      if (same_row(*next, to, own_slot(equal))) {
        chain(*next, own_slot(equal), to);
      } else {
        apart.push_back(own_slot(equal));
      }
    }
  }
  graph.linked = made.graph->linked.load();
  graph.root = own_slot(made.graph->root);
  choose_routers(graph);
  link_all(*next, apart, threads);
  forget_recalls(*next);
  show(std::move(next));
  if (seen().rows->live.load() >= kLearnFrom) check_codes(threads);
}

}  // namespace gapless
