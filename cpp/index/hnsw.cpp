#include "index/hnsw.h"

#include <algorithm>

#include "core/error.h"
#include "core/runtime.h"
#include "core/thread_pool.h"
#include "index/hnsw_search.inc"

namespace gapless {

HnswIndex::HnswIndex(std::size_t dim, const HnswOptions& options) : Index(dim), options_(options) {
  if (options.m < 2 || options.m > 512) {
    throw InvalidArgument("m is " + std::to_string(options.m) + "; it must be 2 to 512");
  }
  if (options.ef_construction == 0 || options.ef_construction > 100000) {
    throw InvalidArgument("ef_construction is " + std::to_string(options.ef_construction) +
                          "; it must be 1 to 100000");
  }
}

void HnswIndex::Scratch::begin(std::size_t slots, std::size_t degree) {
  if (visited.size() < slots) visited.resize(slots, 0);
  if (++epoch == 0) {  // the counter came round: every mark is stale
    std::fill(visited.begin(), visited.end(), std::uint16_t{0});
    epoch = 1;
  }
  if (fresh.size() < degree) {
    fresh.resize(degree);
    scores.resize(degree);
    scales.resize(degree);
  }
}

std::size_t HnswIndex::structure_bytes() const {
  std::size_t upper = upper_links_.capacity() * sizeof(upper_links_[0]);
  for (std::size_t slot = 0; slot < levels_.size(); ++slot) {
    upper += levels_[slot] * options_.m * sizeof(Slot);
  }
  return base_links_.bytes() + levels_.bytes() + upper;
}

bool HnswIndex::search_one(const PreparedQuery& query, const SlotFilter* filter, std::size_t ef,
                           TopK& best) const {
  if (entry_ == kNoSlot) return true;
  const Scorer score = scorer(query);
  ScratchLease scratch(*this);
  const Slot entry = descend<false>(score, entry_, top_level_, 0, *scratch);
  const auto walk = [&](const auto& allow, std::size_t budget) {
    return search_level<false>(score, entry, ef, 0, allow, budget, *scratch);
  };
  const bool done = filter == nullptr && tombstones_.empty()
                        ? walk([](Slot) { return true; }, kNoBudget)
                        : walk(Allowed{rows_, filter}, filter ? filter->matches() : kNoBudget);
  if (!done) return false;
  scratch->pool.for_each_allowed([&](const Candidate& candidate) {
    best.push({candidate.score, rows_.label(candidate.slot)});
  });
  return true;
}

void HnswIndex::search_rows(const std::vector<PreparedQuery>& queries, const SlotFilter* filter,
                            const SearchOptions& options, float* scores, Label* labels) const {
  const std::size_t ef = std::max(options.ef == 0 ? kDefaultEf : options.ef, options.k);
  // A filtered walk meets about ef / s rows, s = matches / rows, each with some 16 new neighbours;
  // scoring the matches costs s * rows. The second is cheaper, and exact, up to this many. The
  // estimate takes filter and query for independent; where they are not (the query of one modality,
  // the rows of another), the walk's budget of rows ends it.
  bool exact = rows_.size() <= ef;
  std::vector<Slot> allowed;
  if (filter != nullptr) {
    const auto matches = static_cast<double>(filter->matches());
    const double bound = 16.0 * static_cast<double>(ef) * static_cast<double>(rows_.size());
    exact = exact || filter->matches() <= ef || matches * matches <= bound;
    allowed = filter->slots();
  } else if (exact) {
    for (Slot slot = 0; slot < rows_.slots(); ++slot) {
      if (rows_.label(slot) != kNoLabel) allowed.push_back(slot);
    }
  }
  const std::size_t workers = options.threads == 0 ? runtime().cores : options.threads;
  const std::size_t grain = std::clamp<std::size_t>(queries.size() / (4 * workers), 1, 8);
  parallel_for(queries.size(), options.threads, grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      TopK best(options.k);
      if (exact || !search_one(queries[i], filter, ef, best)) scan(queries[i], allowed, best);
      best.write(scores + i * options.k, labels + i * options.k);
    }
  });
}

}  // namespace gapless
