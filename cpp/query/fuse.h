#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/types.h"
#include "query/calibration.h"

namespace gapless {

// How ranked lists become one. With s a list's score of an item, w the list's weight and the sums
// over the lists that say something of the item (the others add 0):
//   - rrf: sum w / (rrf_k + rank), the best rank being rank_base (Cormack, Clarke, Buettcher 2009)
//   - convex: sum w (s - lower) / (max - lower) / sum of all w (TM2C2, Bruch, arXiv 2210.11934)
//   - minmax: sum w (s - min) / (max - min)
//   - zscore: sum w (s - mean) / std
//   - cohort: sum w (s - mean) / std / sum of the w that were added, with mean and std of a fixed
//     background sample that is scored for this query (Z-norm of speaker verification). A mean: an
//     item with rows in two lists is no likelier an answer for that.
//   - calibrated: the lists' calibrations make probabilities of s, and `combine` one of these
//   - combmax: max w s, the scores as they are: what one mixed index would do
// A list of weight 0 says nothing. min, max, mean and std come from the retrieved list, so a
// completed score may map outside.
enum class FusionMethod { kRrf, kConvex, kMinMax, kZScore, kCohort, kCalibrated, kCombMax };

FusionMethod fusion_method(const std::string& name);  // throws InvalidArgument listing the names
bool uses_ranks(FusionMethod method);

struct FusionOptions {
  FusionMethod method = FusionMethod::kRrf;
  double rrf_k = 60.0;
  int rank_base = 1;
  double lower = -1.0;  // the least score there can be; -1 for cosines
  Combine combine = Combine::kMax;
};

// Throws InvalidArgument when a number is not usable.
void check_fusion(const FusionOptions& options, const std::vector<double>& weights);

// What a list's scores mean, for kCalibrated: its map, and the level of its background.
struct ListCalibration {
  std::shared_ptr<const Calibration> map;
  double level = 0.0;
};

struct Moments {
  double mean = 0.0;
  double deviation = 0.0;  // population
};
Moments moments(const std::vector<double>& values);

// The union of several ranked lists: a row for every item, a column for every list.
struct RankTable {
  std::size_t lists = 0;
  std::vector<Label> labels;
  std::vector<std::int32_t> ranks;  // (items, lists) from 1; 0 = not retrieved by that list
  std::vector<double> raw;          // (items, lists); NaN = no row there
  std::vector<Moments> cohorts;     // by list, for kCohort
  std::vector<ListCalibration> calibrations;  // by list, for kCalibrated

  std::size_t items() const { return labels.size(); }
  // Adds a list, best first; kNoLabel ends it early. Throws InvalidArgument for a score that is not
  // finite, scores out of order or a label that occurs twice.
  void add_list(std::size_t list, const double* scores, const Label* found, std::size_t count);

 private:
  std::vector<std::pair<Label, std::size_t>> sorted_;  // label -> row, of the lists added so far
};

struct Fused {
  std::vector<double> scores;
  std::vector<std::size_t> items;  // rows of the table, best first
  std::vector<double> normalised;  // (items of the table, lists); NaN = nothing
};

Fused fuse(const RankTable& table, const std::vector<double>& weights, const FusionOptions& options,
           std::size_t k);

}  // namespace gapless
