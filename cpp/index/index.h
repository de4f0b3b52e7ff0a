#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/fair_shared_mutex.h"
#include "core/section.h"
#include "core/types.h"
#include "index/alignment.h"
#include "index/filter.h"
#include "index/row_store.h"
#include "index/sections.h"
#include "index/top_k.h"

namespace gapless {

struct SearchOptions {
  std::size_t k = 10;
  std::size_t ef = 0;          // effort of a graph search; 0 = its default
  std::string query_modality;  // picks the alignment's query map; empty = none
  const Filter* filter = nullptr;
  std::size_t threads = 0;  // 0 = all cores for a batch, the calling thread for one query
};

// A row's scores all come from here: (dot + c) * r, with r = 1 for every row when not aligned.
struct Scorer {
  const RowStore& rows;
  const float* scales;  // r by slot, or null
  const float* query;
  float c;

  // Scores of `count` slots; `scratch` has room for `count` floats.
  void operator()(const Slot* slots, std::size_t count, float* scores, float* scratch) const;
};

// Unit rows under labels, searched by aligned cosine. Any number of threads may search beside one
// that writes; writers take turns. A write checks all its arguments before it changes anything.
// Call order is free. A process that forks while another of its threads is inside an index must not
// use that index in the child: its lock is never released there. Derived classes keep the structure
// that finds rows; this class keeps the rows, the alignment and the lock.
class Index {
 public:
  virtual ~Index() = default;
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  std::size_t dim() const { return rows_.dim(); }
  std::size_t size() const;
  std::size_t memory_bytes() const;
  std::vector<Label> labels() const;  // ascending

  // Adds rows of dim() floats of any length. Without labels, numbers them on from the largest label
  // there ever was. Returns the labels. Throws InvalidVector, DuplicateId, InvalidArgument.
  std::vector<Label> add(const float* vectors, std::size_t count, const Label* labels,
                         std::size_t threads);
  void remove(const Label* labels, std::size_t count);  // UnknownId, DuplicateId
  void update(const Label* labels, const float* vectors, std::size_t count, std::size_t threads);

  // (count, k) scores and labels, best first, short rows padded with kNoScore and kNoLabel.
  void search(const float* queries, std::size_t query_dim, std::size_t count,
              const SearchOptions& options, float* scores, Label* labels) const;
  // Exact aligned scores of given labels; NaN where there is no row.
  void score(const float* query, std::size_t query_dim, const std::string& query_modality,
             const Label* labels, std::size_t count, float* scores) const;
  void contains(const Label* labels, std::size_t count, bool* found) const;
  void vectors(const Label* labels, std::size_t count, float* out) const;  // UnknownId

  void set_alignment(AlignmentPtr alignment);  // null = raw scores
  AlignmentPtr alignment() const;

  virtual const char* kind() const = 0;
  // Calls `write` with everything that restore() needs; the sections live until it returns.
  void save(const std::function<void(const Sections&)>& write);

 protected:
  explicit Index(std::size_t dim);

  // All with the lock held: exclusively for the first five, shared for the others.
  // Makes room for `slots` slots in all, `erased` of which are about to be erased: what follows in
  // the same write must not run out of memory with labels and structure in disagreement.
  virtual void make_room(std::size_t slots, std::size_t erased) = 0;
  virtual bool erase_frees_slots() const = 0;  // at once, for the rows that come next
  virtual void insert(const std::vector<Slot>& slots, std::size_t threads) = 0;
  virtual void erase(const std::vector<Slot>& slots) = 0;  // their labels are gone already
  virtual void settle() {}  // before a save: leaves no slot both unlabelled and in use
  virtual void search_rows(const std::vector<PreparedQuery>& queries, const SlotFilter* filter,
                           const SearchOptions& options, float* scores, Label* labels) const = 0;
  virtual std::size_t structure_bytes() const { return 0; }
  virtual void append_sections(SectionWriter&) const {}

  // The shared half of a restore, before the derived class's own.
  void restore_rows(const SectionReader& reader);
  Scorer scorer(const PreparedQuery& query) const {
    return {rows_, scales_.size() == 0 ? nullptr : scales_.data(), query.vector.data(), query.c};
  }
  // Exact search of the given slots.
  void scan(const PreparedQuery& query, const std::vector<Slot>& slots, TopK& best) const;

  RowStore rows_;

 private:
  // `position` of the query in its batch, for messages.
  PreparedQuery prepare(const float* query, std::size_t query_dim, const std::string& modality,
                        std::size_t position = 0) const;
  void check_present(const Label* labels, std::size_t count) const;
  void replace(const Label* labels, const float* unit, std::size_t count, std::size_t threads);
  void rescale(const std::vector<Slot>& slots, std::size_t threads);

  AlignmentPtr alignment_;
  Buffer<float> scales_;  // r by slot; empty when not aligned
  Label next_label_ = 0;
  std::mutex writer_;              // held for a whole write
  mutable FairSharedMutex mutex_;  // exclusively for each part of it
};

// The index whose sections these are. Throws Corruption.
std::unique_ptr<Index> restore_index(const std::string& kind, const Sections& sections);

}  // namespace gapless
