#include "query/fuse.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "kernels/rank_merge.h"

namespace gapless {
namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

struct MethodName {
  const char* name;
  FusionMethod method;
};
constexpr std::array<MethodName, 7> kMethods = {{{"rrf", FusionMethod::kRrf},
                                                 {"convex", FusionMethod::kConvex},
                                                 {"minmax", FusionMethod::kMinMax},
                                                 {"zscore", FusionMethod::kZScore},
                                                 {"cohort", FusionMethod::kCohort},
                                                 {"calibrated", FusionMethod::kCalibrated},
                                                 {"combmax", FusionMethod::kCombMax}}};

// s -> (s - shift) * scale for one list. A spread of zero tells nothing apart: every item of the
// list is then as good as its best (minmax, convex: 1) or as its mean (z: 0).
struct Normaliser {
  double shift = 0.0;
  double scale = 1.0;
  double constant = kNothing;  // the value of every item, when the spread is zero

  double operator()(double score) const {
    return std::isnan(constant) ? (score - shift) * scale : constant;
  }
};

Normaliser by_range(double low, double high) {
  if (high > low) return {low, 1.0 / (high - low), kNothing};
  return {0.0, 0.0, 1.0};
}

Normaliser by_moments(const Moments& of) {
  if (of.deviation > 0.0) return {of.mean, 1.0 / of.deviation, kNothing};
  return {0.0, 0.0, 0.0};
}

Normaliser list_normaliser(const RankTable& table, std::size_t list, const FusionOptions& options) {
  if (options.method == FusionMethod::kCombMax) return {};
  if (options.method == FusionMethod::kCohort) return by_moments(table.cohorts[list]);
  std::vector<double> retrieved;
  for (std::size_t item = 0; item < table.items(); ++item) {
    const std::size_t cell = item * table.lists + list;
    if (table.ranks[cell] > 0) retrieved.push_back(table.raw[cell]);
  }
  if (retrieved.empty()) return {};
  if (options.method == FusionMethod::kZScore) {
    return by_moments(moments(retrieved));
  }
  const auto [low, high] = std::minmax_element(retrieved.begin(), retrieved.end());
  return by_range(options.method == FusionMethod::kConvex ? options.lower : *low, *high);
}

// Makes means over the lists that say something of an item of what would be sums: else items with
// more rows would outrank those with fewer by their number alone.
void share_weights(std::vector<double>& contributions, const std::vector<double>& weights) {
  const std::size_t lists = weights.size();
  for (std::size_t first = 0; first < contributions.size(); first += lists) {
    double total = 0.0;
    for (std::size_t list = 0; list < lists; ++list) {
      if (!std::isnan(contributions[first + list])) total += weights[list];
    }
    for (std::size_t list = 0; list < lists; ++list) contributions[first + list] /= total;
  }
}

// Merges what the probabilities of the lists are evidence for. A list that has no row of an item
// says nothing of it, neither for nor against.
Fused fuse_calibrated(const RankTable& table, const std::vector<double>& weights, Combine combine,
                      std::size_t k) {
  Fused fused;
  fused.normalised.assign(table.items() * table.lists, kNothing);
  std::vector<double> contributions = fused.normalised;
  for (std::size_t item = 0; item < table.items(); ++item) {
    for (std::size_t list = 0; list < table.lists; ++list) {
      const std::size_t cell = item * table.lists + list;
      if (weights[list] == 0.0 || std::isnan(table.raw[cell])) continue;
      const ListCalibration& calibration = table.calibrations[list];
      const double log_odds = calibration.map->log_odds(table.raw[cell], calibration.level);
      fused.normalised[cell] = probability(log_odds);
      contributions[cell] = evidence(combine, log_odds);
    }
  }
  if (combine == Combine::kMeanLogit) share_weights(contributions, weights);
  const MergeRule rule = combine == Combine::kMax ? MergeRule::kMax : MergeRule::kSum;
  for (const MergedRank& merged :
       rank_merge(contributions.data(), weights.data(), table.labels.data(), table.items(),
                  table.lists, rule, k)) {
    fused.scores.push_back(probability_of_evidence(combine, merged.score));
    fused.items.push_back(merged.item);
  }
  return fused;
}

}  // namespace

FusionMethod fusion_method(const std::string& name) {
  std::string known;
  for (const MethodName& entry : kMethods) {
    if (name == entry.name) return entry.method;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw InvalidArgument("fusion method '" + name + "' is not known; use one of " + known);
}

bool uses_ranks(FusionMethod method) { return method == FusionMethod::kRrf; }

void check_fusion(const FusionOptions& options, const std::vector<double>& weights) {
  double total = 0.0;
  for (const double weight : weights) {
    if (!std::isfinite(weight) || weight < 0.0) {
      throw InvalidArgument("weight " + std::to_string(weight) + " is negative or not finite");
    }
    total += weight;
  }
  if (!weights.empty() && total <= 0.0) {
    throw InvalidArgument("all weights are 0; give at least one list a positive weight");
  }
  if (options.rank_base != 0 && options.rank_base != 1) {
    throw InvalidArgument("rank_base is " + std::to_string(options.rank_base) + "; use 0 or 1");
  }
  if (!std::isfinite(options.rrf_k) || options.rrf_k + options.rank_base <= 0.0) {
    throw InvalidArgument("rrf_k is " + std::to_string(options.rrf_k) +
                          "; rrf_k + rank_base must be positive");
  }
  if (!std::isfinite(options.lower)) throw InvalidArgument("lower must be finite");
}

Moments moments(const std::vector<double>& values) {
  Moments found;
  if (values.empty()) return found;
  const auto count = static_cast<double>(values.size());
  for (const double value : values) found.mean += value;
  found.mean /= count;
  double square = 0.0;
  for (const double value : values) square += (value - found.mean) * (value - found.mean);
  // Equal values have no spread, whatever the rounding of their mean says.
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  found.deviation = *low < *high ? std::sqrt(square / count) : 0.0;
  return found;
}

void RankTable::add_list(std::size_t list, const double* scores, const Label* found,
                         std::size_t count) {
  std::vector<std::pair<Label, std::size_t>> fresh;
  std::size_t rank = 0;
  for (; rank < count && found[rank] != kNoLabel; ++rank) {
    const std::string where =
        " at rank " + std::to_string(rank + 1) + " of list " + std::to_string(list);
    if (!std::isfinite(scores[rank])) {
      throw InvalidArgument("the score" + where + " is NaN or infinite");
    }
    if (rank > 0 && scores[rank] > scores[rank - 1]) {
      throw InvalidArgument("the score" + where + " is above the one before; sort best first");
    }
    const auto known = std::lower_bound(sorted_.begin(), sorted_.end(),
                                        std::pair<Label, std::size_t>{found[rank], 0});
    std::size_t item = items();
    if (known != sorted_.end() && known->first == found[rank]) {
      item = known->second;
    } else {
      fresh.emplace_back(found[rank], item);
      labels.push_back(found[rank]);
      ranks.resize(items() * lists, 0);
      raw.resize(items() * lists, std::numeric_limits<double>::quiet_NaN());
    }
    if (ranks[item * lists + list] != 0) {
      throw InvalidArgument("id " + std::to_string(found[rank]) + " occurs twice in list " +
                            std::to_string(list));
    }
    ranks[item * lists + list] = static_cast<std::int32_t>(rank + 1);
    raw[item * lists + list] = scores[rank];
  }
  std::sort(fresh.begin(), fresh.end());
  for (std::size_t i = 1; i < fresh.size(); ++i) {
    if (fresh[i].first != fresh[i - 1].first) continue;
    throw InvalidArgument("id " + std::to_string(fresh[i].first) + " occurs twice in list " +
                          std::to_string(list));
  }
  const auto middle = static_cast<std::ptrdiff_t>(sorted_.size());
  sorted_.insert(sorted_.end(), fresh.begin(), fresh.end());
  std::inplace_merge(sorted_.begin(), sorted_.begin() + middle, sorted_.end());
}

Fused fuse(const RankTable& table, const std::vector<double>& weights, const FusionOptions& options,
           std::size_t k) {
  if (options.method == FusionMethod::kCalibrated) {
    return fuse_calibrated(table, weights, options.combine, k);
  }
  Fused fused;
  fused.normalised.assign(table.items() * table.lists, kNothing);
  for (std::size_t list = 0; list < table.lists; ++list) {
    const Normaliser normalise =
        uses_ranks(options.method) ? Normaliser{} : list_normaliser(table, list, options);
    if (weights[list] == 0.0) continue;  // a muted list says nothing
    for (std::size_t cell = list; cell < table.raw.size(); cell += table.lists) {
      if (uses_ranks(options.method)) {
        const int rank = table.ranks[cell];
        if (rank == 0) continue;
        fused.normalised[cell] = 1.0 / (options.rrf_k + rank - 1 + options.rank_base);
      } else if (!std::isnan(table.raw[cell])) {
        fused.normalised[cell] = normalise(table.raw[cell]);
      }
    }
  }
  std::vector<double> scaled = weights;
  if (options.method == FusionMethod::kConvex) {
    double total = 0.0;
    for (const double weight : weights) total += weight;
    for (double& weight : scaled) weight /= total;
  }
  std::vector<double> contributions = fused.normalised;
  if (options.method == FusionMethod::kCohort) share_weights(contributions, weights);
  const MergeRule rule =
      options.method == FusionMethod::kCombMax ? MergeRule::kMax : MergeRule::kSum;
  for (const MergedRank& merged :
       rank_merge(contributions.data(), scaled.data(), table.labels.data(), table.items(),
                  table.lists, rule, k)) {
    fused.scores.push_back(merged.score);
    fused.items.push_back(merged.item);
  }
  return fused;
}

}  // namespace gapless
