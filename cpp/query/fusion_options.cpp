#include "query/fusion_options.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "core/error.h"
#include "query/ranked_lists.h"

namespace gapless {
namespace {

constexpr double kLeastWeight = 1e-6;
constexpr double kMostWeight = 1e6;
constexpr double kLeastDenominator = 1e-6;

void check_range(const char* name, double value, bool inside, const char* range) {
  if (inside) return;
  throw InvalidArgument(std::string(name) + " is " + as_text(value) + "; give " + range);
}

const char* combine_name(Combine rule) {
  switch (rule) {
    case Combine::kNoisyOr:
      return "noisy_or";
    case Combine::kMeanLogit:
      return "mean_logit";
    default:
      return "max";
  }
}

// As messages name the method: with what is not its default and decides on negative weights.
std::string described(const FusionOptions& options) {
  std::string name = std::string("'").append(parts_of(options.method).name);
  if (options.norm) name.append("' with norm '").append(norm_name(*options.norm));
  if (options.method == FusionMethod::kCalibrated) {
    name.append("' with combine '").append(combine_name(options.combine));
  }
  return name.append("'");
}

void check_weights(const FusionOptions& options, const std::vector<double>& weights,
                   const std::vector<std::string>& names) {
  bool positive = false;
  bool negative = false;
  for (std::size_t list = 0; list < weights.size(); ++list) {
    const double weight = weights[list];
    const double size = std::fabs(weight);
    const auto refuse = [&](const std::string& why) {
      throw InvalidArgument("weight " + as_text(weight) + " of " +
                            (names.empty() ? "list " + std::to_string(list) : names[list]) + why);
    };
    if (!std::isfinite(weight)) refuse(" is not finite");
    if (weight != 0.0 && (size < kLeastWeight || size > kMostWeight)) {
      refuse(" is out of range; give 0, or 1e-6 to 1e6 in size");
    }
    if (weight < 0.0 && !takes_negative(options)) {
      refuse(" is negative, which " + described(options) +
             " has no sense for; give 0 or more, or use a sum or mean of scores: convex, dbsf, "
             "minmax, zscore, cohort, combsum, combanz, or calibrated with combine 'mean_logit'");
    }
    positive = positive || weight > 0.0;
    negative = negative || weight < 0.0;
  }
  if (weights.empty() || positive) return;
  if (negative) {
    throw InvalidArgument(
        "no weight is positive; a negative one only lowers what another list finds, so give at "
        "least one list a positive weight");
  }
  throw InvalidArgument("all weights are 0; give at least one list a positive weight");
}

}  // namespace

Rule FusionOptions::rule() const {
  if (method != FusionMethod::kCalibrated) return parts_of(method).rule;
  switch (combine) {
    case Combine::kNoisyOr:
      return Rule::kSum;
    case Combine::kMeanLogit:
      return Rule::kMean;
    default:
      return Rule::kMax;
  }
}

bool takes_negative(const FusionOptions& options) {
  if (by_rank(options.norm_in_use())) return false;
  if (options.method == FusionMethod::kCalibrated) return options.combine == Combine::kMeanLogit;
  const MethodParts& parts = parts_of(options.method);
  const bool plain = parts.factor == Factor::kOne || parts.factor == Factor::kShareOfWeight;
  return plain && (parts.rule == Rule::kSum || parts.rule == Rule::kMean);
}

void check_fusion(const FusionOptions& options, const std::vector<double>& weights,
                  const std::vector<std::string>& names) {
  const MethodParts& parts = parts_of(options.method);
  if (options.norm && !parts.any_norm) {
    throw InvalidArgument(
        "norm is '" + std::string(norm_name(*options.norm)) + "', and method '" + parts.name +
        "' has its own; leave it out, or use combsum, combmnz, combmin, combmax, combmed, combanz "
        "or gmnz");
  }
  if (options.rank_base != 0 && options.rank_base != 1) {
    throw InvalidArgument("rank_base is " + std::to_string(options.rank_base) + "; use 0 or 1");
  }
  if (!std::isfinite(options.rrf_k) || options.rrf_k + options.rank_base < kLeastDenominator) {
    throw InvalidArgument("rrf_k is " + as_text(options.rrf_k) +
                          "; rrf_k + rank_base must be finite and at least 1e-6");
  }
  if (options.method == FusionMethod::kRrfQdrant) {
    check_range("rrf_k", options.rrf_k, options.rrf_k >= 1.0, "1 or more for 'rrf_qdrant'");
  }
  check_range("lower", options.lower, std::fabs(options.lower) <= kLargestScore,
              "a finite number of at most 1e100 in size");
  check_range("phi", options.phi, options.phi >= 0.0 && options.phi < 1.0,
              "at least 0 and below 1");
  check_range("gamma", options.gamma, options.gamma >= 0.0 && options.gamma <= 10.0, "0 to 10");
  check_range("sigma", options.sigma, options.sigma >= 0.0 && options.sigma <= 1.0, "0 to 1");
  check_weights(options, weights, names);
}

}  // namespace gapless
