#include "index/index.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>

#include "core/error.h"
#include "core/thread_pool.h"
#include "index/unit_rows.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr std::size_t kMaxDim = 1 << 16;
constexpr std::size_t kSampleRows = 4096;  // that prepare() is given
constexpr std::size_t kGrain = 256;        // rows a thread takes at a time

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

void fill_r(AlignedRows& aligned, const RowTable& rows, std::size_t threads,
            const std::function<void(Slot, float*)>& decode) {
  const std::size_t used = rows.used.load();
  parallel_for(used, threads, kGrain, [&](std::size_t begin, std::size_t end) {
    if (rows.has_vectors) {
      aligned.alignment->scales(rows.vector(static_cast<Slot>(begin)), rows.stride, rows.dim,
                                end - begin, aligned.r.data() + begin);
      return;
    }
    std::vector<float> decoded(rows.dim);
    for (std::size_t slot = begin; slot < end; ++slot) {
      decode(static_cast<Slot>(slot), decoded.data());
      aligned.r[slot] = aligned.alignment->scale(decoded.data());
    }
  });
}

}  // namespace

Index::Index(std::size_t dim, bool keep_vectors) : dim_(dim), keep_vectors_(keep_vectors) {
  if (dim == 0 || dim > kMaxDim) {
    throw InvalidArgument("dim is " + std::to_string(dim) + "; it must be 1 to " +
                          std::to_string(kMaxDim));
  }
}

Index::~Index() { delete view_.load(); }

void Index::start(std::unique_ptr<IndexView> view) {
  view->rows = rows_with_room(0);
  view->table = std::make_shared<LabelTable>(0);
  view_.store(view.release());
}

std::unique_ptr<RowTable> Index::rows_with_room(std::size_t slots) const {
  return std::make_unique<RowTable>(dim_, slots, keep_vectors_);
}

std::size_t Index::size() const {
  const Epoch::Guard guard(epoch_);
  return view().rows->live.load();
}

MemoryUse Index::memory() const {
  const Epoch::Guard guard(epoch_);
  MemoryUse use;
  use.vectors = view().rows->vectors.bytes();
  use.labels = view().rows->bytes() + view().table->bytes();
  if (view().aligned) use.alignment = view().aligned->r.bytes();
  add_memory(view(), use);
  return use;
}

std::vector<Label> Index::labels() const {
  const Epoch::Guard guard(epoch_);
  const RowTable& rows = *view().rows;
  std::vector<Label> found;
  found.reserve(rows.live.load());
  const std::size_t used = rows.used.load();
  for (std::size_t slot = 0; slot < used; ++slot) {
    const Label label = rows.label(static_cast<Slot>(slot));
    if (label != kNoLabel) found.push_back(label);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());  // one on its way
  return found;
}

void Index::show(std::unique_ptr<IndexView> next) {
  const std::unique_ptr<IndexView> old(view_.exchange(next.release(), std::memory_order_seq_cst));
  epoch_.synchronize();
}

void Index::recycle(const std::vector<Slot>& slots, std::size_t expected) {
  retired_.reserve(retired_.size() + expected);
  retired_.insert(retired_.end(), slots.begin(), slots.end());
}

void Index::move_label(Slot from, Slot to) {
  RowTable& rows = *writable().rows;
  const Label label = rows.label(from);
  publish(rows.labels[to], label);
  rows.set_live(to, true);
  writable().table->move(label, from, to);
  rows.set_live(from, false);
  publish(rows.labels[from], kNoLabel);
}

// Makes room for `count` more rows. Changes nothing when it fails.
void Index::make_room(std::size_t count) {
  const RowTable& rows = *view().rows;
  const std::size_t spare = free_.size() + retired_.size();
  const std::size_t slots = rows.used.load() + (count > spare ? count - spare : 0);
  if (slots >= kMaxSlots) throw InvalidArgument("an index holds at most 2^30 rows");
  if (slots <= rows.capacity && view().table->has_room(count)) return;
  std::unique_ptr<IndexView> next = copy_view();
  if (slots > rows.capacity) {
    std::vector<Slot> kept;
    kept.reserve(rows.used.load());
    for (Slot slot = 0; slot < rows.used.load(); ++slot) {
      if (!renumbers() || rows.label(slot) != kNoLabel) kept.push_back(slot);
    }
    const std::size_t need = kept.size() + slots - rows.used.load();
    const std::size_t capacity = std::max(need, kept.size() + kept.size() / 2);
    std::unique_ptr<RowTable> larger = rows_with_room(capacity);
    larger->copy(rows, kept);
    next->rows = std::move(larger);
    if (next->aligned) {
      auto aligned = std::make_shared<AlignedRows>();
      aligned->alignment = next->aligned->alignment;
      aligned->r.resize(capacity, 1.0f);
      for (std::size_t i = 0; i < kept.size(); ++i) aligned->r[i] = view().r()[kept[i]];
      next->aligned = std::move(aligned);
    }
    grow(*next, kept);
  }
  const std::size_t live = rows.live.load();
  next->table = std::make_shared<LabelTable>(std::max(live + count, live + live / 2));
  for (Slot slot = 0; slot < next->rows->used.load(); ++slot) {
    const Label label = next->rows->label(slot);
    if (label != kNoLabel) next->table->add(label, slot);
  }
  show(std::move(next));
}

// Puts rows into slots, without labels yet.
std::vector<Slot> Index::put(const float* vectors, std::size_t count, std::size_t threads) {
  if (free_.size() < count && !retired_.empty()) {
    epoch_.synchronize();
    free_.insert(free_.end(), retired_.begin(), retired_.end());
    retired_.clear();
  }
  const std::shared_ptr<RowTable> rows = writable().rows;
  const std::shared_ptr<AlignedRows> aligned = writable().aligned;
  std::vector<Slot> slots(count);
  std::vector<float> units(count * dim_);
  std::size_t used = rows->used.load();
  for (Slot& slot : slots) {
    if (free_.empty()) {
      slot = static_cast<Slot>(used++);
    } else {
      slot = free_.back();
      free_.pop_back();
    }
  }
  try {
    parallel_for(count, threads, kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        float* unit = units.data() + i * dim_;
        kernels().normalise(vectors + i * dim_, unit, dim_);
        if (!keep_vectors_) continue;
        float* row = rows->vectors.data() + slots[i] * rows->stride;
        std::memcpy(row, unit, dim_ * sizeof(float));
        std::fill(row + dim_, row + rows->stride, 0.0f);
      }
    });
    store(slots, units.data(), threads);
    if (aligned) {
      parallel_for(count, threads, kGrain, [&](std::size_t begin, std::size_t end) {
        std::vector<float> unit(dim_);
        for (std::size_t i = begin; i < end; ++i) {
          decode(view(), slots[i], unit.data());  // the best row kept
          aligned->r[slots[i]] = aligned->alignment->scale(unit.data());
        }
      });
    }
    rows->used.store(used, std::memory_order_release);
    link(slots, threads);
  } catch (...) {
    rows->used.store(used, std::memory_order_release);
    erase(slots);
    throw;
  }
  return slots;
}

// Puts rows under labels, in place of those that the labels have. The caller holds writer_ and has
// checked everything.
void Index::replace(const Label* labels, const float* vectors, std::size_t count,
                    std::size_t threads) {
  if (count == 0) return;
  {
    const std::size_t sampled = std::min(count, kSampleRows);
    std::vector<float> units(sampled * dim_);
    for (std::size_t i = 0; i < sampled; ++i) {
      const std::size_t row = i * count / sampled;
      kernels().normalise(vectors + row * dim_, units.data() + i * dim_, dim_);
    }
    prepare(units.data(), sampled, count);
  }
  const std::size_t piece = rows_at_once(count);
  make_room(piece >= count ? count : std::max(piece, count - std::min(count, free_.size())));
  for (std::size_t begin = 0; begin < count; begin += piece) {
    const std::size_t end = std::min(count, begin + piece);
    make_room(end - begin);
    const std::vector<Slot> slots = put(vectors + begin * dim_, end - begin, threads);
    RowTable& rows = *writable().rows;
    std::vector<Slot> dropped;
    for (std::size_t i = begin; i < end; ++i) {
      const Slot slot = slots[i - begin];
      const Slot old = view().slot(labels[i]);
      next_label_ = std::max(next_label_, labels[i] + 1);
      publish(rows.labels[slot], labels[i]);
      rows.set_live(slot, true);
      if (old == kNoSlot) {
        writable().table->add(labels[i], slot);
        rows.live.fetch_add(1);
      } else {
        writable().table->move(labels[i], old, slot);
        rows.set_live(old, false);
        publish(rows.labels[old], kNoLabel);
        dropped.push_back(old);
      }
    }
    if (!dropped.empty()) erase(dropped);
  }
  try {
    settle(threads);
  } catch (const std::bad_alloc&) {  // the rows are in; what there was to learn can wait
  }
}

std::vector<Label> Index::add(const float* vectors, std::size_t count, const Label* labels,
                              std::size_t threads) {
  const std::lock_guard<std::mutex> writer(writer_);
  check_rows(vectors, count, dim_, threads);
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
    for (const Label label : given) {
      if (view().slot(label) == kNoSlot) continue;
      throw DuplicateId("id " + std::to_string(label) +
                        " is in the index already; use update() to replace its row");
    }
  }
  replace(given.data(), vectors, count, threads);
  return given;
}

void Index::check_present(const Label* labels, std::size_t count) const {
  check_unique(labels, count);
  for (std::size_t i = 0; i < count; ++i) {
    if (view().slot(labels[i]) == kNoSlot) {
      throw UnknownId("id " + std::to_string(labels[i]) + " is not in the index; nothing was done");
    }
  }
}

void Index::remove(const Label* labels, std::size_t count) {
  const std::lock_guard<std::mutex> writer(writer_);
  check_present(labels, count);
  RowTable& rows = *writable().rows;
  std::vector<Slot> slots(count);
  for (std::size_t i = 0; i < count; ++i) {
    slots[i] = view().slot(labels[i]);
    writable().table->remove(labels[i], slots[i]);
    rows.set_live(slots[i], false);
    publish(rows.labels[slots[i]], kNoLabel);
  }
  rows.live.fetch_sub(count);
  if (count > 0) erase(slots);
}

void Index::update(const Label* labels, const float* vectors, std::size_t count,
                   std::size_t threads) {
  const std::lock_guard<std::mutex> writer(writer_);
  check_rows(vectors, count, dim_, threads);
  check_present(labels, count);
  replace(labels, vectors, count, threads);
}

void Index::set_alignment(AlignmentPtr alignment) {
  const std::lock_guard<std::mutex> writer(writer_);
  if (alignment) alignment->check_rows(dim());
  std::unique_ptr<IndexView> next = copy_view();
  next->aligned.reset();
  if (alignment) {
    next->aligned = std::make_shared<AlignedRows>();
    next->aligned->alignment = std::move(alignment);
    next->aligned->r.resize(next->rows->capacity, 1.0f);
    fill_r(*next->aligned, *next->rows, 0,
           [this](Slot slot, float* unit) { decode(view(), slot, unit); });
  }
  realign(*next);
  show(std::move(next));
}

AlignmentPtr Index::alignment() const {
  const Epoch::Guard guard(epoch_);
  return view().aligned ? view().aligned->alignment : nullptr;
}

void Index::decode(const IndexView& from, Slot slot, float* unit) const {
  std::copy_n(from.rows->vector(slot), dim(), unit);
}

void Index::contains(const Label* labels, std::size_t count, bool* found) const {
  const Epoch::Guard guard(epoch_);
  for (std::size_t i = 0; i < count; ++i) found[i] = view().slot(labels[i]) != kNoSlot;
}

void Index::vectors(const Label* labels, std::size_t count, float* out) const {
  const Epoch::Guard guard(epoch_);
  const IndexView& seen = view();
  for (std::size_t i = 0; i < count; ++i) {
    const Slot slot = seen.slot(labels[i]);
    if (slot == kNoSlot) {
      throw UnknownId("id " + std::to_string(labels[i]) + " is not in the index");
    }
    decode(seen, slot, out + i * dim());
  }
}

}  // namespace gapless
