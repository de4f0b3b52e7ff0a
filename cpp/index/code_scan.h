#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "index/candidate_pool.h"
#include "index/codes.h"
#include "index/filter.h"
#include "index/row_table.h"

namespace gapless {

// The best of all rows that a filter allows, by their codes: each stage of these reads only what
// the one before leaves, as in a walk, but memory is sent for long before. Reused from query to
// query, for its buffers.
class CodeScan {
 public:
  // Finds `most` rows, which the best stage of the codes ranks; of equal ones those of the least
  // labels. `codes` have prepared query().
  CodeQuery& query() { return query_; }
  void run(const Codes& codes, const SlotFilter& filter, const RowTable& rows, std::size_t most);
  const std::vector<Candidate>& found() const { return found_; }

 private:
  static constexpr std::size_t kBlock = 128;

  struct Block {
    std::array<Slot, kBlock> slots;
    std::size_t count = 0;
  };
  struct Kept {
    float score;
    Slot slot;
    Label label;
  };
  static bool before(const Kept& a, const Kept& b) {
    return a.score != b.score ? a.score > b.score : a.label < b.label;
  }

  void score(const Codes& codes, const RowTable& rows, const Block& block);
  void refine(const Codes& codes);

  CodeQuery query_;
  std::size_t most_ = 0;
  float limit_ = kNoScore;
  std::vector<Kept> kept_;  // a heap, the worst on top
  std::array<float, kBlock> scores_;
  std::vector<Candidate> found_;
  std::vector<Slot> slots_;
  std::vector<float> refined_;
};

}  // namespace gapless
