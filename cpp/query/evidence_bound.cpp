#include "query/evidence_bound.h"

#include <array>

#include "query/calibration.h"

namespace gapless {
namespace {

constexpr double kKnotsPerUnit = 8.0;
constexpr auto kKnots = static_cast<std::size_t>(2.0 * kMostLogOdds * kKnotsPerUnit) + 2;

std::array<double, kKnots> evidence_at_knots() {
  std::array<double, kKnots> knots{};
  for (std::size_t i = 0; i < kKnots; ++i) {
    const double log_odds = static_cast<double>(i) / kKnotsPerUnit - kMostLogOdds;
    knots[i] = evidence(Combine::kNoisyOr, log_odds);
  }
  return knots;
}

}  // namespace

void bound_evidence(const double* log_odds, std::size_t count, double* bounds) {
  static const std::array<double, kKnots> knots = evidence_at_knots();
  for (std::size_t i = 0; i < count; ++i) {
    const double place = (log_odds[i] + kMostLogOdds) * kKnotsPerUnit;
    const auto below = static_cast<std::size_t>(static_cast<int>(place));
    const double share = place - static_cast<double>(static_cast<int>(place));
    bounds[i] = knots[below] + share * (knots[below + 1] - knots[below]);
  }
}

}  // namespace gapless
