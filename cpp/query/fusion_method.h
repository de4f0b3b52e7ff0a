#pragma once

#include <string>

namespace gapless {

// What a list makes of the rank r (from 1) or the score s of an item, n being the items that the
// list retrieved, and all statistics theirs: a completed score may map outside. A list that
// retrieved nothing takes them from its completed scores. By rank: only what was retrieved has one,
// unless completed scores are ranked too.
enum class Norm {
  // Named in options. These are those of ranx, denominators floored at 1e-9 ...
  kNone,            // s
  kMinMax,          // (s - min) / (max - min); without spread 0
  kMinMaxInverted,  // (max - s) / (max - min); without spread 0
  kMax,             // s / max
  kSum,             // (s - min) / sum of (s - min); without spread 0
  kZmuv,            // (s - mean) / deviation; without spread 0
  kRank,            // 1 - (r - 1) / n
  kBorda,           // 1 - (r - 1) / items of all lists; an item not there 1/2 - (n - 1) / 2 items
  // ... and these of OpenSearch, Qdrant and Milvus.
  kL2,      // s / root of the sum of squares
  kDbsf,    // (s - (mean - 3 d)) / 6 d, d the sample deviation (n - 1); without spread 1/2
  kCosine,  // (1 + s) / 2
  kAtan,    // 1/2 + atan(s) / pi
  // Only within methods.
  kReciprocal,          // 1 / (rrf_k + r - 1 + rank_base)
  kWeightedReciprocal,  // 1 / (r + w (rrf_k - 1)), w the list's weight
  kInverseSquare,       // 1 / r^2
  kGeometric,           // (1 - phi) phi^(r - 1)
  kPoints,              // items of all lists - r + 1; an item not there shares what is left
  kRange,               // (s - min) / (max - min); without spread 1: all are as good as the best
  kAboveLower,          // (s - lower) / (max - lower); without spread 1
  kStandard,            // (s - mean) / deviation; without spread 0
  kCohort,              // the same by mean and deviation of a fixed background sample
  kLogOdds,             // of the list's calibration
};

// How an item's values become one score, over the lists that say something of it: w is a list's
// weight, m the number of those lists.
enum class Rule { kSum, kMean, kMax, kMin, kMedian };  // of w v; the mean by the sum of |w|

// What the sum is multiplied by.
enum class Factor {
  kOne,
  kCount,         // m
  kLog,           // ln m
  kLogSigma,      // ln(m + sigma)
  kPower,         // m^gamma
  kShareOfWeight  // 1 / sum of |w| over all lists
};

enum class FusionMethod {
  kRrf,
  kRrfQdrant,
  kIsr,
  kLogIsr,
  kLognIsr,
  kBorda,
  kRbc,
  kCombSum,
  kCombMnz,
  kCombMin,
  kCombMax,
  kCombMed,
  kCombAnz,
  kGmnz,
  kConvex,
  kDbsf,
  kMinMax,
  kZScore,
  kCohort,
  kCalibrated
};

struct MethodParts {
  FusionMethod method;
  const char* name;
  Norm norm;      // when none is named
  bool any_norm;  // one may be named
  Rule rule;      // of kCalibrated: as its Combine says
  Factor factor;
};

const MethodParts& parts_of(FusionMethod method);
FusionMethod fusion_method(const std::string& name);  // throws InvalidArgument listing the names
Norm fusion_norm(const std::string& name);            // the same
const char* norm_name(Norm norm);                     // of one that can be named

bool by_rank(Norm norm);
// An item that the list does not hold gets a value too.
bool shares_rest(Norm norm);

// A number in messages: as short as it can be read back.
std::string as_text(double number);

}  // namespace gapless
