#include "query/list_values.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "core/error.h"

namespace gapless {
namespace {

// A spread below this is none: what it divided would overflow.
constexpr double kLeastSpread = 1e-100;
constexpr double kFloor = 1e-9;  // of ranx
constexpr double kNoConstant = std::numeric_limits<double>::quiet_NaN();

// s -> (s - shift) / spread, or one value for all where the scores do not differ.
struct Line {
  double shift = 0.0;
  double spread = 1.0;
  double constant = kNoConstant;
};

Line line(double shift, double spread, double without_spread, double floor = 0.0) {
  if (!(spread > kLeastSpread)) return {0.0, 1.0, without_spread};
  return {shift, std::max(spread, floor), kNoConstant};
}

struct Range {
  double low;
  double high;
};
Range range_of(const RankedLists::List& list, std::size_t count) {
  if (list.retrieved > 0) return {list.scores[count - 1], list.scores[0]};
  const auto [low, high] = std::minmax_element(list.scores.begin(), list.scores.end());
  return {*low, *high};
}

double sum_above(const double* scores, std::size_t count, double low) {
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) sum += scores[i] - low;
  return sum;
}

double root_of_squares(const double* scores, std::size_t count) {
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) sum += scores[i] * scores[i];
  return std::sqrt(sum);
}

Line distribution(const double* scores, std::size_t count) {
  const Moments found = moments(scores, count);
  const auto n = static_cast<double>(count);
  const double deviation = count > 1 ? found.deviation * std::sqrt(n / (n - 1.0)) : 0.0;
  return line(found.mean - 3.0 * deviation, 6.0 * deviation, 0.5);
}

Line standard(const Moments& of, double floor = 0.0) {
  return line(of.mean, of.deviation, 0.0, floor);
}

// The norms by score that are lines, for a list that has scores.
Line line_of(Norm norm, const RankedLists::List& list, const ListTerms& terms,
             const FusionOptions& options) {
  const std::size_t count = list.retrieved > 0 ? list.retrieved : list.scores.size();
  const double* scores = list.scores.data();
  const Range range = range_of(list, count);
  switch (norm) {
    case Norm::kMinMax:
      return line(range.low, range.high - range.low, 0.0, kFloor);
    case Norm::kMinMaxInverted: {
      Line falling = line(range.high, range.high - range.low, 0.0, kFloor);
      falling.spread = -falling.spread;
      return falling;
    }
    case Norm::kMax:
      return {0.0, std::max(range.high, kFloor), kNoConstant};
    case Norm::kSum:
      if (!(range.high - range.low > kLeastSpread)) return {0.0, 1.0, 0.0};
      return {range.low, std::max(sum_above(scores, count, range.low), kFloor), kNoConstant};
    case Norm::kZmuv:
      return standard(moments(scores, count), kFloor);
    case Norm::kL2:
      return line(0.0, root_of_squares(scores, count), 0.0);
    case Norm::kDbsf:
      return distribution(scores, count);
    case Norm::kCosine:
      return {-1.0, 2.0, kNoConstant};
    case Norm::kRange:
      return line(range.low, range.high - range.low, 1.0);
    case Norm::kAboveLower:
      return line(options.lower, range.high - options.lower, 1.0);
    case Norm::kStandard:
      return standard(moments(scores, count));
    case Norm::kCohort:
      return standard(terms.cohort);
    default:
      return {};
  }
}

void apply(const Line& line, const double* scores, std::size_t count, double* values) {
  if (!std::isnan(line.constant)) {
    std::fill_n(values, count, line.constant);
    return;
  }
  for (std::size_t i = 0; i < count; ++i) values[i] = (scores[i] - line.shift) / line.spread;
}

void log_odds(const ListCalibration& calibration, const double* scores, std::size_t count,
              double* values) {
  const Calibration& map = *calibration.map;
  if (map.method == CalibrationMethod::kPlatt) {
    const double constant =
        map.c + (map.needs_background() ? map.background * calibration.level : 0.0);
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = std::clamp(map.a * scores[i] + constant, -kMostLogOdds, kMostLogOdds);
    }
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = map.log_odds(scores[i], calibration.level);
    }
  }
  if (std::none_of(values, values + count, [](double v) { return std::isnan(v); })) return;
  throw InvalidArgument(
      "a calibration's numbers are so large that a score has no log-odds; fit it anew");
}

// Values by rank from 1; `count` items have one, of `candidates` in all lists.
void values_by_rank(const FusionOptions& options, double weight, std::size_t candidates,
                    std::vector<double>& ranked) {
  const std::size_t count = ranked.size();
  const auto fill = [&ranked, count](auto value) {
    for (std::size_t i = 0; i < count; ++i) ranked[i] = value(static_cast<double>(i));
  };
  switch (options.norm_in_use()) {
    case Norm::kReciprocal:
      return fill(
          [best = options.rrf_k + options.rank_base](double i) { return 1.0 / (best + i); });
    case Norm::kWeightedReciprocal:
      return fill(
          [best = 1.0 + weight * (options.rrf_k - 1.0)](double i) { return 1.0 / (best + i); });
    case Norm::kInverseSquare:
      return fill([](double i) { return 1.0 / ((i + 1.0) * (i + 1.0)); });
    case Norm::kGeometric:
      return fill([phi = options.phi, next = 1.0 - options.phi](double) mutable {
        const double value = next;
        next *= phi;
        return value;
      });
    case Norm::kPoints:
      return fill([all = static_cast<double>(candidates)](double i) { return all - i; });
    case Norm::kBorda:
      return fill([all = static_cast<double>(candidates)](double i) { return 1.0 - i / all; });
    default:
      return fill([all = static_cast<double>(count)](double i) { return 1.0 - i / all; });
  }
}

// What is left for each item that a list of `count` does not hold.
double share_of_rest(Norm norm, std::size_t count, std::size_t candidates) {
  const auto n = static_cast<double>(count);
  const auto all = static_cast<double>(candidates);
  return norm == Norm::kPoints ? (all - n + 1.0) / 2.0 : 0.5 - (n - 1.0) / (2.0 * all);
}

}  // namespace

std::size_t spoken(const RankedLists::List& list, const FusionOptions& options) {
  const bool retrieved_only = by_rank(options.norm_in_use()) && !options.complete_ranks;
  return retrieved_only ? list.retrieved : list.items.size();
}

void ListValues::normalise(const RankedLists& lists, std::size_t number, const ListTerms& terms,
                           const FusionOptions& options, std::size_t candidates,
                           const std::vector<std::uint8_t>& is_candidate) {
  const RankedLists::List& list = lists.list(number);
  const Norm norm = options.norm_in_use();
  items_ = list.items.data();
  values_.resize(spoken(list, options));
  if (!gapless::by_rank(norm)) {
    if (!values_.empty()) by_score(list, terms, options);
    return;
  }
  by_rank(list, lists.labels(), terms.weight, options, candidates);
  if (!shares_rest(norm)) return;
  extended_.assign(items_, items_ + values_.size());
  share_rest(share_of_rest(norm, values_.size(), candidates), lists.items(), is_candidate);
}

void ListValues::by_score(const RankedLists::List& list, const ListTerms& terms,
                          const FusionOptions& options) {
  const std::size_t count = values_.size();
  const Norm norm = options.norm_in_use();
  if (norm == Norm::kNone) {
    std::copy_n(list.scores.data(), count, values_.data());
  } else if (norm == Norm::kAtan) {
    for (std::size_t i = 0; i < count; ++i) {
      values_[i] = 0.5 + std::atan(list.scores[i]) / std::numbers::pi;
    }
  } else if (norm == Norm::kLogOdds) {
    log_odds(terms.calibration, list.scores.data(), count, values_.data());
  } else {
    apply(line_of(norm, list, terms, options), list.scores.data(), count, values_.data());
  }
}

void ListValues::by_rank(const RankedLists::List& list, const Label* labels, double weight,
                         const FusionOptions& options, std::size_t candidates) {
  const std::size_t count = values_.size();
  if (count == list.retrieved) {
    values_by_rank(options, weight, candidates, values_);
    return;
  }
  ranked_.resize(count);
  values_by_rank(options, weight, candidates, ranked_);
  rank_all(list, labels);
  for (std::size_t rank = 0; rank < count; ++rank) values_[order_[rank]] = ranked_[rank];
}

// Completed scores among the retrieved ones, which keep their order; behind them at equal scores.
void ListValues::rank_all(const RankedLists::List& list, const Label* labels) {
  order_.resize(list.items.size());
  std::iota(order_.begin(), order_.end(), 0U);
  const auto completed = order_.begin() + static_cast<std::ptrdiff_t>(list.retrieved);
  const auto above = [&list](std::uint32_t a, std::uint32_t b) {
    return list.scores[a] > list.scores[b];
  };
  std::sort(completed, order_.end(), [&](std::uint32_t a, std::uint32_t b) {
    if (list.scores[a] != list.scores[b]) return above(a, b);
    return labels[list.items[a]] < labels[list.items[b]];
  });
  std::inplace_merge(order_.begin(), completed, order_.end(), above);
}

void ListValues::share_rest(double share, std::size_t items,
                            const std::vector<std::uint8_t>& is_candidate) {
  held_.assign(items, 0);
  for (const Item item : extended_) held_[item] = 1;
  for (std::size_t item = 0; item < items; ++item) {
    if (held_[item] != 0 || (!is_candidate.empty() && is_candidate[item] == 0)) continue;
    extended_.push_back(static_cast<Item>(item));
    values_.push_back(share);
  }
  items_ = extended_.data();
}

}  // namespace gapless
