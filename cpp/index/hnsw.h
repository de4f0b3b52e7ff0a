#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "index/candidate_pool.h"
#include "index/index.h"

namespace gapless {

struct HnswOptions {
  std::size_t m = 32;  // links of a row on the upper levels; twice that on the base level
  std::size_t ef_construction = 200;
  std::uint64_t seed = 0;
};

// Approximate search in a hierarchical navigable small world graph (Malkov and Yashunin,
// arXiv 1603.09320). The graph is built on the cosine of the raw unit rows; an alignment changes
// what a search scores, never the graph.
//
// Removed rows stay as waypoints until they are an eighth of the rows, then one pass links their
// neighbours to each other (as FreshDiskANN does, arXiv 2105.09613) and frees their slots.
class HnswIndex : public Index {
 public:
  static constexpr const char* kKind = "hnsw";
  static constexpr std::size_t kDefaultEf = 64;
  static constexpr int kMaxLevel = 30;

  HnswIndex(std::size_t dim, const HnswOptions& options);
  static std::unique_ptr<HnswIndex> restore(std::size_t dim, const SectionReader& reader);

  const char* kind() const override { return kKind; }
  const HnswOptions& options() const { return options_; }

 protected:
  void make_room(std::size_t slots, std::size_t erased) override;
  bool erase_frees_slots() const override { return false; }
  void insert(const std::vector<Slot>& slots, std::size_t threads) override;
  void erase(const std::vector<Slot>& slots) override;
  void settle() override;
  void search_rows(const std::vector<PreparedQuery>& queries, const SlotFilter* filter,
                   const SearchOptions& options, float* scores, Label* labels) const override;
  std::size_t structure_bytes() const override;
  void append_sections(SectionWriter& sections) const override;

 private:
  // What one search needs beside the graph; kept for the next one.
  struct Scratch {
    std::vector<std::uint16_t> visited;  // epoch in which a slot was last seen
    std::uint16_t epoch = 0;
    CandidatePool pool;
    std::vector<Slot> fresh;
    std::vector<float> scores;
    std::vector<float> scales;

    void begin(std::size_t slots, std::size_t degree);
    bool visit(Slot slot) {
      const bool first = visited[slot] != epoch;
      visited[slot] = epoch;
      return first;
    }
  };
  class ScratchLease;

  // Slots a search may return; the others are still walked through.
  struct Allowed {
    const RowStore& rows;
    const SlotFilter* filter;
    bool operator()(Slot slot) const {
      return filter != nullptr ? filter->allows(slot) : rows.label(slot) != kNoLabel;
    }
  };

  std::size_t degree(int level) const { return level == 0 ? 2 * options_.m : options_.m; }
  // Links of a slot on a level: `degree(level)` slots, the unused ones kNoSlot at the end.
  Slot* links(Slot slot, int level) {
    return level == 0 ? base_links_.data() + slot * degree(0)
                      : upper_links_[slot].get() + (level - 1) * options_.m;
  }
  const Slot* links(Slot slot, int level) const {
    return const_cast<HnswIndex*>(this)->links(slot, level);
  }
  std::mutex& link_lock(Slot slot) const { return link_locks_[slot % link_locks_.size()]; }

  // hnsw_search.inc: the walk. `kLocked` while several threads insert.
  template <bool kLocked>
  std::size_t read_links(Slot slot, int level, Slot* out) const;
  template <bool kLocked>
  Slot descend(const Scorer& score, Slot entry, int from, int to, Scratch& scratch) const;
  template <bool kLocked, typename Allow>
  bool search_level(const Scorer& score, Slot entry, std::size_t ef, int level, const Allow& allow,
                    std::size_t budget, Scratch& scratch) const;

  // hnsw.cpp: search. False when the walk is dearer than scoring all that the filter allows.
  bool search_one(const PreparedQuery& query, const SlotFilter* filter, std::size_t ef,
                  TopK& best) const;

  // hnsw_build.cpp: insertion.
  int draw_level();
  void open_slot(Slot slot, int level);
  void link_all(const std::vector<Slot>& slots, std::size_t threads);
  void link(Slot slot);
  std::vector<Slot> select(const std::vector<Candidate>& nearest, std::size_t most) const;
  void link_back(Slot from, Slot to, int level);
  std::size_t rewrite_links(Slot slot, int level, const std::vector<Slot>& wanted);

  // hnsw_repair.cpp: removal.
  void repair();
  void rebuild();
  bool repair_links(Slot slot, int level);
  void free_tombstones();
  void choose_entry();

  // hnsw_sections.cpp: to and from bytes.
  void restore_graph(const SectionReader& reader);

  HnswOptions options_;
  Buffer<Slot> base_links_;
  std::vector<std::unique_ptr<Slot[]>> upper_links_;
  Buffer<std::uint8_t> levels_;
  Slot entry_ = kNoSlot;
  int top_level_ = -1;
  std::uint64_t draws_ = 0;       // levels drawn so far
  std::vector<Slot> tombstones_;  // slots without label that are still in the graph

  std::mutex entry_lock_;  // entry_ and top_level_ while several threads insert
  mutable std::array<std::mutex, 1024> link_locks_;
  mutable std::mutex scratch_lock_;
  mutable std::vector<std::unique_ptr<Scratch>> spare_scratch_;
};

}  // namespace gapless
