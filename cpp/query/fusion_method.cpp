#include "query/fusion_method.h"

#include <array>
#include <cstddef>
#include <cstdio>

#include "core/error.h"

namespace gapless {
namespace {

using enum FusionMethod;

constexpr std::array<MethodParts, 20> kMethods = {{
    {kRrf, "rrf", Norm::kReciprocal, false, Rule::kSum, Factor::kOne},
    {kRrfQdrant, "rrf_qdrant", Norm::kWeightedReciprocal, false, Rule::kSum, Factor::kOne},
    {kIsr, "isr", Norm::kInverseSquare, false, Rule::kSum, Factor::kCount},
    {kLogIsr, "log_isr", Norm::kInverseSquare, false, Rule::kSum, Factor::kLog},
    {kLognIsr, "logn_isr", Norm::kInverseSquare, false, Rule::kSum, Factor::kLogSigma},
    {kBorda, "borda", Norm::kPoints, false, Rule::kSum, Factor::kOne},
    {kRbc, "rbc", Norm::kGeometric, false, Rule::kSum, Factor::kOne},
    {kCombSum, "combsum", Norm::kMinMax, true, Rule::kSum, Factor::kOne},
    {kCombMnz, "combmnz", Norm::kMinMax, true, Rule::kSum, Factor::kCount},
    {kCombMin, "combmin", Norm::kMinMax, true, Rule::kMin, Factor::kOne},
    {kCombMax, "combmax", Norm::kNone, true, Rule::kMax, Factor::kOne},
    {kCombMed, "combmed", Norm::kMinMax, true, Rule::kMedian, Factor::kOne},
    {kCombAnz, "combanz", Norm::kMinMax, true, Rule::kMean, Factor::kOne},
    {kGmnz, "gmnz", Norm::kMinMax, true, Rule::kSum, Factor::kPower},
    {kConvex, "convex", Norm::kAboveLower, false, Rule::kSum, Factor::kShareOfWeight},
    {kDbsf, "dbsf", Norm::kDbsf, false, Rule::kSum, Factor::kOne},
    {kMinMax, "minmax", Norm::kRange, false, Rule::kSum, Factor::kOne},
    {kZScore, "zscore", Norm::kStandard, false, Rule::kSum, Factor::kOne},
    {kCohort, "cohort", Norm::kCohort, false, Rule::kMean, Factor::kOne},
    {kCalibrated, "calibrated", Norm::kLogOdds, false, Rule::kMax, Factor::kOne},
}};

struct NormName {
  Norm norm;
  const char* name;
};
constexpr std::array<NormName, 12> kNorms = {{{Norm::kNone, "none"},
                                              {Norm::kMinMax, "minmax"},
                                              {Norm::kMinMaxInverted, "minmax_inverted"},
                                              {Norm::kMax, "max"},
                                              {Norm::kSum, "sum"},
                                              {Norm::kZmuv, "zmuv"},
                                              {Norm::kRank, "rank"},
                                              {Norm::kBorda, "borda"},
                                              {Norm::kL2, "l2"},
                                              {Norm::kDbsf, "dbsf"},
                                              {Norm::kCosine, "cosine"},
                                              {Norm::kAtan, "atan"}}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kMethods.size(); ++i) {
    if (static_cast<std::size_t>(kMethods[i].method) != i) return false;
  }
  for (std::size_t i = 0; i < kNorms.size(); ++i) {
    if (static_cast<std::size_t>(kNorms[i].norm) != i) return false;
  }
  return true;
}
static_assert(in_order(), "both tables are indexed by their enum");

template <typename Table>
const auto& named(const Table& table, const std::string& name, const char* what) {
  std::string known;
  for (const auto& entry : table) {
    if (name == entry.name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw InvalidArgument(what + (" '" + name) + "' is not known; use one of " + known);
}

}  // namespace

const MethodParts& parts_of(FusionMethod method) {
  return kMethods[static_cast<std::size_t>(method)];
}

FusionMethod fusion_method(const std::string& name) {
  return named(kMethods, name, "fusion method").method;
}

Norm fusion_norm(const std::string& name) { return named(kNorms, name, "norm").norm; }

const char* norm_name(Norm norm) { return kNorms[static_cast<std::size_t>(norm)].name; }

bool by_rank(Norm norm) {
  switch (norm) {
    case Norm::kRank:
    case Norm::kBorda:
    case Norm::kReciprocal:
    case Norm::kWeightedReciprocal:
    case Norm::kInverseSquare:
    case Norm::kGeometric:
    case Norm::kPoints:
      return true;
    default:
      return false;
  }
}

bool shares_rest(Norm norm) { return norm == Norm::kBorda || norm == Norm::kPoints; }

std::string as_text(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", number);
  return text;
}

}  // namespace gapless
