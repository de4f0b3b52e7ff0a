#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/thread_pool.h"
#include "index/hnsw.h"
#include "index/hnsw_scratch.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr std::size_t kLearnFrom = 1000;  // rows; fewer are scanned, or walked by ef alone
constexpr std::size_t kQueries = 256;     // that efforts are measured with
constexpr std::size_t kNeighbours = 10;   // recall at
constexpr std::size_t kProfile = 1024;    // nearest rows whose distances are noted
constexpr float kTie = 1e-6f;
constexpr std::size_t kEfforts[] = {10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896};
constexpr double kEnough = 0.998;

}  // namespace

// Measures distances and recall with a sample of prepared queries. A query that is a row of the
// index is searched for as if that row were not there.
std::shared_ptr<Effort> HnswIndex::learn(const GraphView& view,
                                         const std::vector<PreparedQuery>& queries,
                                         const std::vector<Slot>& own_slots,
                                         std::shared_ptr<Effort> effort,
                                         std::size_t threads) const {
  const std::size_t used = view.rows->used.load();
  const std::size_t depth = std::min(kProfile, view.rows->live.load() - 1);
  std::vector<std::vector<float>> profiles(queries.size());
  parallel_for(queries.size(), threads, 1, [&](std::size_t begin, std::size_t end) {
    constexpr std::size_t kBlock = 512;
    std::vector<Slot> slots(kBlock);
    std::vector<float> scores(kBlock);
    for (std::size_t q = begin; q < end; ++q) {
      std::vector<float>& nearest = profiles[q];
      for (std::size_t first = 0; first < used; first += kBlock) {
        std::size_t count = 0;
        for (std::size_t s = first; s < std::min(used, first + kBlock); ++s) {
          const auto slot = static_cast<Slot>(s);
          if (view.rows->is_live(slot) && slot != own_slots[q]) slots[count++] = slot;
        }
        score_rows(view, queries[q], slots.data(), count, scores.data());
        nearest.insert(nearest.end(), scores.begin(),
                       scores.begin() + static_cast<std::ptrdiff_t>(count));
        if (nearest.size() < 8 * depth && first + kBlock < used) continue;
        const auto last = nearest.begin() + static_cast<std::ptrdiff_t>(depth);
        if (nearest.size() > depth) {
          std::nth_element(nearest.begin(), last, nearest.end(), std::greater<>());
        }
        nearest.resize(depth);
      }
      std::sort(nearest.begin(), nearest.end(), std::greater<>());
    }
  });
  effort->distances.resize(depth);
  std::vector<float> column(queries.size());
  for (std::size_t j = 0; j < depth; ++j) {
    for (std::size_t q = 0; q < queries.size(); ++q) column[q] = 1.0f - profiles[q][j];
    std::nth_element(column.begin(),
                     column.begin() + static_cast<std::ptrdiff_t>(column.size() / 2), column.end());
    effort->distances[j] = column[column.size() / 2];
  }

  effort->recalls.clear();
  const std::size_t wanted = std::min(kNeighbours, depth);
  for (const std::size_t ef : kEfforts) {
    std::vector<std::size_t> hits(queries.size());
    parallel_for(queries.size(), threads, 4, [&](std::size_t begin, std::size_t end) {
      ScratchLease scratch(*this);
      Walk& walk = scratch->walks[0];
      for (std::size_t q = begin; q < end; ++q) {
        WalkGoal wish = goal_for(effort.get(), wanted, ef);
        wish.without = own_slots[q];
        prepare_walk(view, queries[q], effort.get(), walk);
        walk.begin(view, wish);
        walk.run();
        TopK best(wanted);
        collect(view, walk, queries[q], wish, true, best);
        std::vector<float> scores(wanted);
        std::vector<Label> labels(wanted);
        best.write(scores.data(), labels.data());
        for (const float score : scores) hits[q] += score >= profiles[q][wanted - 1] - kTie;
      }
    });
    const double found =
        static_cast<double>(std::accumulate(hits.begin(), hits.end(), std::size_t{0}));
    const double recall = found / static_cast<double>(queries.size() * wanted);
    // More effort cannot find less; what says otherwise is noise.
    if (!effort->recalls.empty() && recall <= effort->recalls.back().second) continue;
    effort->recalls.emplace_back(ef, recall);
    if (recall >= kEnough) break;
  }
  return effort;
}

std::shared_ptr<Effort> HnswIndex::learn_from_rows(const GraphView& view,
                                                   std::size_t threads) const {
  std::vector<Slot> slots;
  for (Slot slot = 0; slot < view.rows->used.load(); ++slot) {
    if (view.graph->state(slot) == Graph::State::kLinked) slots.push_back(slot);
  }
  const std::size_t sampled = std::min(kQueries, slots.size());
  for (std::size_t i = 0; i < sampled; ++i) slots[i] = slots[i * slots.size() / sampled];
  slots.resize(sampled);
  std::vector<PreparedQuery> queries;
  std::vector<float> row(dim());
  for (const Slot slot : slots) {
    decode(view, slot, row.data());
    if (view.alignment() != nullptr) {
      queries.push_back(view.alignment()->prepare_row(row.data(), dim()));
    } else {
      queries.push_back({row, 0.0f});
    }
  }
  return learn(view, queries, slots, std::make_shared<Effort>(), threads);
}

void HnswIndex::settle(std::size_t threads) {
  const std::size_t live = seen().rows->live.load();
  if (live < kLearnFrom || live < 2 * seen().efforts->rows) return;
  auto next = std::make_unique<GraphView>(seen());
  auto efforts = std::make_shared<Efforts>(*next->efforts);
  efforts->rows = live;
  efforts->of[""] = learn_from_rows(seen(), threads);
  next->efforts = std::move(efforts);
  show(std::move(next));
}

void HnswIndex::fit_queries(const float* queries, std::size_t query_dim, std::size_t count,
                            const std::string& modality, std::size_t threads) {
  constexpr std::size_t kFewest = 100;
  if (count < kFewest) {
    throw InvalidArgument("the sample has " + std::to_string(count) + " queries; give at least " +
                          std::to_string(kFewest) + ", better a few thousand");
  }
  const std::lock_guard<std::mutex> writer(writer_);
  const GraphView& view = seen();
  if (view.rows->live.load() < kLearnFrom) {
    throw InvalidArgument("the index has " + std::to_string(view.rows->live.load()) +
                          " rows; below " + std::to_string(kLearnFrom) +
                          " there is nothing to learn: add the rows first");
  }
  std::vector<PreparedQuery> prepared;
  auto effort = std::make_shared<Effort>();
  std::vector<double> sum(dim(), 0.0);
  for (std::size_t i = 0; i < count; ++i) {
    prepared.push_back(prepare_query(view, queries + i * query_dim, query_dim, modality, i));
    for (std::size_t j = 0; j < dim(); ++j) sum[j] += prepared.back().vector[j];
  }
  effort->mean.mean.resize(dim());
  for (std::size_t j = 0; j < dim(); ++j) {
    effort->mean.mean[j] = static_cast<float>(sum[j] / static_cast<double>(count));
  }
  view.codes->fill_mean(effort->mean, view.rows->used.load(), threads);
  const std::size_t measured = std::min(kQueries, count);
  prepared.erase(prepared.begin(), prepared.end() - static_cast<std::ptrdiff_t>(measured));
  auto next = std::make_unique<GraphView>(view);
  auto efforts = std::make_shared<Efforts>(*next->efforts);
  efforts->of[modality] =
      learn(view, prepared, std::vector<Slot>(measured, kNoSlot), std::move(effort), threads);
  next->efforts = std::move(efforts);
  show(std::move(next));
}

}  // namespace gapless
