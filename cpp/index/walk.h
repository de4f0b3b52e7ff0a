#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "index/candidate_pool.h"
#include "index/filter.h"
#include "index/graph.h"

namespace gapless {

// What a walk is for.
struct WalkGoal {
  SearchWidth width;
  std::size_t refined = 24;  // of the best, how many are scored anew at the end; 0: all are found,
                             // none scored anew
  const SlotFilter* filter = nullptr;  // null: rows with a label
  bool for_build = false;              // rows that are linked, with or without a label
  Slot without = kNoSlot;              // as if this row were not there
  std::size_t budget = std::numeric_limits<std::size_t>::max();  // rows scored, at most
};

// One best-first walk through a graph, in steps that each end where memory has been sent for. A
// thread that has several queries takes their steps in turns, so that the waits overlap. Reused
// from query to query, for its buffers.
class Walk {
 public:
  // `query` is prepared by the view's codes.
  CodeQuery& query() { return query_; }
  void begin(const GraphView& view, const WalkGoal& goal);
  // False when the walk has ended.
  bool step();
  void run() {
    while (step()) {
    }
  }

  bool over_budget() const { return over_budget_; }
  // What was found, best first, after the end.
  const std::vector<Candidate>& found() const { return found_; }

 private:
  enum class Stage { kExpand, kFilter, kScore, kRefine, kDone };

  void insert(float score, Slot slot);
  void expand();
  void touch_factors() const;
  void score();
  void refine();
  bool allowed(Slot slot) const;
  bool allowed_alone(Slot slot) const;
  bool visit(Slot slot) {
    std::uint64_t& word = visited_[slot / 64];
    const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
    const bool first = (word & bit) == 0;
    word |= bit;
    return first;
  }

  const GraphView* view_ = nullptr;
  WalkGoal goal_;
  CodeQuery query_;
  CandidatePool pool_;
  Stage stage_ = Stage::kDone;
  std::vector<std::uint64_t> visited_;
  std::vector<Slot> fresh_;
  std::vector<Slot> kept_;
  std::vector<float> scores_;
  std::size_t count_ = 0;
  std::size_t scored_ = 0;
  bool over_budget_ = false;
  std::vector<Candidate> found_;
};

}  // namespace gapless
