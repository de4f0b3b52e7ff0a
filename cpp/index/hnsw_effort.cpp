#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "core/thread_pool.h"
#include "index/hnsw.h"
#include "index/hnsw_scratch.h"

namespace gapless {
namespace {

constexpr std::size_t kNeighbours = 10;  // recall at
constexpr std::size_t kProfile = 1024;   // nearest rows whose distances are noted
constexpr float kTie = 1e-6f;
constexpr std::size_t kEfforts[] = {10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896};
constexpr std::size_t kMostEffort = 896;     // the last of these
constexpr std::size_t kFewestMeasured = 50;  // rows without equals
constexpr double kEnough = 0.998;

// What is known but for the recalls, which are measured anew when one is asked for; and but for the
// products of the mean queries.
std::shared_ptr<Efforts> without_recalls(const Efforts& efforts) {
  auto kept = std::make_shared<Efforts>();
  for (const auto& [modality, effort] : efforts.of) {
    auto without = std::make_shared<Effort>();
    without->sample = effort->sample;
    without->mean.mean = effort->mean.mean;
    without->distances = effort->distances;
    kept->of[modality] = std::move(without);
  }
  if (efforts.raw != nullptr) kept->raw = without_recalls(*efforts.raw);
  return kept;
}

}  // namespace

// Measures distances and recall with a sample of prepared queries. A query that is a row of the
// index is searched for as if that row were not there.
void HnswIndex::learn(const GraphView& view, const std::vector<PreparedQuery>& queries,
                      const std::vector<Slot>& own_slots, Effort& effort,
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
  effort.distances.resize(depth);
  std::vector<float> column(queries.size());
  for (std::size_t j = 0; j < depth; ++j) {
    for (std::size_t q = 0; q < queries.size(); ++q) column[q] = 1.0f - profiles[q][j];
    std::nth_element(column.begin(),
                     column.begin() + static_cast<std::ptrdiff_t>(column.size() / 2), column.end());
    effort.distances[j] = column[column.size() / 2];
  }

  effort.recalls.clear();
  const std::size_t wanted = std::min(kNeighbours, depth);
  for (const std::size_t ef : kEfforts) {
    std::vector<std::size_t> hits(queries.size());
    parallel_for(queries.size(), threads, 4, [&](std::size_t begin, std::size_t end) {
      ScratchLease scratch(*this);
      Walk& walk = scratch->walks[0];
      for (std::size_t q = begin; q < end; ++q) {
        WalkGoal wish = goal_for(&effort, wanted, ef);
        wish.without = own_slots[q];
        prepare_walk(view, queries[q], &effort, walk);
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
    if (effort.recalls.empty() || recall > effort.recalls.back().second) {
      effort.recalls.emplace_back(ef, recall);
    } else if (ef == kMostEffort) {
      effort.recalls.back().first = ef;  // what is not reached is asked with all there is
    }
    if (recall >= kEnough) break;
  }
}

void HnswIndex::learn_from_rows(const GraphView& view, Effort& effort, std::size_t threads) const {
  std::vector<Slot> slots;
  for (Slot slot = 0; slot < view.rows->used.load(); ++slot) {
    // A row that has equals would hide them too when it is searched for as if it were not there.
    const bool alone = view.graph->next_equal(slot) == kNoSlot;
    if (alone && view.graph->state(slot) == Graph::State::kLinked) slots.push_back(slot);
  }
  if (slots.size() < kFewestMeasured) return;
  const std::size_t sampled = std::min(kMeasured, slots.size());
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
  learn(view, queries, slots, effort, threads);
}

// The mean of prepared queries, and its products with the rows.
void HnswIndex::take_mean(const GraphView& view, const std::vector<PreparedQuery>& queries,
                          Effort& effort, std::size_t threads) const {
  std::vector<double> sum(dim(), 0.0);
  for (const PreparedQuery& query : queries) {
    for (std::size_t j = 0; j < dim(); ++j) sum[j] += query.vector[j];
  }
  effort.mean.mean.resize(dim());
  for (std::size_t j = 0; j < dim(); ++j) {
    effort.mean.mean[j] = static_cast<float>(sum[j] / static_cast<double>(queries.size()));
  }
  view.codes->fill_mean(effort.mean, view.rows->used.load(), threads);
}

void HnswIndex::set_effort(const std::string& modality, std::shared_ptr<Effort> effort) {
  auto next = std::make_unique<GraphView>(seen());
  auto efforts = std::make_shared<Efforts>(*next->efforts);
  if (efforts->raw != nullptr && !effort->sample.empty() &&
      effort->sample.front().size() == dim()) {
    // The sample outlives the alignment: it is what another one, or none, is learnt for.
    auto sample_alone = std::make_shared<Effort>();
    sample_alone->sample = effort->sample;
    auto raw = std::make_shared<Efforts>(*efforts->raw);
    raw->of[modality] = std::move(sample_alone);
    efforts->raw = std::move(raw);
  }
  efforts->of[modality] = std::move(effort);
  next->efforts = std::move(efforts);
  show(std::move(next));
}

// For a graph built anew: what was measured in the old one, with the links made for samples, does
// not hold there.
void HnswIndex::forget_recalls(GraphView& next) const {
  next.efforts = without_recalls(*next.efforts);
  refill_means(next);
}

void HnswIndex::settle(std::size_t threads) {
  const std::size_t live = seen().rows->live.load();
  // Other rows, as many as half of what is there, need not be like those of before.
  if (live < kLearnFrom || changed_ < live / 2) return;
  changed_ = 0;
  check_codes(threads);
  if (seen().efforts->raw != nullptr) {  // measured among fewer rows
    auto next = std::make_unique<GraphView>(seen());
    auto efforts = std::make_shared<Efforts>(*next->efforts);
    efforts->raw = without_recalls(*efforts->raw);
    next->efforts = std::move(efforts);
    show(std::move(next));
  }
  const Efforts known = *seen().efforts;
  for (const auto& [modality, effort] : known.of) {
    if (!effort->sample.empty()) learn_again(modality);
  }
}

// Learns from the rows, and takes other codes where those in use do not find what they should.
void HnswIndex::check_codes(std::size_t threads) {
  constexpr double kHolds = 0.97;   // recall that effort must be able to buy
  constexpr double kBetter = 0.01;  // and that other codes must gain
  auto effort = std::make_shared<Effort>();
  learn_from_rows(seen(), *effort, threads);
  const auto best = [](const Effort& of) {
    return of.recalls.empty() ? 0.0 : of.recalls.back().second;
  };
  if (options_.codes == "auto" && seen().codes->kind() == CodeKind::kCascade &&
      best(*effort) < kHolds) {
    GraphView other(seen());
    std::vector<float> row(dim());
    other.codes = make_codes(CodeKind::kI8, other.rows, seen().codes->mean());
    for (Slot slot = 0; slot < other.rows->used.load(); ++slot) {
      decode(seen(), slot, row.data());
      other.codes->encode(slot, row.data());
    }
    auto other_effort = std::make_shared<Effort>();
    learn_from_rows(other, *other_effort, threads);
    if (best(*other_effort) > best(*effort) + kBetter) {
      show(std::make_unique<GraphView>(other));
      effort = std::move(other_effort);
    }
  }
  const Effort* fitted = seen().efforts->find("");
  if (fitted == nullptr || fitted->sample.empty()) set_effort("", std::move(effort));
}

// Learns anew, under the alignment and with the rows of now, from the sample that was kept.
void HnswIndex::learn_again(const std::string& modality) {
  const Effort* known = seen().efforts->find(modality);
  auto effort = std::make_shared<Effort>();
  if (known == nullptr || known->sample.empty()) {
    learn_from_rows(seen(), *effort, 0);
  } else {
    effort->sample = known->sample;
    std::vector<PreparedQuery> prepared;
    for (const std::vector<float>& query : effort->sample) {
      prepared.push_back(prepare_query(seen(), query.data(), query.size(), modality));
    }
    take_mean(seen(), prepared, *effort, 0);
    learn(seen(), prepared, std::vector<Slot>(prepared.size(), kNoSlot), *effort, 0);
  }
  set_effort(modality, std::move(effort));
}

// Another alignment makes other queries of the samples, and other distances: what was measured
// under the old one is forgotten, and measured again when a recall is asked for. Till then the
// distances between raw rows are a fair guess.
void HnswIndex::realign(IndexView& given) {
  auto& next = static_cast<GraphView&>(given);
  const std::shared_ptr<const Efforts> raw =
      next.efforts->raw != nullptr ? next.efforts->raw : next.efforts;
  if (next.alignment() == nullptr) {
    next.efforts = raw;
    refill_means(next);
    return;
  }
  auto efforts = std::make_shared<Efforts>();
  efforts->raw = raw;
  for (const auto& [modality, effort] : raw->of) {
    auto kept = std::make_shared<Effort>();
    kept->sample = effort->sample;
    if (modality.empty()) kept->distances = effort->distances;
    std::vector<PreparedQuery> prepared;
    try {
      for (const std::vector<float>& query : kept->sample) {
        prepared.push_back(prepare_query(next, query.data(), query.size(), modality));
      }
    } catch (const InvalidArgument&) {  // the new alignment does not know such queries
      continue;
    }
    if (!prepared.empty()) take_mean(next, prepared, *kept, 0);
    efforts->of[modality] = std::move(kept);
  }
  next.efforts = std::move(efforts);
}

void HnswIndex::before_search(const SearchOptions& options) {
  if (options.recall == 0.0) return;
  std::string modality = options.query_modality;
  const auto missing = [&] {
    const GraphView& view = seen();
    if (view.rows->live.load() < kLearnFrom) return false;
    if (view.efforts->find(modality) == nullptr) modality.clear();
    const Effort* effort = view.efforts->find(modality);
    return effort == nullptr || effort->recalls.empty();
  };
  {
    const Epoch::Guard guard(epoch_);
    if (!missing()) return;
  }
  const std::lock_guard<std::mutex> writer(writer_);
  if (missing()) learn_again(modality);
}

}  // namespace gapless
