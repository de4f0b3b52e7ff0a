#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/publish.h"
#include "core/types.h"
#include "index/scan_codes.h"
#include "index/top_k.h"

namespace gapless {

// The rows that a scan answers for, by slot: finite floats, a label each (kNoLabel: not a row), and
// what an alignment made of them. Rows may lose their labels meanwhile. A row's score is (<query,
// row> + c) * r, r = 1 where it is null.
struct ScannedRows {
  const float* vectors;
  std::size_t stride;
  std::size_t count;
  const Label* labels;
  const float* r = nullptr;                    // finite, >= 0
  const std::vector<Slot>* allowed = nullptr;  // ascending; null: all
};

struct ScanTarget {
  const float* vector;  // dim floats of any norm
  float c = 0.0f;
};

// What a search did, for tests and measurements: pairs of a query and a row.
struct ScanCounts {
  std::size_t scanned = 0;   // whose prefix was looked at
  std::size_t lines = 0;     // whose line was
  std::size_t rescored = 0;  // whose f32 row was
  std::size_t plain = 0;     // that were scored without looking at codes
  // Rows that went while they mattered: another search may find better ones in their place.
  std::size_t lost = 0;
};

// Of one row and one query, against each other.
struct ScanCosts {
  double part;    // of a prefix
  double prefix;  // beside its parts
  double line;
  double plain;
};

struct ScanCandidate {
  double upper;
  Slot slot;
};

// One query on its way through the rows.
struct ScanState {
  ScanState(const ScanTarget& query, std::size_t k) : target(query), best(k) {}

  ScanTarget target;
  ScanCodes::Query code;
  std::size_t depth = 0;   // of the prefix; depths(): lines only; depths() + 1: f32 rows only
  float floor = kNoScore;  // k rows are known to reach this
  TopK best;
  std::size_t seen = 0;  // rows whose prefix was looked at, and those that it could not rule out
  std::size_t kept = 0;
  std::size_t considered = 0;  // the same by lines
  std::size_t rescored = 0;

  float limit() const { return std::max(floor, best.threshold()); }
};

// One worker's part of a search: its scratch, and what it counted.
class ScanPass {
 public:
  ScanPass(const ScanCodes& codes, std::size_t dim, const ScannedRows& rows, std::size_t k)
      : codes_(codes), dim_(dim), rows_(rows), k_(k), coded_(std::min(codes.size(), rows.count)) {
    if (rows.allowed == nullptr) return;
    allowed_.assign((rows.count + 63) / 64, 0);
    for (const Slot slot : *rows.allowed) allowed_[slot / 64] |= std::uint64_t{1} << (slot % 64);
  }

  std::size_t lines_only() const { return codes_.depths(); }
  std::size_t plain() const { return codes_.depths() + 1; }

  void prepare(ScanState& state, const ScanCosts& costs);
  void scan(std::vector<ScanState>& states, std::size_t begin, std::size_t end);
  void scan_allowed(ScanState& state);

  bool wanted(Slot slot) const {
    return acquire(rows_.labels[slot]) != kNoLabel &&
           (rows_.allowed == nullptr || (allowed_[slot / 64] >> (slot % 64) & 1) != 0);
  }
  ScanCounts counts;

 private:
  void choose_depth(ScanState& state, const ScanCosts& costs);
  void scan_prefixes(ScanState* const* states, std::size_t count, std::size_t begin,
                     std::size_t end);
  void scan_lines(ScanState& state, std::size_t begin, std::size_t end);
  void scan_plain(ScanState* const* states, std::size_t count, std::size_t begin, std::size_t end);
  // Rows by their lines, then the f32 rows of those that may be good enough.
  void consider(ScanState& state, const Slot* slots, std::size_t count);
  void aim(const ScanState& state, ScanQuery& query, std::size_t depth) const;
  void push(ScanState& state, float score, Slot slot);
  void inverse_r(std::size_t begin, std::size_t end);
  void rescore(ScanState& state, const Slot* slots, std::size_t count);

  const ScanCodes& codes_;
  std::size_t dim_;
  const ScannedRows& rows_;
  std::size_t k_;
  std::size_t coded_;
  std::vector<std::uint64_t> allowed_;
  std::vector<float> inverse_r_;
  std::vector<std::int32_t> sums_;
  std::vector<ScanCandidate> candidates_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> kept_;
  std::vector<float> scores_;
  std::vector<std::uint32_t> positions_;
  std::vector<std::vector<ScanState*>> by_depth_;
};

}  // namespace gapless
