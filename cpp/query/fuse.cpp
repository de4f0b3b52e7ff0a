#include "query/fuse.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "query/evidence_bound.h"

namespace gapless {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

// The one weight that all lists that say something have; 0 when they differ.
double common_weight(const std::vector<ListTerms>& terms) {
  double common = 0.0;
  for (const ListTerms& list : terms) {
    if (list.weight == 0.0) continue;
    if (common != 0.0 && list.weight != common) return 0.0;
    common = list.weight;
  }
  return common;
}

double total_weight(const std::vector<ListTerms>& terms) {
  double total = 0.0;
  for (const ListTerms& list : terms) total += std::fabs(list.weight);
  return total;
}

double factor(Factor kind, double count, const FusionOptions& options) {
  switch (kind) {
    case Factor::kCount:
      return count;
    case Factor::kLog:
      return std::log(count);
    case Factor::kLogSigma:
      return std::log(count + options.sigma);
    case Factor::kPower:
      return std::pow(count, options.gamma);
    default:
      return 1.0;
  }
}

double median(double* values, std::size_t count) {
  std::sort(values, values + count);
  const double upper = values[count / 2];
  return count % 2 == 1 ? upper : (values[count / 2 - 1] + upper) / 2.0;
}

}  // namespace

void Fuser::merge(const RankedLists& lists, const std::vector<ListTerms>& terms,
                  const FusionOptions& options, std::size_t k) {
  const std::size_t items = lists.items();
  lists_ = lists.lists();
  if (said_.size() < lists_) said_.resize(lists_);
  find_candidates(lists, terms, options);
  for (std::size_t list = 0; list < lists_; ++list) {
    if (terms[list].weight == 0.0) {
      said_[list].clear();
    } else {
      said_[list].normalise(lists, list, terms[list], options, candidates_, is_candidate_);
    }
  }
  const bool calibrated = options.method == FusionMethod::kCalibrated;
  if (calibrated && options.combine != Combine::kMeanLogit) {
    merge_evidence(lists, terms, options, k);
  } else {
    total(options.rule(), terms, items);
    multiply(options, terms, items);
    leave_out_strangers();
  }
  best_merged(totals_.data(), lists.labels(), items, k, best_);
  scores_.resize(best_.size());
  items_.resize(best_.size());
  const double common = common_weight(terms);
  for (std::size_t i = 0; i < best_.size(); ++i) {
    double score = best_[i].score;
    if (calibrated) {
      if (options.combine == Combine::kMax && common > 0.0) {
        score = common * evidence(options.combine, score);
      }
      score = probability_of_evidence(options.combine, score);
    }
    scores_[i] = score;
    items_[i] = best_[i].item;
  }
}

void Fuser::find_candidates(const RankedLists& lists, const std::vector<ListTerms>& terms,
                            const FusionOptions& options) {
  candidates_ = lists.items();
  is_candidate_.clear();
  // Every item was retrieved by some list, so all count unless a list does not.
  if (std::all_of(terms.begin(), terms.end(), [](const ListTerms& t) { return t.weight > 0.0; })) {
    return;
  }
  is_candidate_.assign(lists.items(), 0);
  for (std::size_t list = 0; list < lists_; ++list) {
    if (terms[list].weight <= 0.0) continue;
    const RankedLists::List& of = lists.list(list);
    const std::size_t count = spoken(of, options);
    for (std::size_t i = 0; i < count; ++i) is_candidate_[of.items[i]] = 1;
  }
  candidates_ = static_cast<std::size_t>(std::count(is_candidate_.begin(), is_candidate_.end(), 1));
}

void Fuser::total(Rule rule, const std::vector<ListTerms>& terms, std::size_t items) {
  if (rule == Rule::kMedian) return take_medians(terms, items);
  const bool extreme = rule == Rule::kMax || rule == Rule::kMin;
  totals_.assign(items, !extreme ? 0.0 : rule == Rule::kMax ? -kInfinity : kInfinity);
  const auto merge_list = rule == Rule::kMax   ? &merge_max
                          : rule == Rule::kMin ? &merge_min
                                               : &merge_sum;
  for (std::size_t list = 0; list < lists_; ++list) {
    const ListValues& said = said_[list];
    merge_list(said.values(), said.items(), said.size(), terms[list].weight, totals_.data());
  }
  if (rule == Rule::kMean) divide_by_weight(terms, items);
}

void Fuser::divide_by_weight(const std::vector<ListTerms>& terms, std::size_t items) {
  weights_.assign(items, 0.0);
  for (std::size_t list = 0; list < lists_; ++list) {
    const double weight = std::fabs(terms[list].weight);
    const Item* of = said_[list].items();
    for (std::size_t i = 0; i < said_[list].size(); ++i) weights_[of[i]] += weight;
  }
  for (std::size_t item = 0; item < items; ++item) totals_[item] /= weights_[item];
}

// Which lists say something of an item, as a number by item.
void Fuser::count_values(std::size_t items) {
  counts_.assign(items, 0);
  for (std::size_t list = 0; list < lists_; ++list) {
    const Item* of = said_[list].items();
    for (std::size_t i = 0; i < said_[list].size(); ++i) ++counts_[of[i]];
  }
}

void Fuser::multiply(const FusionOptions& options, const std::vector<ListTerms>& terms,
                     std::size_t items) {
  const Factor kind = parts_of(options.method).factor;
  if (kind == Factor::kOne) return;
  if (kind == Factor::kShareOfWeight) {
    const double all = total_weight(terms);
    for (double& total : totals_) total /= all;
    return;
  }
  count_values(items);
  factors_.assign(1, 0.0);
  for (std::size_t count = 1; count <= lists_; ++count) {
    factors_.push_back(factor(kind, static_cast<double>(count), options));
  }
  for (std::size_t item = 0; item < items; ++item) totals_[item] *= factors_[counts_[item]];
}

void Fuser::take_medians(const std::vector<ListTerms>& terms, std::size_t items) {
  count_values(items);
  places_.resize(items);
  std::uint32_t next = 0;
  for (std::size_t item = 0; item < items; ++item) {
    places_[item] = next;
    next += counts_[item];
  }
  values_.resize(next);
  for (std::size_t list = 0; list < lists_; ++list) {
    const ListValues& said = said_[list];
    for (std::size_t i = 0; i < said.size(); ++i) {
      values_[places_[said.items()[i]]++] = terms[list].weight * said.values()[i];
    }
  }
  totals_.assign(items, kNothing);
  for (std::size_t item = 0; item < items; ++item) {
    if (counts_[item] == 0) continue;
    totals_[item] = median(values_.data() + (places_[item] - counts_[item]), counts_[item]);
  }
}

// The evidence that log-odds are, added or its largest taken. Lists of one weight need none for the
// largest: evidence rises with the log-odds.
void Fuser::merge_evidence(const RankedLists& lists, const std::vector<ListTerms>& terms,
                           const FusionOptions& options, std::size_t k) {
  const bool largest = options.combine == Combine::kMax;
  const bool plain = largest && common_weight(terms) > 0.0;
  const auto merge_list = largest ? &merge_max : &merge_sum;
  totals_.assign(lists.items(), largest ? -kInfinity : 0.0);
  for (std::size_t list = 0; list < lists_; ++list) {
    const ListValues& said = said_[list];
    if (plain) {
      merge_list(said.values(), said.items(), said.size(), 1.0, totals_.data());
      continue;
    }
    values_.resize(said.size());
    bound_evidence(said.values(), said.size(), values_.data());
    merge_list(values_.data(), said.items(), said.size(), terms[list].weight, totals_.data());
  }
  leave_out_strangers();
  if (!plain) weigh_contenders(lists, terms, options, k);
}

// Makes totals of bounds exact for the items that may be among the k best, and drops all others.
void Fuser::weigh_contenders(const RankedLists& lists, const std::vector<ListTerms>& terms,
                             const FusionOptions& options, std::size_t k) {
  const bool largest = options.combine == Combine::kMax;
  best_merged(totals_.data(), lists.labels(), lists.items(), k, best_);
  // The k-th best total is at least this; what is bounded below that is not among them.
  const double least = best_.size() < k ? -kInfinity : best_.back().score / (1.0 + kBoundExcess);
  for (double& total : totals_) total = total >= least ? 0.0 : kNothing;
  for (std::size_t list = 0; list < lists_; ++list) {
    const ListValues& said = said_[list];
    for (std::size_t i = 0; i < said.size(); ++i) {
      double& total = totals_[said.items()[i]];
      if (std::isnan(total)) continue;
      const double more = terms[list].weight * evidence(options.combine, said.values()[i]);
      total = largest ? std::max(total, more) : total + more;
    }
  }
}

// What no list of positive weight speaks of.
void Fuser::leave_out_strangers() {
  for (std::size_t item = 0; item < is_candidate_.size(); ++item) {
    if (is_candidate_[item] == 0) totals_[item] = kNothing;
  }
}

void Fuser::contributions(const RankedLists& lists, const FusionOptions& options,
                          Contributions& found) {
  const std::size_t cells = items_.size() * lists_;
  found.ranks.assign(cells, 0);
  found.raw.assign(cells, kNothing);
  found.normalised.assign(cells, kNothing);
  places_.assign(lists.items(), 0);
  for (std::size_t i = 0; i < items_.size(); ++i) {
    places_[items_[i]] = static_cast<std::uint32_t>(i + 1);
  }
  for (std::size_t list = 0; list < lists_; ++list) {
    const RankedLists::List& of = lists.list(list);
    for (std::size_t i = 0; i < of.items.size(); ++i) {
      if (places_[of.items[i]] == 0) continue;
      const std::size_t cell = (places_[of.items[i]] - 1) * lists_ + list;
      found.raw[cell] = of.scores[i];
      if (i < of.retrieved) found.ranks[cell] = static_cast<std::int32_t>(i + 1);
    }
    const ListValues& said = said_[list];
    for (std::size_t i = 0; i < said.size(); ++i) {
      if (places_[said.items()[i]] == 0) continue;
      const double value = said.values()[i];
      found.normalised[(places_[said.items()[i]] - 1) * lists_ + list] =
          options.method == FusionMethod::kCalibrated ? probability(value) : value;
    }
  }
}

}  // namespace gapless
