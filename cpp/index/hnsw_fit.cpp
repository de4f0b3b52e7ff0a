// What a sample of queries changes in a graph and in how it is searched.
#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/thread_pool.h"
#include "index/hnsw.h"
#include "index/hnsw_scratch.h"

namespace gapless {
namespace {

constexpr std::size_t kFewest = 100;      // queries worth learning from
constexpr std::size_t kMost = 20'000;     // queries that links are made for
constexpr std::size_t kTogether = 32;     // nearest rows of a query that links should join
constexpr std::size_t kLinkEffort = 256;  // with which these are found

// Disjoint sets of small numbers.
class Components {
 public:
  explicit Components(std::size_t count) : parent_(count) {
    std::iota(parent_.begin(), parent_.end(), std::size_t{0});
  }
  std::size_t find(std::size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  bool join(std::size_t a, std::size_t b) {
    a = find(a);
    b = find(b);
    parent_[a] = b;
    return a != b;
  }

 private:
  std::vector<std::size_t> parent_;
};

}  // namespace

// Joins the components that the nearest rows of a query form, by the shortest links that do it
// (Kruskal), both ways, where there is room. The rows nearest to a query of another modality are
// far from each other, and links made for rows alone leave them apart (NGFix, arXiv 2510.22316).
void HnswIndex::join_neighbours(GraphView& view, const std::vector<Candidate>& nearest,
                                LocalRows& local) {
  Graph& graph = *view.graph;
  std::vector<Slot> slots;
  for (const Candidate& candidate : nearest) slots.push_back(candidate.slot);
  std::vector<Slot> sorted = slots;
  std::sort(sorted.begin(), sorted.end());
  Components components(slots.size());
  std::size_t parts = slots.size();
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const Slot* row = graph.row(slots[i]);
    for (std::size_t j = 0; j < graph.degree; ++j) {
      const Slot link = acquire(row[j]);
      if (link == kNoSlot) break;
      const Slot to = link & Graph::kSlotMask;
      if (!std::binary_search(sorted.begin(), sorted.end(), to)) continue;
      const auto at =
          static_cast<std::size_t>(std::find(slots.begin(), slots.end(), to) - slots.begin());
      parts -= components.join(i, at);
    }
  }
  if (parts == 1) return;
  gather(view, slots, local);
  struct Pair {
    float distance;
    std::size_t a, b;
  };
  std::vector<Pair> pairs;
  std::vector<float> distances(slots.size());
  for (std::size_t a = 0; a + 1 < slots.size(); ++a) {
    local.distances(a, a + 1, slots.size() - a - 1, distances.data());
    for (std::size_t b = a + 1; b < slots.size(); ++b) {
      if (components.find(a) != components.find(b)) pairs.push_back({distances[b - a - 1], a, b});
    }
  }
  std::sort(pairs.begin(), pairs.end(),
            [](const Pair& x, const Pair& y) { return x.distance < y.distance; });
  for (const Pair& pair : pairs) {
    if (components.find(pair.a) == components.find(pair.b)) continue;
    const bool there = add_query_link(graph, slots[pair.a], slots[pair.b]);
    const bool back = add_query_link(graph, slots[pair.b], slots[pair.a]);
    if (there || back) components.join(pair.a, pair.b);
  }
}

bool HnswIndex::add_query_link(Graph& graph, Slot from, Slot to) const {
  const std::lock_guard<std::mutex> lock(link_lock(from));
  Slot* row = graph.row(from);
  for (std::size_t i = 0; i < graph.degree; ++i) {
    if (row[i] == kNoSlot) {
      publish(row[i], to | Graph::kQueryLink);
      return true;
    }
    if ((row[i] & Graph::kSlotMask) == to) return true;
  }
  return false;
}

void HnswIndex::fit_queries(const float* queries, std::size_t query_dim, std::size_t count,
                            const std::string& modality, std::size_t threads) {
  if (count < kFewest) {
    throw InvalidArgument("the sample has " + std::to_string(count) + " queries; give at least " +
                          std::to_string(kFewest) + ", better a few thousand");
  }
  const std::lock_guard<std::mutex> writer(writer_);
  const std::size_t live = seen().rows->live.load();
  if (live < kLearnFrom) {
    throw InvalidArgument("the index has " + std::to_string(live) + " rows; below " +
                          std::to_string(kLearnFrom) +
                          " every search is cheap and there is nothing to learn");
  }
  // Half of a small sample, and never more than is needed, measures what the rest has taught.
  const std::size_t measured = std::min(kMeasured, count / 2);
  const std::size_t linked = std::min(count - measured, kMost);
  std::vector<std::vector<float>> sample(measured);
  for (std::size_t i = 0; i < measured; ++i) {
    const float* query = queries + (count - measured + i) * query_dim;
    sample[i].assign(query, query + query_dim);
  }
  std::vector<PreparedQuery> prepared;
  auto effort = std::make_shared<Effort>();
  effort->sample = std::move(sample);
  for (std::size_t i = 0; i < count; ++i) {
    prepared.push_back(prepare_query(seen(), queries + i * query_dim, query_dim, modality, i));
  }
  take_mean(seen(), prepared, *effort, threads);
  GraphView& view = own();
  parallel_for(linked, threads, 16, [&](std::size_t begin, std::size_t end) {
    ScratchLease scratch(*this);
    Walk& walk = scratch->walks[0];
    for (std::size_t i = begin; i < end; ++i) {
      WalkGoal goal = goal_for(nullptr, kTogether, kLinkEffort);
      goal.refined = kTogether;
      prepare_walk(view, prepared[i], effort.get(), walk);
      walk.begin(view, goal);
      walk.run();
      join_neighbours(view, walk.found(), scratch->local);
    }
  });
  prepared.erase(prepared.begin(), prepared.end() - static_cast<std::ptrdiff_t>(measured));
  learn(view, prepared, std::vector<Slot>(measured, kNoSlot), *effort, threads);
  set_effort(modality, std::move(effort));
}

void HnswIndex::forget_queries() {
  const std::lock_guard<std::mutex> writer(writer_);
  Graph& graph = *own().graph;
  for (Slot slot = 0; slot < own().rows->used.load(); ++slot) {
    Slot* row = graph.row(slot);
    if (graph.state(slot) == Graph::State::kChained) continue;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < graph.degree; ++i) {
      const bool dropped =
          row[i] != kNoSlot && (row[i] & Graph::kQueryLink) && !(row[i] & Graph::kTreeLink);
      if (!dropped) publish(row[kept++], row[i]);
    }
    while (kept < graph.degree) publish(row[kept++], kNoSlot);
  }
  auto next = std::make_unique<GraphView>(seen());
  auto efforts = std::make_shared<Efforts>(*next->efforts);
  auto raw = efforts->raw != nullptr ? std::make_shared<Efforts>(*efforts->raw) : efforts;
  for (Efforts* each : {efforts.get(), raw.get()}) {
    std::erase_if(each->of, [](const auto& entry) { return !entry.second->sample.empty(); });
  }
  // A sample for any modality took the place of what the rows had taught.
  if (raw->find("") == nullptr && next->rows->live.load() >= kLearnFrom) {
    GraphView bare(*next);
    bare.aligned.reset();
    raw->of[""] = std::make_shared<Effort>();
    learn_from_rows(bare, *raw->of[""], 0);
  }
  if (raw != efforts) {
    if (efforts->find("") == nullptr && raw->find("") != nullptr) {
      efforts->of[""] = std::make_shared<Effort>();
      efforts->of[""]->distances = raw->find("")->distances;  // as a new alignment takes them
    }
    efforts->raw = std::move(raw);
  }
  next->efforts = std::move(efforts);
  show(std::move(next));
}

}  // namespace gapless
