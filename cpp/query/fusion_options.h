#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "query/calibration.h"
#include "query/fusion_method.h"
#include "query/moments.h"

namespace gapless {

struct FusionOptions {
  FusionMethod method = FusionMethod::kRrf;
  std::optional<Norm> norm;         // of the methods that take one; else their own
  double rrf_k = 60.0;              // of rrf and rrf_qdrant (whose home's default is 2)
  int rank_base = 1;                // of rrf: the best rank
  double lower = -1.0;              // of convex: the least score there can be; -1 for cosines
  double phi = 0.8;                 // of rbc: how likely a reader goes on to the next item, [0, 1)
  double gamma = 0.5;               // of gmnz: [0, 10]; 0 is combsum, 1 is combmnz
  double sigma = 0.01;              // of logn_isr: [0, 1]
  bool complete_ranks = false;      // by rank: completed scores have ranks too, among the retrieved
  Combine combine = Combine::kMax;  // of calibrated

  Norm norm_in_use() const { return norm.value_or(parts_of(method).norm); }
  Rule rule() const;
};

// What a list's scores mean, for kCalibrated: its map, and the level of its background.
struct ListCalibration {
  std::shared_ptr<const Calibration> map;
  double level = 0.0;
};

// What fusion is told of a list beside its ranking. Weight 0: the list says nothing. Below 0: "not
// like this", and an item that no list of positive weight says anything of is left out.
struct ListTerms {
  double weight = 1.0;
  Moments cohort;               // for kCohort
  ListCalibration calibration;  // for kCalibrated
};

// A weight may be below 0 where values are by score, and summed or averaged.
bool takes_negative(const FusionOptions& options);

// Throws InvalidArgument when a number is not usable. Weights are 0, or 1e-6 to 1e6 in size, at
// least one of them positive. `names` says what messages call the lists: "list 0" when empty.
void check_fusion(const FusionOptions& options, const std::vector<double>& weights,
                  const std::vector<std::string>& names = {});

}  // namespace gapless
