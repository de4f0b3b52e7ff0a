// Searching the graph: by a walk or, where a filter leaves few rows, by a scan of these.
#include <algorithm>
#include <limits>

#include "core/runtime.h"
#include "core/thread_pool.h"
#include "index/hnsw.h"
#include "index/hnsw_scratch.h"

namespace gapless {
namespace {

constexpr float kMargin = 0.3f;      // standard errors that a bound by signs allows for
constexpr float kScanMargin = 1.0f;  // the same where few rows are kept, so that none is a spare
// Rows whose f32 values are scored sooner than a query is coded.
constexpr std::size_t kFewMatches = 512;
// Rows scanned in the time in which a walk expands one, and those in that of scoring one of a walk.
constexpr std::size_t kScannedPerRow = 80;
constexpr std::size_t kScannedPerScored = 16;

}  // namespace

// How to search: of `matches` rows that may be returned, when there is a filter.
struct HnswIndex::Plan {
  enum class Way { kRows, kCodes, kWalk };  // a scan of rows, or of their codes; a walk
  Way way = Way::kWalk;
  const Effort* effort = nullptr;
  WalkGoal goal;
};

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

void HnswIndex::prepare_codes(const GraphView& view, const PreparedQuery& query,
                              const Effort* effort, float margin, CodeQuery& coded) {
  coded.vector = query.vector.data();
  coded.c = query.c;
  coded.r = view.r();
  const bool mean = effort != nullptr && !effort->mean.mean.empty();
  view.codes->prepare(coded, mean ? &effort->mean : nullptr, margin);
}

void HnswIndex::prepare_walk(const GraphView& view, const PreparedQuery& query,
                             const Effort* effort, Walk& walk) {
  prepare_codes(view, query, effort, kMargin, walk.query());
}

// Turns what a walk found into hits: with those equal to it, and with exact scores if wanted.
void HnswIndex::collect(const GraphView& view, const Walk& walk, const PreparedQuery& query,
                        const WalkGoal& goal, bool exact, TopK& best) const {
  std::vector<Candidate> found = walk.found();
  if (exact) score_anew(view, query, found);
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

// By the best rows kept.
void HnswIndex::score_anew(const GraphView& view, const PreparedQuery& query,
                           std::vector<Candidate>& found) const {
  std::vector<Slot> slots;
  for (const Candidate& candidate : found) slots.push_back(candidate.slot);
  std::vector<float> scores(slots.size());
  score_rows(view, query, slots.data(), slots.size(), scores.data());
  for (std::size_t i = 0; i < found.size(); ++i) found[i].score = scores[i];
}

// The best of the rows that the filter allows, by their codes.
void HnswIndex::scan_codes(const GraphView& view, const PreparedQuery& query, const Plan& plan,
                           bool exact, CodeScan& by, TopK& best) const {
  prepare_codes(view, query, plan.effort, kScanMargin, by.query());
  by.run(*view.codes, *plan.goal.filter, *view.rows, plan.goal.refined);
  std::vector<Candidate> found = by.found();
  if (exact) score_anew(view, query, found);
  for (const Candidate& candidate : found) {
    const Label label = view.rows->label(candidate.slot);
    if (label != kNoLabel) best.push({candidate.score, label});
  }
}

// A walk under a filter expands rows until `least` of those met may be returned: at a selectivity s
// about least / s rows. Scanning the matches takes s * rows of a far cheaper kind. Where the two
// cross is measured (bench/bench_filter.py), for a filter that does not depend on the query. Near
// the query the walk ends earlier; far from it, it runs into its budget, and then the matches are
// scanned after all.
HnswIndex::Plan HnswIndex::plan_for(const GraphView& view, const SlotFilter* filter,
                                    const SearchOptions& options) {
  Plan plan;
  plan.effort = view.efforts->find(options.query_modality);
  if (plan.effort == nullptr) plan.effort = view.efforts->find("");
  std::size_t ef = options.ef == 0 ? kDefaultEf : options.ef;
  if (options.recall > 0.0 && plan.effort != nullptr) {
    ef = plan.effort->ef_for(options.recall, options.k);
  }
  ef = std::max(ef, options.k);
  plan.goal = goal_for(plan.effort, options.k, ef);
  const std::size_t live = view.rows->live.load();
  const bool unknown =
      options.recall > 0.0 && (plan.effort == nullptr || plan.effort->recalls.empty());
  if (live <= ef || view.graph->linked == 0 || unknown) plan.way = Plan::Way::kRows;
  if (filter == nullptr) return plan;

  const std::size_t matches = filter->matches();
  // Of a filter that allows all, as many as without one.
  const std::size_t least =
      std::max(plan.goal.refined, ef * matches / std::max<std::size_t>(live, 1));
  const std::size_t usual = std::max(ef, least * live / std::max<std::size_t>(matches, 1));
  plan.goal.filter = filter;
  plan.goal.width = {options.k, ef, std::numeric_limits<float>::infinity(), least, 2 * usual};
  plan.goal.budget = matches / kScannedPerScored;
  if (plan.way == Plan::Way::kRows || matches <= kFewMatches) {
    plan.way = Plan::Way::kRows;
  } else if (matches <= kScannedPerRow * least * live / matches) {
    plan.way = Plan::Way::kCodes;
  }
  return plan;
}

void HnswIndex::search_rows(const IndexView& given, const std::vector<PreparedQuery>& queries,
                            const SlotFilter* filter, const SearchOptions& options, float* scores,
                            Label* labels) const {
  const auto& view = static_cast<const GraphView&>(given);
  const RowTable& rows = *view.rows;
  const Plan plan = plan_for(view, filter, options);
  std::vector<Slot> all;
  if (plan.way == Plan::Way::kRows) {
    if (filter != nullptr) {
      all = filter->slots();
    } else {
      const std::size_t used = rows.used.load();
      for (Slot slot = 0; slot < used; ++slot) {
        if (rows.label(slot) != kNoLabel) all.push_back(slot);
      }
    }
  }
  const std::size_t workers = options.threads == 0 ? runtime().cores : options.threads;
  const std::size_t grain = std::clamp<std::size_t>(queries.size() / (4 * workers), 1, 48);
  parallel_for(queries.size(), options.threads, grain, [&](std::size_t begin, std::size_t end) {
    const auto write = [&](std::size_t i, TopK& best) {
      best.write(scores + i * options.k, labels + i * options.k);
    };
    ScratchLease scratch(*this);
    if (plan.way != Plan::Way::kWalk) {
      for (std::size_t i = begin; i < end; ++i) {
        TopK best(options.k);
        if (plan.way == Plan::Way::kRows) {
          scan(view, queries[i], all, best);
        } else {
          scan_codes(view, queries[i], plan, options.exact_scores, scratch->scan, best);
        }
        write(i, best);
      }
      return;
    }
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
          prepare_walk(view, queries[at[w]], plan.effort, walk);
          walk.begin(view, plan.goal);
        }
        ++busy;
        if (walk.step()) continue;
        TopK best(options.k);
        if (walk.over_budget()) {
          scan_codes(view, queries[at[w]], plan, options.exact_scores, scratch->scan, best);
        } else {
          collect(view, walk, queries[at[w]], plan.goal, options.exact_scores, best);
        }
        write(at[w], best);
        at[w] = kIdle;
      }
    }
  });
}

}  // namespace gapless
