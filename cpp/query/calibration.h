#pragma once

#include <string>
#include <vector>

namespace gapless {

enum class CalibrationMethod { kPlatt, kBeta, kIsotonic };

// A map from an aligned score s to the probability that the item is relevant, fitted for one
// (query modality -> field); it never falls as s grows. p = 1 / (1 + exp(-log-odds)) with
//   log-odds = f(s) + background * level, clamped to +-kMostLogOdds so that 0 < p < 1
//   - platt: f = a s + c (Platt 1999)
//   - beta: f = a ln t - b ln(1 - t) + c with t = (1 + s) / 2 (Kull, Silva Filho, Flach 2017);
//     t is clamped to [kEdge, 1 - kEdge]
//   - isotonic: f is linear between knots and constant beyond the first and last
// and level the `quantile` of the query's scores against background rows of the field: how high
// any row of the field scores for this query.
struct Calibration {
  CalibrationMethod method = CalibrationMethod::kPlatt;
  double a = 1.0;
  double b = 0.0;
  double c = 0.0;
  std::vector<double> knots;   // ascending scores, for kIsotonic
  std::vector<double> values;  // the log-odds there, never falling
  double background = 0.0;
  double quantile = 0.9;

  double log_odds(double score, double level) const;
  bool needs_background() const { return background != 0.0; }
};

constexpr double kMostLogOdds = 36.0;  // 1 / (1 + exp(-37)) is 1 in double
constexpr double kEdge = 1e-9;

double probability(double log_odds);

// Throws InvalidArgument, starting with `where`, for numbers that are not finite or a map that
// falls somewhere.
void check_calibration(const Calibration& calibration, const std::string& where);

// The value that a share `quantile` of the values stays below, interpolated linearly between the
// two nearest; at least one value.
double quantile_of(std::vector<double> values, double quantile);

// How the probabilities of one item's lists become one, w being the lists' weights:
//   - max: the largest 1 - (1 - p)^w, which is p for a weight of 1
//   - noisy_or: 1 - product of (1 - p)^w
//   - mean_logit: the probability of the mean log-odds, weighted by w
enum class Combine { kMax, kNoisyOr, kMeanLogit };

Combine combine_rule(const std::string& name);  // throws InvalidArgument listing the names

// What a list gives to the merge, and the probability that the merged value stands for: max and
// noisy_or merge -ln(1 - p), mean_logit merges log-odds.
double evidence(Combine rule, double log_odds);
double probability_of_evidence(Combine rule, double merged);

}  // namespace gapless
