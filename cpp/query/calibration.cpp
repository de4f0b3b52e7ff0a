#include "query/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "core/error.h"

namespace gapless {
namespace {

struct RuleName {
  const char* name;
  Combine rule;
};
constexpr std::array<RuleName, 3> kRules = {
    {{"max", Combine::kMax}, {"noisy_or", Combine::kNoisyOr}, {"mean_logit", Combine::kMeanLogit}}};

double between_knots(const std::vector<double>& knots, const std::vector<double>& values,
                     double score) {
  const auto above = std::upper_bound(knots.begin(), knots.end(), score);
  if (above == knots.begin()) return values.front();
  if (above == knots.end()) return values.back();
  const auto i = static_cast<std::size_t>(above - knots.begin());
  const double share = (score - knots[i - 1]) / (knots[i] - knots[i - 1]);
  return values[i - 1] + share * (values[i] - values[i - 1]);
}

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

void check_slope(double slope, const char* name, const std::string& where) {
  if (slope >= 0.0) return;
  throw InvalidArgument(where + " has " + name + " = " + std::to_string(slope) +
                        ": a higher score would be less likely; give 0 or more");
}

void check_knots(const Calibration& calibration, const std::string& where) {
  const std::vector<double>& knots = calibration.knots;
  const std::vector<double>& values = calibration.values;
  if (knots.empty() || knots.size() != values.size()) {
    throw InvalidArgument(where + " has " + std::to_string(knots.size()) + " scores and " +
                          std::to_string(values.size()) +
                          " log-odds; give the same number of each, at least 1");
  }
  if (!all_finite(knots) || !all_finite(values)) {
    throw InvalidArgument(where + " has a knot that is NaN or infinite");
  }
  for (std::size_t i = 1; i < knots.size(); ++i) {
    if (knots[i] > knots[i - 1] && values[i] >= values[i - 1]) continue;
    throw InvalidArgument(where + " falls at knot " + std::to_string(i) +
                          "; give ascending scores, and log-odds that never fall");
  }
}

}  // namespace

double Calibration::log_odds(double score, double level) const {
  double found = 0.0;
  if (method == CalibrationMethod::kPlatt) {
    found = a * score + c;
  } else if (method == CalibrationMethod::kBeta) {
    const double t = std::clamp((1.0 + score) / 2.0, kEdge, 1.0 - kEdge);
    found = a * std::log(t) - b * std::log1p(-t) + c;
  } else {
    found = between_knots(knots, values, score);
  }
  if (needs_background()) found += background * level;
  return std::clamp(found, -kMostLogOdds, kMostLogOdds);
}

double probability(double log_odds) { return 1.0 / (1.0 + std::exp(-log_odds)); }

void check_calibration(const Calibration& calibration, const std::string& where) {
  if (!all_finite({calibration.a, calibration.b, calibration.c, calibration.background})) {
    throw InvalidArgument(where + " has a parameter that is NaN or infinite");
  }
  if (!(calibration.quantile >= 0.0 && calibration.quantile <= 1.0)) {
    throw InvalidArgument(where + " has quantile = " + std::to_string(calibration.quantile) +
                          "; give one between 0 and 1");
  }
  if (calibration.method == CalibrationMethod::kIsotonic) {
    check_knots(calibration, where);
    return;
  }
  check_slope(calibration.a, "a", where);
  if (calibration.method == CalibrationMethod::kBeta) check_slope(calibration.b, "b", where);
}

double quantile_of(std::vector<double> values, double quantile) {
  const double place = quantile * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(values.begin(), middle, values.end());
  const double low = *middle;
  if (below + 1 == values.size()) return low;
  const double high = *std::min_element(middle + 1, values.end());
  return low + (place - static_cast<double>(below)) * (high - low);
}

Combine combine_rule(const std::string& name) {
  std::string known;
  for (const RuleName& entry : kRules) {
    if (name == entry.name) return entry.rule;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw InvalidArgument("combine is '" + name + "'; use one of " + known);
}

double evidence(Combine rule, double log_odds) {
  if (rule == Combine::kMeanLogit) return log_odds;
  // -ln(1 - p) = ln(1 + exp(log-odds)), written so that neither end loses digits.
  return std::max(log_odds, 0.0) + std::log1p(std::exp(-std::fabs(log_odds)));
}

double probability_of_evidence(Combine rule, double merged) {
  return rule == Combine::kMeanLogit ? probability(merged) : -std::expm1(-merged);
}

}  // namespace gapless
