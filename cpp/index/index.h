#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/epoch.h"
#include "core/section.h"
#include "core/types.h"
#include "index/alignment.h"
#include "index/filter.h"
#include "index/index_view.h"
#include "index/query_batch.h"
#include "index/sections.h"
#include "index/top_k.h"

namespace gapless {

struct SearchOptions {
  std::size_t k = 10;
  std::size_t ef = 0;          // effort of a graph search; 0 = its default
  double recall = 0.0;         // or the recall wanted of it, in (0, 1); 0 = by ef
  std::string query_modality;  // picks the alignment's query map; empty = none
  const Filter* filter = nullptr;
  std::size_t threads = 0;    // 0 = all cores for a batch, the calling thread for one query
  bool exact_scores = false;  // rescore what was found from the f32 rows
};

// The scores of all rows of several items by one or more queries: of query q and item i those at
// q * firsts.back() + [firsts[i], firsts[i + 1]), by ordinal.
struct ItemScores {
  std::vector<std::size_t> firsts;
  std::vector<float> scores;
};

// Bytes by purpose. What a search walks through is all but `vectors`.
struct MemoryUse {
  std::size_t vectors = 0;  // f32 rows
  std::size_t codes = 0;
  std::size_t graph = 0;
  std::size_t labels = 0;  // ids and the way from id to row
  std::size_t alignment = 0;
  std::size_t total() const { return vectors + codes + graph + labels + alignment; }
};

// Unit rows under labels, searched by aligned cosine. Any number of threads may search beside one
// that writes, and none waits for it: what a reader sees is published whole and stays until the
// last reader has left (core/epoch.h). A row that an update moves from slot to slot meanwhile may
// be missed by a search that passes both. Only a search for a recall that nothing is known about
// yet learns first, as a writer. Writers take turns. A write checks all its arguments before it
// changes anything. A process that forks while another of its threads is inside an index must not
// use that index in the child. Derived classes keep the structure that finds rows; this class keeps
// the rows, the alignment and what readers see.
class Index {
 public:
  virtual ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  std::size_t dim() const { return dim_; }
  bool keeps_vectors() const { return keep_vectors_; }
  std::size_t size() const;
  MemoryUse memory() const;
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
  // The same of queries [first, first + count) of a batch, whose modality it is.
  void search(QueryBatch& queries, std::size_t first, std::size_t count,
              const SearchOptions& options, float* scores, Label* labels) const;
  // Aligned scores of given labels from the best rows kept; NaN where there is no row.
  void score(const float* query, std::size_t query_dim, const std::string& query_modality,
             const Label* labels, std::size_t count, float* scores) const;
  // The same (count, label_count) of queries [first, first + count).
  void score(QueryBatch& queries, std::size_t first, std::size_t count, const Label* labels,
             std::size_t label_count, float* scores) const;
  // Those of all rows of items, which are the labels row_label(item, 0), row_label(item, 1) and so
  // on until one has no row, by queries [first, first + count).
  void score_items(QueryBatch& queries, std::size_t first, std::size_t count, const Label* items,
                   std::size_t item_count, ItemScores& found) const;
  void contains(const Label* labels, std::size_t count, bool* found) const;
  void vectors(const Label* labels, std::size_t count, float* out) const;  // UnknownId

  void set_alignment(AlignmentPtr alignment);  // null = raw scores
  AlignmentPtr alignment() const;

  virtual const char* kind() const = 0;
  // Calls `write` with everything that restore() needs; the sections live until it returns.
  void save(const std::function<void(const Sections&)>& write);

 protected:
  Index(std::size_t dim, bool keep_vectors);
  // The first thing of every constructor of a derived class.
  void start(std::unique_ptr<IndexView> view);

  // For writers, with writer_ held.
  virtual std::unique_ptr<IndexView> copy_view() const = 0;
  // Whether slots may change their numbers when the index grows, and those without label go.
  virtual bool renumbers() const { return false; }
  // Makes the derived part of `next` as large as its rows are; its slot i was slot kept[i].
  virtual void grow(IndexView& /*next*/, const std::vector<Slot>& /*kept*/) {}
  virtual std::size_t rows_at_once(std::size_t) const { return kRowsAtOnce; }
  // `units` are (sampled, dim) unit rows, a sample of the `count` rows that are to come.
  virtual void prepare(const float* /*units*/, std::size_t /*sampled*/, std::size_t /*count*/) {}
  // New rows, not yet under a label: takes their unit rows (count, dim); then makes them findable.
  virtual void store(const std::vector<Slot>&, const float*, std::size_t /*threads*/) {}
  virtual void link(const std::vector<Slot>&, std::size_t /*threads*/) {}
  // Rows that have lost their labels, or never got one. Calls recycle() at once or later.
  virtual void erase(const std::vector<Slot>& slots) = 0;
  // The derived part of `next`, which has another alignment than the view shown.
  virtual void realign(IndexView& /*next*/) {}
  // Before a search takes its guard: may write.
  virtual void before_search(const SearchOptions& /*options*/) {}
  virtual void settle(std::size_t /*threads*/) {}  // after an add
  virtual void tidy() {}  // before a save: leaves no slot in use without label
  virtual void append_sections(SectionWriter&) const {}

  // For readers, with a guard held.
  virtual void search_rows(const IndexView& view, const std::vector<PreparedQuery>& queries,
                           const SlotFilter* filter, const SearchOptions& options, float* scores,
                           Label* labels) const = 0;
  // Aligned scores of slots by the best rows kept.
  virtual void score_rows(const IndexView& view, const PreparedQuery& query, const Slot* slots,
                          std::size_t count, float* scores) const;
  // The same (count, slot_count) of several queries, with each row read once.
  void score_block(const IndexView& view, const PreparedQuery* queries, std::size_t count,
                   const Slot* slots, std::size_t slot_count, float* scores) const;
  virtual void decode(const IndexView& view, Slot slot, float* unit) const;
  virtual void add_memory(const IndexView&, MemoryUse&) const {}

  // Exact search of the given slots.
  void scan(const IndexView& view, const PreparedQuery& query, const std::vector<Slot>& slots,
            TopK& best) const;

  PreparedQuery prepare_query(const IndexView& view, const float* query, std::size_t query_dim,
                              const std::string& modality, std::size_t position = 0) const;
  const std::vector<PreparedQuery>& ready(const IndexView& view, QueryBatch& queries) const;
  const IndexView& view() const { return *view_.load(std::memory_order_seq_cst); }
  IndexView& writable() { return *view_.load(std::memory_order_relaxed); }
  // Shows readers another view and returns when none looks at the old one.
  void show(std::unique_ptr<IndexView> next);
  // Gives slots to later rows. No reader may come to them any more; who is on the way is waited
  // for.
  // Cannot fail for as many as it was told to expect.
  void recycle(const std::vector<Slot>& slots, std::size_t expected = 0);
  // Lets `to`, which holds an equal row, bear the label of `from`.
  void move_label(Slot from, Slot to);
  // The shared parts of a restore: before and after the derived class's own.
  void restore_rows(const SectionReader& reader);
  void restore_alignment(const SectionReader& reader);
  std::unique_ptr<RowTable> rows_with_room(std::size_t slots) const;

  Epoch epoch_;
  std::mutex writer_;  // held for a whole write

  static constexpr std::size_t kRowsAtOnce = 4096;

 private:
  void check_present(const Label* labels, std::size_t count) const;
  void make_room(std::size_t count);
  std::vector<Slot> put(const float* vectors, std::size_t count, std::size_t threads);
  void replace(const Label* labels, const float* vectors, std::size_t count, std::size_t threads);

  const std::size_t dim_;
  const bool keep_vectors_;
  std::atomic<IndexView*> view_{nullptr};
  std::vector<Slot> free_;     // for the next rows, the next one last
  std::vector<Slot> retired_;  // free once the readers of now have left
  Label next_label_ = 0;
};

// The index whose sections these are. Throws Corruption.
std::unique_ptr<Index> restore_index(const std::string& kind, const Sections& sections);

}  // namespace gapless
