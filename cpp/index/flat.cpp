#include "index/flat.h"

#include <algorithm>
#include <new>
#include <numeric>

#include "core/publish.h"
#include "core/thread_pool.h"

namespace gapless {
namespace {

constexpr std::size_t kLeastUncoded = 4096;  // rows; fewer are not worth coding
constexpr std::size_t kCodedShare = 8;       // of the coded rows, that may wait for their codes
constexpr std::size_t kFewAllowed = 1024;    // rows that are scored one by one

// Readers see the codes of one moment; the rows that they code never change their slots.
struct FlatView : IndexView {
  std::shared_ptr<const ExactScan> scan;
};

const ExactScan& scan_of(const IndexView& view) { return *static_cast<const FlatView&>(view).scan; }

ScannedRows rows_of(const IndexView& view, std::size_t count, const Label* labels,
                    const std::vector<Slot>* allowed) {
  const RowTable& table = *view.rows;
  return {table.vectors.data(), table.stride, count, labels, view.r(), allowed};
}

std::vector<ScanTarget> targets_of(const PreparedQuery* queries, std::size_t count) {
  std::vector<ScanTarget> targets;
  targets.reserve(count);
  for (std::size_t q = 0; q < count; ++q) {
    targets.push_back({queries[q].vector.data(), queries[q].c});
  }
  return targets;
}

// Labels of one moment, or nearly: one that moves meanwhile may be there twice, but is never
// missing, since it comes to the later slot before it leaves the earlier.
std::vector<Label> copy_labels(const RowTable& table) {
  std::vector<Label> labels;
  for (;;) {
    const std::size_t used = table.used.load(std::memory_order_acquire);
    if (used == labels.size()) return labels;
    labels.reserve(used);
    for (std::size_t slot = labels.size(); slot < used; ++slot) {
      labels.push_back(table.label(static_cast<Slot>(slot)));
    }
  }
}

// Labels that occur twice in an answer.
std::vector<Label> twice_in(const Label* labels, std::size_t k) {
  std::vector<Label> sorted(labels, labels + k);
  std::sort(sorted.begin(), sorted.end());
  std::vector<Label> found;
  for (std::size_t i = 1; i < k; ++i) {
    if (sorted[i] == sorted[i - 1] && sorted[i] != kNoLabel) found.push_back(sorted[i]);
  }
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

// Leaves these labels to the later of their rows.
void keep_last(std::vector<Label>& labels, const std::vector<Label>& twice) {
  std::vector<bool> seen(twice.size(), false);
  for (std::size_t slot = labels.size(); slot-- > 0;) {
    const auto at = std::lower_bound(twice.begin(), twice.end(), labels[slot]);
    if (at == twice.end() || *at != labels[slot]) continue;
    if (seen[at - twice.begin()]) labels[slot] = kNoLabel;
    seen[at - twice.begin()] = true;
  }
}

}  // namespace

FlatIndex::FlatIndex(std::size_t dim) : Index(dim, true) {
  auto view = std::make_unique<FlatView>();
  view->scan = std::make_shared<ExactScan>(dim);
  start(std::move(view));
}

std::unique_ptr<FlatIndex> FlatIndex::restore(std::size_t dim, const SectionReader& reader) {
  auto index = std::make_unique<FlatIndex>(dim);
  index->restore_rows(reader);
  // What a file holds in rows without label nobody has checked.
  RowTable& rows = *index->writable().rows;
  for (Slot slot = 0; slot < rows.used.load(); ++slot) {
    if (rows.label(slot) != kNoLabel) continue;
    std::fill_n(rows.vectors.data() + slot * rows.stride, rows.stride, 0.0f);
  }
  index->restore_alignment(reader);
  index->settle(0);
  return index;
}

std::unique_ptr<IndexView> FlatIndex::copy_view() const {
  return std::make_unique<FlatView>(static_cast<const FlatView&>(view()));
}

void FlatIndex::grow(IndexView& next, const std::vector<Slot>& kept) {
  const ExactScan& scan = scan_of(view());
  const auto coded = static_cast<std::size_t>(
      std::lower_bound(kept.begin(), kept.end(), scan.coded()) - kept.begin());
  if (coded == scan.coded()) return;  // all are where they were
  static_cast<FlatView&>(next).scan =
      std::make_shared<ExactScan>(scan, kept.data(), coded, coded, 1);
}

void FlatIndex::settle(std::size_t threads) {
  const RowTable& rows = *view().rows;
  const ExactScan& scan = scan_of(view());
  const std::size_t used = rows.used.load();
  if (used - scan.coded() < std::max(kLeastUncoded, scan.coded() / kCodedShare)) return;
  try {
    std::shared_ptr<ExactScan> larger;
    if (scan.outgrown(used)) {
      larger = std::make_shared<ExactScan>(dim());
    } else {
      std::vector<Slot> all(scan.coded());
      std::iota(all.begin(), all.end(), Slot{0});
      larger = std::make_shared<ExactScan>(scan, all.data(), all.size(), used, threads);
    }
    larger->extend(rows.vectors.data(), rows.stride, used, threads);
    std::unique_ptr<IndexView> next = copy_view();
    static_cast<FlatView&>(*next).scan = std::move(larger);
    show(std::move(next));
  } catch (const std::bad_alloc&) {
    // The rows are in the index, and are found without codes.
  }
}

// By the labels as they are. False when rows that mattered have gone meanwhile.
bool FlatIndex::search_one(const IndexView& seen, const PreparedQuery& query, std::size_t k,
                           const std::vector<Slot>* allowed, TopK& best) const {
  const RowTable& table = *seen.rows;
  const std::vector<ScanTarget> targets = targets_of(&query, 1);
  std::size_t used = table.used.load(std::memory_order_acquire);
  ScanCounts counts;
  const ScannedRows rows = rows_of(seen, used, table.labels.data(), allowed);
  scan_of(seen).search(targets.data(), 1, k, rows, 1, &best, counts);
  // A row that left its slot before the scan came there may lie in a later one.
  while (allowed == nullptr && counts.lost == 0) {
    const std::size_t now = table.used.load(std::memory_order_acquire);
    if (now == used) break;
    std::vector<Slot> later(now - used);
    std::iota(later.begin(), later.end(), static_cast<Slot>(used));
    scan(seen, query, later, best);
    used = now;
  }
  return counts.lost == 0;
}

// Whatever is written meanwhile.
void FlatIndex::search_copy(const IndexView& seen, const std::vector<PreparedQuery>& queries,
                            const std::vector<Slot>* allowed, const SearchOptions& options,
                            float* scores, Label* labels) const {
  std::vector<Label> copy = copy_labels(*seen.rows);
  const auto search = [&](std::size_t first, std::size_t count) {
    const std::vector<ScanTarget> targets = targets_of(&queries[first], count);
    std::vector<TopK> best(count, TopK(options.k));
    scan_of(seen).search(targets.data(), count, options.k,
                         rows_of(seen, copy.size(), copy.data(), allowed), options.threads,
                         best.data());
    for (std::size_t q = 0; q < count; ++q) {
      best[q].write(scores + (first + q) * options.k, labels + (first + q) * options.k);
    }
  };
  search(0, queries.size());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    for (;;) {
      const std::vector<Label> twice = twice_in(labels + q * options.k, options.k);
      if (twice.empty()) break;
      keep_last(copy, twice);
      search(q, 1);
    }
  }
}

void FlatIndex::search_rows(const IndexView& seen, const std::vector<PreparedQuery>& queries,
                            const SlotFilter* filter, const SearchOptions& options, float* scores,
                            Label* labels) const {
  const std::vector<Slot> allowed = filter == nullptr ? std::vector<Slot>() : filter->slots();
  if (filter != nullptr && allowed.size() <= kFewAllowed) {
    parallel_for(queries.size(), options.threads, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t q = begin; q < end; ++q) {
        TopK best(options.k);
        scan(seen, queries[q], allowed, best);
        best.write(scores + q * options.k, labels + q * options.k);
      }
    });
    return;
  }
  const std::vector<Slot>* only = filter == nullptr ? nullptr : &allowed;
  if (queries.size() == 1 && options.threads <= 1) {
    TopK best(options.k);
    const bool whole = search_one(seen, queries[0], options.k, only, best);
    best.write(scores, labels);
    if (whole && twice_in(labels, options.k).empty()) return;
  }
  search_copy(seen, queries, only, options, scores, labels);
}

void FlatIndex::add_memory(const IndexView& seen, MemoryUse& use) const {
  use.codes = scan_of(seen).memory_bytes();
}

}  // namespace gapless
