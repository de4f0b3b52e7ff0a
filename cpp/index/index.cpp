#include "index/index.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/thread_pool.h"
#include "index/flat.h"
#include "index/hnsw.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

// Rows added under one hold of the lock: searches pass between two such pieces of a large add.
constexpr std::size_t kRowsPerLock = 4096;
constexpr std::size_t kMaxDim = 1 << 16;

using ReadLock = std::shared_lock<FairSharedMutex>;
using WriteLock = std::unique_lock<FairSharedMutex>;

void check_unique(const Label* labels, std::size_t count) {
  std::vector<Label> sorted(labels, labels + count);
  std::sort(sorted.begin(), sorted.end());
  if (count > 0 && sorted.front() < 0) {
    throw InvalidArgument("id " + std::to_string(sorted.front()) +
                          " is negative; ids are 0 or more");
  }
  if (count > 0 && sorted.back() == std::numeric_limits<Label>::max()) {
    throw InvalidArgument("id " + std::to_string(sorted.back()) + " is the largest int64; ids " +
                          "must leave room for the next one");
  }
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    throw DuplicateId("id " + std::to_string(*twice) + " occurs twice in this call; give it once");
  }
}

}  // namespace

void Scorer::operator()(const Slot* slots, std::size_t count, float* scores, float* scratch) const {
  kernels().dot_gather(query, rows.vectors(), rows.stride(), rows.dim(), slots, count, scores);
  if (scales == nullptr) return;
  for (std::size_t i = 0; i < count; ++i) scratch[i] = scales[slots[i]];
  kernels().affine_score(scores, c, scratch, count);
}

Index::Index(std::size_t dim) : rows_(dim) {
  if (dim == 0 || dim > kMaxDim) {
    throw InvalidArgument("dim is " + std::to_string(dim) + "; it must be 1 to " +
                          std::to_string(kMaxDim));
  }
}

std::size_t Index::size() const {
  const ReadLock lock(mutex_);
  return rows_.size();
}

std::size_t Index::memory_bytes() const {
  const ReadLock lock(mutex_);
  return rows_.memory_bytes() + scales_.bytes() + structure_bytes();
}

std::vector<Label> Index::labels() const {
  const ReadLock lock(mutex_);
  return rows_.sorted_labels();
}

std::vector<Label> Index::add(const float* vectors, std::size_t count, const Label* labels,
                              std::size_t threads) {
  const std::lock_guard<std::mutex> writer(writer_);
  std::vector<float> unit(count * dim());
  unit_rows(vectors, count, dim(), unit.data());
  std::vector<Label> given(count);
  if (labels == nullptr) {
    if (count > static_cast<std::size_t>(std::numeric_limits<Label>::max() - next_label_)) {
      throw InvalidArgument("there is no id left after " + std::to_string(next_label_ - 1) +
                            "; give ids of your own");
    }
    std::iota(given.begin(), given.end(), next_label_);
  } else {
    std::copy(labels, labels + count, given.begin());
    check_unique(labels, count);
    // Only writers change labels, and this one holds the writers' lock: no other is needed to look.
    for (const Label label : given) {
      if (rows_.slot(label) == kNoSlot) continue;
      throw DuplicateId("id " + std::to_string(label) +
                        " is in the index already; use update() to replace its row");
    }
  }
  replace(given.data(), unit.data(), count, threads);
  return given;
}

void Index::check_present(const Label* labels, std::size_t count) const {
  check_unique(labels, count);
  for (std::size_t i = 0; i < count; ++i) {
    if (rows_.slot(labels[i]) == kNoSlot) {
      throw UnknownId("id " + std::to_string(labels[i]) + " is not in the index; nothing was done");
    }
  }
}

void Index::remove(const Label* labels, std::size_t count) {
  const std::lock_guard<std::mutex> writer(writer_);
  check_present(labels, count);
  const WriteLock lock(mutex_);
  std::vector<Slot> slots;
  slots.reserve(count);
  make_room(rows_.slots(), count);
  for (std::size_t i = 0; i < count; ++i) slots.push_back(rows_.drop(labels[i]));
  erase(slots);
}

void Index::update(const Label* labels, const float* vectors, std::size_t count,
                   std::size_t threads) {
  const std::lock_guard<std::mutex> writer(writer_);
  std::vector<float> unit(count * dim());
  unit_rows(vectors, count, dim(), unit.data());
  check_present(labels, count);
  replace(labels, unit.data(), count, threads);
}

// Puts rows under labels, in place of those that the labels have. The caller holds writer_.
void Index::replace(const Label* labels, const float* unit, std::size_t count,
                    std::size_t threads) {
  const auto present = static_cast<std::size_t>(std::count_if(
      labels, labels + count, [this](Label label) { return rows_.slot(label) != kNoSlot; }));
  const std::size_t fresh = erase_frees_slots() ? count - present : count;
  for (std::size_t begin = 0; begin < count; begin += kRowsPerLock) {
    const std::size_t end = std::min(count, begin + kRowsPerLock);
    const WriteLock lock(mutex_);
    std::vector<Slot> dropped;
    std::vector<Slot> slots;
    dropped.reserve(end - begin);
    slots.reserve(end - begin);
    const std::size_t after = rows_.slots_after(begin == 0 ? fresh : 0);
    make_room(after, 2 * (end - begin));  // those replaced, and the new ones should they fail
    if (alignment_) scales_.resize(after, 1.0f);
    if (begin == 0) rows_.reserve(fresh);
    for (std::size_t i = begin; i < end; ++i) {
      if (rows_.slot(labels[i]) != kNoSlot) dropped.push_back(rows_.drop(labels[i]));
    }
    if (!dropped.empty()) erase(dropped);
    for (std::size_t i = begin; i < end; ++i) {
      slots.push_back(rows_.put(labels[i], unit + i * dim()));
      next_label_ = std::max(next_label_, labels[i] + 1);
    }
    try {
      rescale(slots, threads);
      insert(slots, threads);
    } catch (...) {  // out of memory: rows that no search would find must not stay
      for (std::size_t i = begin; i < end; ++i) rows_.drop(labels[i]);
      erase(slots);
      throw;
    }
  }
}

void Index::rescale(const std::vector<Slot>& slots, std::size_t threads) {
  if (!alignment_) return;
  parallel_for(slots.size(), threads, 256, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      scales_[slots[i]] = alignment_->scale(rows_.vector(slots[i]));
    }
  });
}

void Index::set_alignment(AlignmentPtr alignment) {
  const std::lock_guard<std::mutex> writer(writer_);
  if (alignment) alignment->check_rows(dim());
  // The pass over the rows runs beside searches; they wait only for the swap.
  Buffer<float> scales;
  if (alignment) {
    scales.resize(rows_.slots(), 1.0f);
    parallel_for(rows_.slots(), 0, 256, [&](std::size_t begin, std::size_t end) {
      for (std::size_t slot = begin; slot < end; ++slot) {
        scales[slot] = alignment->scale(rows_.vector(static_cast<Slot>(slot)));
      }
    });
  }
  const WriteLock lock(mutex_);
  alignment_ = std::move(alignment);
  scales_ = std::move(scales);
}

AlignmentPtr Index::alignment() const {
  const ReadLock lock(mutex_);
  return alignment_;
}

PreparedQuery Index::prepare(const float* query, std::size_t query_dim, const std::string& modality,
                             std::size_t position) const {
  const std::size_t wanted = alignment_ ? alignment_->query_dim(modality, dim()) : dim();
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
  if (!alignment_) return ready;
  return alignment_->prepare(ready.vector.data(), modality, dim());
}

void Index::search(const float* queries, std::size_t query_dim, std::size_t count,
                   const SearchOptions& options, float* scores, Label* labels) const {
  if (options.k == 0) throw InvalidArgument("k is 0; ask for at least 1 result");
  const ReadLock lock(mutex_);
  std::vector<PreparedQuery> prepared;
  prepared.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    prepared.push_back(prepare(queries + i * query_dim, query_dim, options.query_modality, i));
  }
  if (options.filter == nullptr) {
    search_rows(prepared, nullptr, options, scores, labels);
  } else {
    const SlotFilter filter(*options.filter, rows_);
    search_rows(prepared, &filter, options, scores, labels);
  }
}

void Index::scan(const PreparedQuery& query, const std::vector<Slot>& slots, TopK& best) const {
  constexpr std::size_t kBlock = 256;
  const Scorer score_slots = scorer(query);
  float scores[kBlock];
  float scratch[kBlock];
  for (std::size_t begin = 0; begin < slots.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, slots.size() - begin);
    score_slots(slots.data() + begin, count, scores, scratch);
    for (std::size_t i = 0; i < count; ++i) {
      if (scores[i] >= best.threshold()) best.push({scores[i], rows_.label(slots[begin + i])});
    }
  }
}

void Index::score(const float* query, std::size_t query_dim, const std::string& query_modality,
                  const Label* labels, std::size_t count, float* scores) const {
  const ReadLock lock(mutex_);
  const PreparedQuery prepared = prepare(query, query_dim, query_modality);
  std::vector<Slot> slots;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < count; ++i) {
    scores[i] = std::numeric_limits<float>::quiet_NaN();
    const Slot slot = labels[i] < 0 ? kNoSlot : rows_.slot(labels[i]);
    if (slot == kNoSlot) continue;
    slots.push_back(slot);
    places.push_back(i);
  }
  std::vector<float> found(2 * slots.size());
  scorer(prepared)(slots.data(), slots.size(), found.data(), found.data() + slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) scores[places[i]] = found[i];
}

void Index::contains(const Label* labels, std::size_t count, bool* found) const {
  const ReadLock lock(mutex_);
  for (std::size_t i = 0; i < count; ++i) {
    found[i] = labels[i] >= 0 && rows_.slot(labels[i]) != kNoSlot;
  }
}

void Index::vectors(const Label* labels, std::size_t count, float* out) const {
  const ReadLock lock(mutex_);
  for (std::size_t i = 0; i < count; ++i) {
    const Slot slot = labels[i] < 0 ? kNoSlot : rows_.slot(labels[i]);
    if (slot == kNoSlot) {
      throw UnknownId("id " + std::to_string(labels[i]) + " is not in the index");
    }
    const float* row = rows_.vector(slot);
    std::copy(row, row + dim(), out + i * dim());
  }
}

void Index::save(const std::function<void(const Sections&)>& write) {
  const std::lock_guard<std::mutex> writer(writer_);
  {
    const WriteLock lock(mutex_);
    settle();
  }
  SectionWriter sections;
  sections.record("index", IndexHeader{dim(), rows_.slots(), next_label_});
  sections.borrow("labels", rows_.labels(), rows_.slots());
  sections.borrow("vectors", rows_.vectors(), rows_.slots() * rows_.stride());
  if (alignment_) sections.own("align", pack_alignment(*alignment_));
  append_sections(sections);
  write(sections.sections());
}

void Index::restore_rows(const SectionReader& reader) {
  const auto header = reader.record<IndexHeader>("index");
  const std::size_t slots = header.slots;
  if (slots > reader.need("labels").bytes / sizeof(Label)) {
    throw Corruption{"index", "more slots than labels"};
  }
  rows_.restore(reader.array<float>("vectors", slots * rows_.stride()),
                reader.array<Label>("labels", slots), slots);
  if (header.next_label < 0) throw Corruption{"index", "the next label is negative"};
  next_label_ = header.next_label;
  for (const Label label : rows_.sorted_labels()) next_label_ = std::max(next_label_, label + 1);
  const Section* align = reader.find("align");
  if (align == nullptr) return;
  try {
    set_alignment(unpack_alignment(*align));
  } catch (const InvalidArgument& error) {
    throw Corruption{"align", error.what()};
  }
}

std::unique_ptr<Index> restore_index(const std::string& kind, const Sections& sections) {
  const SectionReader reader(sections);
  const auto header = reader.record<IndexHeader>("index");
  if (header.dim == 0 || header.dim > kMaxDim) {
    throw Corruption{"index", "dim is " + std::to_string(header.dim)};
  }
  if (kind == FlatIndex::kKind) return FlatIndex::restore(header.dim, reader);
  if (kind == HnswIndex::kKind) return HnswIndex::restore(header.dim, reader);
  throw Corruption{"header", "holds '" + kind + "', which is no index this version knows"};
}

}  // namespace gapless
