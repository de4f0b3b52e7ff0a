#pragma once

#include <memory>
#include <string>
#include <vector>

#include "index/index.h"
#include "query/fuse.h"

namespace gapless {

// One list of a mixed-modality query: a query vector against one field's index.
struct FieldSearch {
  std::shared_ptr<const Index> index;
  std::vector<float> query;
  double weight = 1.0;
  std::size_t ef = 0;
  std::string query_modality;
  std::shared_ptr<const Filter> filter;
  std::vector<Label> cohort;                       // background rows for FusionMethod::kCohort
  std::shared_ptr<const Calibration> calibration;  // for FusionMethod::kCalibrated
  std::string field;                               // its name, for messages
};

// A fused ranking and what each list said of every item in it; matrices are (items, lists).
struct FusedHits {
  std::size_t lists = 0;
  std::vector<double> scores;
  std::vector<Label> labels;
  std::vector<std::int32_t> ranks;
  std::vector<float> raw;
  std::vector<double> normalised;
};

// Searches every field `depth` deep (0 = max(k, 100)), completes what was found, fuses. Completion:
// an item found in one field gets its exact score in every other where it has a row that passes the
// filter; methods that use ranks ignore completed scores. Cohort needs at least two background rows
// present in each field, and so does a calibration with a background. A writer beside this may come
// between two of these steps: an item removed meanwhile keeps the scores it has so far. Throws
// InvalidArgument and whatever Index::search throws.
FusedHits search_fields(const std::vector<FieldSearch>& searches, std::size_t k, std::size_t depth,
                        const FusionOptions& options);

}  // namespace gapless
