#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "query/field_search.h"
#include "query/fusion_options.h"

namespace gapless {

struct FusedOptions {
  std::size_t k = 10;
  std::size_t depth = 0;  // items that a list retrieves, unless it says itself; 0 = max(k, 100)
  FusionOptions fusion;
  std::vector<std::vector<Label>> exclude;  // by question, items that it must not find; or empty
  std::size_t threads = 0;  // 0 = all cores for a batch, the calling thread for one question
  double timeout = std::numeric_limits<double>::infinity();  // seconds
};

// The fused rankings of a batch of questions, and what each list said of every item in them:
// question i has the places [offsets[i], offsets[i + 1]). Matrices are (places, lists).
struct FusedHits {
  std::size_t lists = 0;
  std::vector<std::size_t> offsets{0};
  std::vector<double> scores;
  std::vector<Label> labels;
  std::vector<std::int32_t> ranks;  // from 1; 0 = not retrieved by that list
  std::vector<float> raw;           // NaN = no row
  std::vector<double> normalised;   // NaN = nothing
  std::vector<std::int32_t> rows;   // ordinal of the item's best row; -1 = none

  std::size_t questions() const { return offsets.size() - 1; }
};

// Searches every field for every question, completes what was found, fuses. Completion: an item
// found in one field gets its exact score in every other where it has rows and passes the filter;
// methods that use ranks alone ignore completed scores, and only those of the ranking are computed
// then. Cohort needs at least two background items present in each field, and so does a calibration
// with a background. A writer beside this may come between two of these steps: an item removed
// meanwhile keeps the scores it has so far. Throws InvalidArgument, Timeout and whatever
// Index::search throws.
FusedHits search_fields(const std::vector<FieldSearch>& searches, const FusedOptions& options);

}  // namespace gapless
