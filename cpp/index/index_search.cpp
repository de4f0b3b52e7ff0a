// Searching an index, with what a row that is on its way from slot to slot calls for.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/prefetch.h"
#include "index/index.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr int kAttempts = 8;  // at a search that met a row in two slots

bool has_twice(const Label* labels, std::size_t count) {
  thread_local std::vector<Label> sorted;
  sorted.assign(labels, std::find(labels, labels + count, kNoLabel));
  std::sort(sorted.begin(), sorted.end());
  return std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
}

// Sends for the memory that the slots of labels are found by, all at once.
void touch_labels(const IndexView& view, const Label* labels, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) view.table->touch(labels[i]);
  for (std::size_t i = 0; i < count; ++i) {
    const Slot slot = view.table->first(labels[i]);
    if (slot < view.rows->capacity) GAPLESS_PREFETCH(&view.rows->labels[slot]);
  }
}

void drop_repeats(float* scores, Label* labels, std::size_t count) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count && labels[i] != kNoLabel; ++i) {
    if (std::find(labels, labels + kept, labels[i]) != labels + kept) continue;
    labels[kept] = labels[i];
    scores[kept++] = scores[i];
  }
  std::fill(labels + kept, labels + count, kNoLabel);
  std::fill(scores + kept, scores + count, kNoScore);
}

}  // namespace

PreparedQuery Index::prepare_query(const IndexView& from, const float* query, std::size_t query_dim,
                                   const std::string& modality, std::size_t position) const {
  const Alignment* alignment = from.alignment();
  const std::size_t wanted = alignment != nullptr ? alignment->query_dim(modality, dim()) : dim();
  if (query_dim != wanted) {
    throw InvalidVector("a query has " + std::to_string(query_dim) + " dims, the index takes " +
                        std::to_string(wanted) + "; use the encoder that made the rows");
  }
  PreparedQuery ready;
  ready.vector.resize(query_dim);
  const double norm = kernels().normalise(query, ready.vector.data(), query_dim);
  if (!(std::isfinite(norm) && norm > 0.0)) {
    throw InvalidVector("query " + std::to_string(position) +
                        " is zero or holds NaN or infinity; a direction is needed");
  }
  if (alignment == nullptr) return ready;
  return alignment->prepare(ready.vector.data(), modality, dim());
}

const std::vector<PreparedQuery>& Index::ready(const IndexView& from, QueryBatch& queries) const {
  const AlignmentPtr alignment = from.aligned ? from.aligned->alignment : nullptr;
  if (queries.ready_for_ == this && queries.alignment_ == alignment) return queries.ready_;
  queries.ready_for_ = nullptr;
  queries.ready_.clear();
  queries.ready_.reserve(queries.count_);
  for (std::size_t i = 0; i < queries.count_; ++i) {
    queries.ready_.push_back(prepare_query(from, queries.rows_ + i * queries.dim_, queries.dim_,
                                           queries.modality_, queries.first_ + i));
  }
  queries.alignment_ = alignment;
  queries.ready_for_ = this;
  return queries.ready_;
}

void Index::search(const float* queries, std::size_t query_dim, std::size_t count,
                   const SearchOptions& options, float* scores, Label* labels) const {
  QueryBatch batch(queries, query_dim, count, options.query_modality);
  search(batch, 0, count, options, scores, labels);
}

void Index::search(QueryBatch& queries, std::size_t first, std::size_t count,
                   const SearchOptions& given, float* scores, Label* labels) const {
  SearchOptions options = given;
  options.query_modality = queries.modality();
  if (options.k == 0) throw InvalidArgument("k is 0; ask for at least 1 result");
  if (options.recall != 0.0 && !(options.recall > 0.0 && options.recall < 1.0)) {
    throw InvalidArgument("recall is " + std::to_string(options.recall) +
                          "; it must lie between 0 and 1, as in recall=0.95");
  }
  if (options.exact_scores && !keep_vectors_) {
    throw InvalidArgument(
        "exact_scores needs the f32 rows and this index keeps none; make it with keep_f32=True");
  }
  // Learning what a recall takes is a write; see the comment of the class.
  const_cast<Index*>(this)->before_search(options);
  const Epoch::Guard guard(epoch_);
  const IndexView& seen = view();
  const std::vector<PreparedQuery>& all = ready(seen, queries);
  std::vector<PreparedQuery> some;
  if (count < all.size()) {
    const auto from = all.begin() + static_cast<std::ptrdiff_t>(first);
    some.assign(from, from + static_cast<std::ptrdiff_t>(count));
  }
  const std::vector<PreparedQuery>& prepared = count < all.size() ? some : all;
  std::shared_ptr<const SlotFilter> filter;
  if (options.filter != nullptr) filter = options.filter->resolve(seen);
  search_rows(seen, prepared, filter.get(), options, scores, labels);
  // A row on its way from one slot to another can be met in both: such a query is asked again.
  for (std::size_t i = 0; i < count; ++i) {
    for (int attempt = 0; has_twice(labels + i * options.k, options.k); ++attempt) {
      search_rows(seen, {prepared[i]}, filter.get(), options, scores + i * options.k,
                  labels + i * options.k);
      if (attempt < kAttempts) continue;
      drop_repeats(scores + i * options.k, labels + i * options.k, options.k);
      break;
    }
  }
}

void Index::scan(const IndexView& from, const PreparedQuery& query, const std::vector<Slot>& slots,
                 TopK& best) const {
  constexpr std::size_t kBlock = 256;
  float scores[kBlock];
  for (std::size_t begin = 0; begin < slots.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, slots.size() - begin);
    score_rows(from, query, slots.data() + begin, count, scores);
    for (std::size_t i = 0; i < count; ++i) {
      if (!(scores[i] >= best.threshold())) continue;
      const Label label = from.rows->label(slots[begin + i]);
      if (label != kNoLabel) best.push({scores[i], label});
    }
  }
}

void Index::score_rows(const IndexView& from, const PreparedQuery& query, const Slot* slots,
                       std::size_t count, float* scores) const {
  const RowTable& rows = *from.rows;
  kernels().dot_gather(query.vector.data(), rows.vectors.data(), rows.stride, rows.dim, slots,
                       count, scores);
  const float* r = from.r();
  if (r == nullptr) return;
  for (std::size_t i = 0; i < count; ++i) scores[i] = (scores[i] + query.c) * r[slots[i]];
}

void Index::score_block(const IndexView& from, const PreparedQuery* queries, std::size_t count,
                        const Slot* slots, std::size_t slot_count, float* scores) const {
  constexpr std::size_t kBlock = 16;  // rows that are in the nearest cache together
  constexpr std::size_t kLine = 64 / sizeof(float);
  thread_local std::vector<float> block;
  const RowTable& rows = *from.rows;
  const std::size_t tiled = keep_vectors_ ? count / kTileQueries * kTileQueries : 0;
  for (std::size_t q = tiled; q < count; ++q) {
    score_rows(from, queries[q], slots, slot_count, scores + q * slot_count);
  }
  block.resize(tiled == 0 ? 0 : kBlock * rows.stride);
  const float* r = from.r();
  float found[kTileQueries * kBlock];
  for (std::size_t begin = 0; tiled > 0 && begin < slot_count; begin += kBlock) {
    const std::size_t here = std::min(kBlock, slot_count - begin);
    const Slot* at = slots + begin;
    for (std::size_t i = here; i < std::min(2 * kBlock, slot_count - begin); ++i) {
      const float* next = rows.vector(at[i]);
      for (std::size_t j = 0; j < rows.stride; j += kLine) GAPLESS_PREFETCH(next + j);
    }
    for (std::size_t i = 0; i < here; ++i) {
      std::copy_n(rows.vector(at[i]), rows.stride, block.data() + i * rows.stride);
    }
    for (std::size_t q = 0; q < tiled; q += kTileQueries) {
      const float* tile[kTileQueries];
      for (std::size_t j = 0; j < kTileQueries; ++j) tile[j] = queries[q + j].vector.data();
      kernels().dot_tile(tile, block.data(), rows.stride, rows.dim, here, found);
      for (std::size_t j = 0; j < kTileQueries; ++j) {
        float* out = scores + (q + j) * slot_count + begin;
        const float c = queries[q + j].c;
        for (std::size_t i = 0; i < here; ++i) {
          const float dot = found[j * here + i];
          out[i] = r == nullptr ? dot : (dot + c) * r[at[i]];
        }
      }
    }
  }
}

void Index::score(const float* query, std::size_t query_dim, const std::string& query_modality,
                  const Label* labels, std::size_t count, float* scores) const {
  QueryBatch batch(query, query_dim, 1, query_modality);
  score(batch, 0, 1, labels, count, scores);
}

void Index::score(QueryBatch& queries, std::size_t first, std::size_t count, const Label* labels,
                  std::size_t label_count, float* scores) const {
  thread_local std::vector<Slot> slots;
  thread_local std::vector<std::size_t> places;
  thread_local std::vector<float> found;
  const Epoch::Guard guard(epoch_);
  const IndexView& seen = view();
  const std::vector<PreparedQuery>& prepared = ready(seen, queries);
  slots.clear();
  places.clear();
  touch_labels(seen, labels, label_count);
  for (std::size_t i = 0; i < label_count; ++i) {
    const Slot slot = seen.slot(labels[i]);
    if (slot == kNoSlot) continue;
    slots.push_back(slot);
    places.push_back(i);
  }
  found.resize(count * slots.size());
  score_block(seen, prepared.data() + first, count, slots.data(), slots.size(), found.data());
  std::fill_n(scores, count * label_count, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t q = 0; q < count; ++q) {
    const float* from = found.data() + q * slots.size();
    for (std::size_t i = 0; i < slots.size(); ++i) scores[q * label_count + places[i]] = from[i];
  }
}

void Index::score_items(QueryBatch& queries, std::size_t first, std::size_t count,
                        const Label* items, std::size_t item_count, ItemScores& found) const {
  thread_local std::vector<Slot> slots;
  const Epoch::Guard guard(epoch_);
  const IndexView& seen = view();
  const std::vector<PreparedQuery>& prepared = ready(seen, queries);
  slots.clear();
  found.firsts.assign(1, 0);
  touch_labels(seen, items, item_count);
  for (std::size_t i = 0; i < item_count; ++i) {
    for (Label ordinal = 0;; ++ordinal) {
      const Slot slot = seen.slot(row_label(items[i], ordinal));
      if (slot == kNoSlot) break;
      slots.push_back(slot);
    }
    found.firsts.push_back(slots.size());
  }
  found.scores.resize(count * slots.size());
  score_block(seen, prepared.data() + first, count, slots.data(), slots.size(),
              found.scores.data());
}

}  // namespace gapless
