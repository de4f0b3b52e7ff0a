#include <algorithm>
#include <cmath>

#include "core/thread_pool.h"
#include "index/hnsw.h"
#include "index/hnsw_search.inc"
#include "kernels/kernels.h"

namespace gapless {
namespace {

// A link to c is dropped when a kept one is nearer to c than the row is, by this factor on squared
// distance: 1 is the paper's rule; a little more keeps longer lists and fewer hops.
constexpr float kPruneFactor = 1.1f;

// SplitMix64 (Steele, Lea and Flood 2014): a uniform number for each counter value.
double uniform(std::uint64_t seed, std::uint64_t counter) {
  std::uint64_t x = seed + (counter + 1) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  x ^= x >> 31;
  return (static_cast<double>(x >> 11) + 1.0) * 0x1.0p-53;
}

}  // namespace

int HnswIndex::draw_level() {
  const double scale = 1.0 / std::log(static_cast<double>(options_.m));
  const double level = -std::log(uniform(options_.seed, draws_++)) * scale;
  return std::min(kMaxLevel, static_cast<int>(level));
}

void HnswIndex::open_slot(Slot slot, int level) {
  levels_[slot] = static_cast<std::uint8_t>(level);
  std::fill(links(slot, 0), links(slot, 0) + degree(0), kNoSlot);
  upper_links_[slot].reset();
  if (level == 0) return;
  const std::size_t size = static_cast<std::size_t>(level) * options_.m;
  upper_links_[slot] = std::make_unique<Slot[]>(size);
  std::fill(upper_links_[slot].get(), upper_links_[slot].get() + size, kNoSlot);
}

void HnswIndex::make_room(std::size_t slots, std::size_t erased) {
  tombstones_.reserve(tombstones_.size() + erased);
  base_links_.resize(std::max(slots, levels_.size()) * degree(0), kNoSlot);
  if (slots > upper_links_.size()) upper_links_.resize(slots);
  levels_.resize(std::max(slots, levels_.size()), 0);
}

void HnswIndex::insert(const std::vector<Slot>& slots, std::size_t threads) {
  for (const Slot slot : slots) open_slot(slot, draw_level());
  link_all(slots, threads);
}

void HnswIndex::link_all(const std::vector<Slot>& slots, std::size_t threads) {
  if (slots.empty()) return;
  std::size_t first = 0;
  if (entry_ == kNoSlot) {
    entry_ = slots[0];
    top_level_ = levels_[entry_];
    first = 1;
  }
  parallel_for(slots.size() - first, threads, 16, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) link(slots[first + i]);
  });
}

void HnswIndex::link(Slot slot) {
  std::unique_lock<std::mutex> entry_lock(entry_lock_);
  const Slot entry = entry_;
  const int top = top_level_;
  const int level = levels_[slot];
  // A row that becomes the new entry keeps others from starting until it is linked.
  if (level <= top) entry_lock.unlock();

  const Scorer score{rows_, nullptr, rows_.vector(slot), 0.0f};
  const auto other = [this, slot](Slot s) { return s != slot && rows_.label(s) != kNoLabel; };
  ScratchLease scratch(*this);
  Slot at = descend<true>(score, entry, top, level, *scratch);
  std::vector<Candidate> nearest;
  for (int l = std::min(level, top); l >= 0; --l) {
    search_level<true>(score, at, options_.ef_construction, l, other, kNoBudget, *scratch);
    nearest.clear();
    scratch->pool.for_each_allowed([&](const Candidate& c) { nearest.push_back(c); });
    if (nearest.empty()) continue;  // only tombstones up here
    at = nearest.front().slot;
    const std::vector<Slot> chosen = select(nearest, options_.m);
    {
      const std::lock_guard<std::mutex> lock(link_lock(slot));
      // The row may have links: from threads that linked back to it, or from before a repair.
      Slot* row = links(slot, l);
      std::vector<Slot> merged = chosen;
      for (std::size_t i = 0; i < degree(l) && row[i] != kNoSlot; ++i) {
        if (merged.size() == degree(l)) break;
        if (std::find(chosen.begin(), chosen.end(), row[i]) == chosen.end()) {
          merged.push_back(row[i]);
        }
      }
      std::copy(merged.begin(), merged.end(), row);
    }
    for (const Slot neighbour : chosen) link_back(neighbour, slot, l);
  }
  if (level > top) {
    entry_ = slot;
    top_level_ = level;
  }
}

// The paper's heuristic: of the nearest (best first), those not nearer to one already kept.
std::vector<Slot> HnswIndex::select(const std::vector<Candidate>& nearest, std::size_t most) const {
  std::vector<Slot> kept;
  kept.reserve(most);
  for (const Candidate& candidate : nearest) {
    if (kept.size() == most) break;
    const float* vector = rows_.vector(candidate.slot);
    const float distance = 1.0f - candidate.score;
    // `<=`: identical rows are at distance 0 of each other, and with `<` they would fill each
    // other's lists and be cut off from the rest.
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](Slot k) {
      return kPruneFactor * (1.0f - kernels().dot(rows_.vector(k), vector, dim())) <= distance;
    });
    if (!covered) kept.push_back(candidate.slot);
  }
  return kept;
}

void HnswIndex::link_back(Slot from, Slot to, int level) {
  const std::lock_guard<std::mutex> lock(link_lock(from));
  Slot* row = links(from, level);
  const std::size_t most = degree(level);
  std::size_t count = 0;
  while (count < most && row[count] != kNoSlot) {
    if (row[count] == to) return;
    ++count;
  }
  if (count < most) {
    row[count] = to;
    return;
  }
  std::vector<Slot> wanted(row, row + most);
  wanted.push_back(to);
  rewrite_links(from, level, wanted);
}

// Gives a row the best links among `wanted`; returns how many it got.
std::size_t HnswIndex::rewrite_links(Slot slot, int level, const std::vector<Slot>& wanted) {
  std::vector<float> scores(2 * wanted.size());
  const Scorer score{rows_, nullptr, rows_.vector(slot), 0.0f};
  score(wanted.data(), wanted.size(), scores.data(), scores.data() + wanted.size());
  std::vector<Candidate> nearest;
  nearest.reserve(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) nearest.push_back({scores[i], wanted[i]});
  std::sort(nearest.begin(), nearest.end(),
            [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  const std::vector<Slot> chosen = select(nearest, degree(level));
  Slot* row = links(slot, level);
  std::fill(row, row + degree(level), kNoSlot);
  std::copy(chosen.begin(), chosen.end(), row);
  return chosen.size();
}

}  // namespace gapless
