#include "index/exact_scan.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "core/runtime.h"
#include "core/thread_pool.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr std::size_t kLeastRows = 1024;   // below, a plain scan is as fast
constexpr std::size_t kGrowth = 4;         // until a new basis
constexpr std::size_t kFewShare = 8;       // fewer rows than this share are allowed: no scan
constexpr std::size_t kManyShare = 32;     // more than this share are wanted: no bounds
constexpr std::size_t kMostAtOnce = 1008;  // queries that go through the rows together

ScanCosts costs_of(std::size_t dim, std::size_t query_count) {
  const auto dims = static_cast<double>(dim);
  // A group of queries shares what it loads and waits for sums; a single query waits for memory.
  if (query_count >= kTileQueries) return {0.145, 0.06, 10.0 + dims / 77, dims / 45};
  return {32.0, 16.0, 400.0 + 1.5 * dims, 4.0 * dims};
}

}  // namespace

ExactScan::ExactScan(const ExactScan& from, const Slot* slots, std::size_t count, std::size_t room,
                     std::size_t threads)
    : dim_(from.dim_), codes_(from.codes_, slots, count, room, threads), packed_(from.packed_) {}

bool ExactScan::outgrown(std::size_t count) const { return count >= kGrowth * packed_; }

void ExactScan::pack(const float* rows, std::size_t stride, std::size_t count,
                     std::size_t threads) {
  codes_ = ScanCodes(dim_);
  packed_ = 0;
  if (count < kLeastRows) return;
  codes_.build(rows, stride, count, threads);
  packed_ = count;
}

void ExactScan::extend(const float* rows, std::size_t stride, std::size_t count,
                       std::size_t threads) {
  if (outgrown(count)) {
    pack(rows, stride, count, threads);
  } else {
    codes_.extend(rows, stride, count, threads);
  }
}

void ExactScan::replace(const float* rows, std::size_t stride, const Slot* slots,
                        std::size_t count) {
  std::vector<Slot> coded(slots, slots + count);
  std::erase_if(coded, [&](Slot slot) { return slot >= codes_.size(); });
  if (!coded.empty()) codes_.replace(rows, stride, coded.data(), coded.size());
}

void ExactScan::search(const ScanTarget* queries, std::size_t query_count, std::size_t k,
                       const ScannedRows& rows, std::size_t threads, TopK* best) const {
  ScanCounts counts;
  search(queries, query_count, k, rows, threads, best, counts);
}

void ExactScan::search(const ScanTarget* queries, std::size_t query_count, std::size_t k,
                       const ScannedRows& rows, std::size_t threads, TopK* best,
                       ScanCounts& counts) const {
  if (query_count == 0 || k == 0) return;
  const std::size_t cores = threads == 0 ? runtime().cores : threads;
  const std::size_t workers = threads == 0 && query_count == 1 ? 1 : cores;
  const bool few = rows.allowed != nullptr && rows.allowed->size() < rows.count / kFewShare;
  // Bounds cannot rule out much where many rows are wanted.
  const bool bounded = codes_.size() > 0 && k < codes_.size() / kManyShare;
  const ScanCosts costs = costs_of(dim_, query_count);
  std::mutex mutex;
  const auto add = [&](const ScanCounts& more) {
    const std::lock_guard<std::mutex> lock(mutex);
    counts.scanned += more.scanned;
    counts.lines += more.lines;
    counts.rescored += more.rescored;
    counts.plain += more.plain;
    counts.lost += more.lost;
  };

  // Many queries: each worker takes some of them through all rows.
  const bool by_rows = !few && workers > 1 && query_count < workers * kScanQueries;
  std::size_t grain = (query_count + workers - 1) / workers;
  grain = std::min((grain + kScanQueries - 1) / kScanQueries * kScanQueries, kMostAtOnce);
  std::vector<ScanState> shared;
  shared.reserve(by_rows ? query_count : 0);
  parallel_for(query_count, by_rows ? 1 : workers, grain, [&](std::size_t begin, std::size_t end) {
    ScanPass search(codes_, dim_, rows, k);
    std::vector<ScanState> local;
    std::vector<ScanState>& states = by_rows ? shared : local;
    local.reserve(end - begin);
    for (std::size_t q = begin; q < end; ++q) {
      ScanState& state = states.emplace_back(queries[q], k);
      state.depth = search.plain();
      if (few) {
        search.scan_allowed(state);
      } else if (bounded) {
        search.prepare(state, costs);
      }
    }
    if (!few && !by_rows) search.scan(states, 0, rows.count);
    for (ScanState& state : local) {
      // As many rows as were known to reach the floor must have been found.
      search.counts.lost += state.floor > kNoScore && state.best.threshold() == kNoScore;
      best[&state - local.data() + begin] = std::move(state.best);
    }
    add(search.counts);
  });
  if (!by_rows) return;

  // Few queries: each worker takes all of them through some of the rows.
  const std::size_t share = (rows.count + workers - 1) / workers;
  const std::size_t piece = (share + kScanBlockRows - 1) / kScanBlockRows * kScanBlockRows;
  parallel_for(rows.count, workers, piece, [&](std::size_t begin, std::size_t end) {
    ScanPass search(codes_, dim_, rows, k);
    std::vector<ScanState> states(shared);
    search.scan(states, begin, end);
    std::vector<float> scores(k);
    std::vector<Label> labels(k);
    add(search.counts);
    const std::lock_guard<std::mutex> lock(mutex);
    for (std::size_t q = 0; q < query_count; ++q) {
      states[q].best.write(scores.data(), labels.data());
      for (std::size_t i = 0; i < k && labels[i] != kNoLabel; ++i) {
        best[q].push({scores[i], labels[i]});
      }
    }
  });
}

}  // namespace gapless
