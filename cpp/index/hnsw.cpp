#include "index/hnsw.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/runtime.h"
#include "core/thread_pool.h"
#include "index/hnsw_scratch.h"

namespace gapless {
namespace {

constexpr float kMargin = 0.3f;  // standard errors that a bound by signs allows for

// Narrower rows are short enough as they are, and their codes are too coarse.
constexpr std::size_t kNarrow = 96;

CodeKind kind_of(const HnswOptions& options, std::size_t dim) {
  if (options.codes != "auto") return code_kind(options.codes);
  if (dim >= kNarrow) return CodeKind::kCascade;
  return options.keep_vectors ? CodeKind::kF32 : CodeKind::kBf16;
}

}  // namespace

HnswIndex::HnswIndex(std::size_t dim, const HnswOptions& options)
    : Index(dim, options.keep_vectors), options_(options) {
  if (options.m < 2 || options.m > 512) {
    throw InvalidArgument("m is " + std::to_string(options.m) + "; it must be 2 to 512");
  }
  if (options.ef_construction == 0 || options.ef_construction > 100000) {
    throw InvalidArgument("ef_construction is " + std::to_string(options.ef_construction) +
                          "; it must be 1 to 100000");
  }
  const CodeKind kind = kind_of(options, dim);
  if (kind == CodeKind::kF32 && !options.keep_vectors) {
    throw InvalidArgument(
        "codes='f32' are the f32 rows, and keep_f32=False drops these; take bf16, i8 or cascade");
  }
  auto first = std::make_unique<GraphView>();
  GraphView& view = *first;
  start(std::move(first));
  view.codes = make_codes(kind, view.rows, std::vector<float>(dim, 0.0f));
  view.graph = std::make_shared<Graph>(0, 2 * options.m);
  view.efforts = std::make_shared<Efforts>();
}

const char* HnswIndex::codes() const {
  const Epoch::Guard guard(epoch_);
  return code_name(seen().codes->kind());
}

std::unique_ptr<IndexView> HnswIndex::copy_view() const {
  return std::make_unique<GraphView>(seen());
}

void HnswIndex::grow(IndexView& next, const std::vector<Slot>&) {
  auto& view = static_cast<GraphView&>(next);
  view.codes = view.codes->grown(view.rows);
  auto larger = std::make_shared<Graph>(view.rows->capacity, view.graph->degree);
  larger->copy(*view.graph);
  view.graph = std::move(larger);
  refill_means(view);
}

// Products of the mean queries with the rows, for codes that are new.
void HnswIndex::refill_means(GraphView& next) const {
  auto efforts = std::make_shared<Efforts>(*next.efforts);
  for (auto& [modality, effort] : efforts->of) {
    if (effort->mean.mean.empty()) continue;
    auto refilled = std::make_shared<Effort>();
    refilled->sample = effort->sample;
    refilled->distances = effort->distances;
    refilled->recalls = effort->recalls;
    refilled->mean.mean = effort->mean.mean;
    next.codes->fill_mean(refilled->mean, next.rows->used.load(), 0);
    effort = std::move(refilled);
  }
  next.efforts = std::move(efforts);
}

void HnswIndex::add_memory(const IndexView& view, MemoryUse& use) const {
  const auto& graph_view = static_cast<const GraphView&>(view);
  use.codes = graph_view.codes->bytes();
  use.graph = graph_view.graph->bytes();
  for (const auto& [modality, effort] : graph_view.efforts->of) {
    use.alignment += effort->mean.products.bytes();
  }
}

void HnswIndex::decode(const IndexView& view, Slot slot, float* unit) const {
  if (keeps_vectors()) {
    Index::decode(view, slot, unit);
  } else {
    static_cast<const GraphView&>(view).codes->decode(slot, unit);
  }
}

void HnswIndex::score_rows(const IndexView& view, const PreparedQuery& query, const Slot* slots,
                           std::size_t count, float* scores) const {
  if (keeps_vectors()) {
    Index::score_rows(view, query, slots, count, scores);
    return;
  }
  const Codes& codes = *static_cast<const GraphView&>(view).codes;
  thread_local CodeQuery coded;
  coded.vector = query.vector.data();
  coded.c = query.c;
  coded.r = view.r();
  codes.prepare(coded, nullptr, kMargin);
  codes.refine(coded, slots, count, scores);
}

WalkGoal HnswIndex::goal_for(const Effort* effort, std::size_t k, std::size_t ef) {
  constexpr std::size_t kWider = 4;  // rows kept for a query that has more near rows than most
  WalkGoal goal;
  goal.width = {k, ef, std::numeric_limits<float>::infinity()};
  if (effort != nullptr && effort->reach(k, ef) < goal.width.reach) {
    goal.width.reach = effort->reach(k, ef);
    goal.width.ef = kWider * ef;
  }
  goal.refined = k + std::max<std::size_t>(14, k / 2);
  return goal;
}

void HnswIndex::prepare_walk(const GraphView& view, const PreparedQuery& query,
                             const Effort* effort, Walk& walk) {
  walk.query().vector = query.vector.data();
  walk.query().c = query.c;
  walk.query().r = view.r();
  const bool mean = effort != nullptr && !effort->mean.mean.empty();
  view.codes->prepare(walk.query(), mean ? &effort->mean : nullptr, kMargin);
}

// Turns what a walk found into hits: with those equal to it, and with exact scores if wanted.
void HnswIndex::collect(const GraphView& view, const Walk& walk, const PreparedQuery& query,
                        const WalkGoal& goal, bool exact, TopK& best) const {
  std::vector<Candidate> found = walk.found();
  if (exact) {
    std::vector<Slot> slots;
    for (const Candidate& candidate : found) slots.push_back(candidate.slot);
    std::vector<float> scores(slots.size());
    score_rows(view, query, slots.data(), slots.size(), scores.data());
    for (std::size_t i = 0; i < found.size(); ++i) found[i].score = scores[i];
  }
  const auto push = [&](float score, Slot slot) {
    if (goal.filter != nullptr && !goal.filter->allows(slot)) return;
    const Label label = view.rows->label(slot);
    if (label != kNoLabel) best.push({score, label});
  };
  for (const Candidate& candidate : found) {
    // The row itself last: a label moves from the chain to its head, and is then met twice rather
    // than never.
    const Graph& graph = *view.graph;
    for (Slot equal = graph.next_equal(candidate.slot); equal != kNoSlot;
         equal = graph.next_equal(equal)) {
      push(candidate.score, equal);
    }
    push(candidate.score, candidate.slot);
  }
}

void HnswIndex::search_rows(const IndexView& given, const std::vector<PreparedQuery>& queries,
                            const SlotFilter* filter, const SearchOptions& options, float* scores,
                            Label* labels) const {
  const auto& view = static_cast<const GraphView&>(given);
  const RowTable& rows = *view.rows;
  const Effort* effort = view.efforts->find(options.query_modality);
  if (effort == nullptr) effort = view.efforts->find("");
  std::size_t ef = options.ef == 0 ? kDefaultEf : options.ef;
  if (options.recall > 0.0 && effort != nullptr) ef = effort->ef_for(options.recall, options.k);
  ef = std::max(ef, options.k);
  WalkGoal wanted = goal_for(effort, options.k, ef);
  wanted.filter = filter;
  // A filtered walk meets about ef / s rows, s = matches / rows, each with some 16 new neighbours;
  // scoring the matches costs s * rows. The second is cheaper, and exact, up to this many. The
  // estimate takes filter and query for independent; where they are not (the query of one modality,
  // the rows of another), the walk's budget of rows ends it.
  const std::size_t live = rows.live.load();
  bool exact = live <= ef || view.graph->linked == 0;
  exact = exact || (options.recall > 0.0 && (effort == nullptr || effort->recalls.empty()));
  std::vector<Slot> allowed;
  if (filter != nullptr) {
    const auto matches = static_cast<double>(filter->matches());
    const double bound = 16.0 * static_cast<double>(ef) * static_cast<double>(live);
    exact = exact || filter->matches() <= ef || matches * matches <= bound;
    allowed = filter->slots();
    wanted.budget = filter->matches();
  } else if (exact) {
    const std::size_t used = rows.used.load();
    for (Slot slot = 0; slot < used; ++slot) {
      if (rows.label(slot) != kNoLabel) allowed.push_back(slot);
    }
  }
  const std::size_t workers = options.threads == 0 ? runtime().cores : options.threads;
  const std::size_t grain = std::clamp<std::size_t>(queries.size() / (4 * workers), 1, 48);
  parallel_for(queries.size(), options.threads, grain, [&](std::size_t begin, std::size_t end) {
    const auto write = [&](std::size_t i, TopK& best) {
      best.write(scores + i * options.k, labels + i * options.k);
    };
    if (exact) {
      for (std::size_t i = begin; i < end; ++i) {
        TopK best(options.k);
        scan(view, queries[i], allowed, best);
        write(i, best);
      }
      return;
    }
    ScratchLease scratch(*this);
    constexpr std::size_t kIdle = std::numeric_limits<std::size_t>::max();
    std::array<std::size_t, 3> at;
    at.fill(kIdle);
    std::size_t next = begin;
    for (std::size_t busy = 1; busy > 0;) {
      busy = 0;
      for (std::size_t w = 0; w < at.size(); ++w) {
        Walk& walk = scratch->walks[w];
        if (at[w] == kIdle) {
          if (next == end) continue;
          at[w] = next++;
          prepare_walk(view, queries[at[w]], effort, walk);
          walk.begin(view, wanted);
        }
        ++busy;
        if (walk.step()) continue;
        TopK best(options.k);
        if (walk.over_budget()) {
          scan(view, queries[at[w]], allowed, best);
        } else {
          collect(view, walk, queries[at[w]], wanted, options.exact_scores, best);
        }
        write(at[w], best);
        at[w] = kIdle;
      }
    }
  });
}

}  // namespace gapless
