#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "bindings/bind.h"
#include "bindings/fusion_keywords.h"
#include "bindings/numpy.h"
#include "core/error.h"
#include "query/fuse.h"

namespace gapless::bindings {
namespace {

// A list as the caller gives it: scores and ids of one query (n,) or of a batch (nq, n).
struct GivenList {
  Doubles scores;
  Labels ids;
  std::size_t depth() const { return static_cast<std::size_t>(ids.shape(ids.ndim() - 1)); }
};

bool of_one_shape(const py::array& a, const py::array& b) {
  return a.ndim() == b.ndim() && std::equal(a.shape(), a.shape() + a.ndim(), b.shape());
}

Labels as_ids(const py::handle& given, const std::string& where) {
  if (py::isinstance<Labels>(given)) return py::reinterpret_borrow<Labels>(given);
  const py::array ids = py::array::ensure(given);
  const char kind = ids ? ids.dtype().kind() : 'O';
  if (!ids || (ids.size() > 0 && kind != 'i' && kind != 'u')) {
    PyErr_Clear();
    throw InvalidArgument(where + " has ids that are no integers");
  }
  return Labels::ensure(ids.attr("astype")("int64"));
}

GivenList as_list(const py::tuple& pair, std::size_t list) {
  const std::string where = "list " + std::to_string(list);
  if (pair.size() != 2) throw InvalidArgument(where + " is not a pair (scores, ids)");
  GivenList found{Doubles::ensure(pair[0]), as_ids(pair[1], where)};
  if (!found.scores || !found.ids || !of_one_shape(found.scores, found.ids) ||
      found.ids.ndim() < 1 || found.ids.ndim() > 2) {
    PyErr_Clear();
    throw InvalidArgument(where + " needs scores and ids of one shape, (n,) or (nq, n)");
  }
  return found;
}

std::vector<std::vector<double>> as_cohorts(const std::optional<std::vector<ArrayLike>>& cohorts,
                                            std::size_t lists, const std::string& method) {
  if (!cohorts || cohorts->size() != lists) {
    throw InvalidArgument("'" + method +
                          "' needs cohorts=: for each list the query's scores against a "
                          "background sample");
  }
  std::vector<std::vector<double>> found;
  for (const ArrayLike& cohort : *cohorts) {
    const Doubles scores = Doubles::ensure(cohort);
    if (!scores || scores.size() < 2 ||
        !std::all_of(scores.data(), scores.data() + scores.size(),
                     [](double score) { return std::fabs(score) <= kLargestScore; })) {
      PyErr_Clear();
      throw InvalidArgument(
          "a cohort needs at least 2 scores, better 1,000, all of them finite and at most 1e100 in "
          "size");
    }
    found.emplace_back(scores.data(), scores.data() + scores.size());
  }
  return found;
}

std::vector<ListCalibration> as_list_calibrations(
    const std::optional<std::vector<py::object>>& calibrations,
    const std::optional<std::vector<ArrayLike>>& cohorts, std::size_t lists, bool batch) {
  if (!calibrations || calibrations->size() != lists) {
    throw InvalidArgument("'calibrated' needs calibrations=: one for each of the " +
                          std::to_string(lists) + " lists");
  }
  std::vector<ListCalibration> found;
  for (const py::object& calibration : *calibrations) {
    found.push_back({as_calibration(calibration), 0.0});
    if (found.back().map) continue;
    throw InvalidArgument("list " + std::to_string(found.size() - 1) +
                          " has no calibration; 'calibrated' needs one for every list");
  }
  if (std::none_of(found.begin(), found.end(),
                   [](const ListCalibration& one) { return one.map->needs_background(); })) {
    return found;
  }
  if (batch) throw InvalidArgument("calibrations with a background take one query at a time");
  const auto background = as_cohorts(cohorts, lists, "calibrated");
  for (std::size_t i = 0; i < lists; ++i) {
    found[i].level = quantile_of(background[i], found[i].map->quantile);
  }
  return found;
}

using FusedLists = py::typing::Tuple<Doubles, Labels>;

std::vector<GivenList> as_lists(const std::vector<py::typing::Tuple<ArrayLike, ArrayLike>>& lists) {
  std::vector<GivenList> given;
  for (const py::tuple& list : lists) given.push_back(as_list(list, given.size()));
  if (given.empty()) throw InvalidArgument("there are no lists to fuse; give at least one");
  for (const GivenList& list : given) {
    if (list.ids.ndim() == given[0].ids.ndim() &&
        (list.ids.ndim() == 1 || list.ids.shape(0) == given[0].ids.shape(0))) {
      continue;
    }
    throw InvalidArgument(
        "lists are of different batches; give the same number of queries to each");
  }
  return given;
}

std::vector<ListTerms> as_terms(const FusionOptions& options, std::size_t lists, bool batch,
                                const std::optional<std::vector<double>>& weights,
                                const std::optional<std::vector<ArrayLike>>& cohorts,
                                const std::optional<std::vector<py::object>>& calibrations) {
  const std::vector<double> scale = weights.value_or(std::vector<double>(lists, 1.0));
  if (scale.size() != lists) {
    throw InvalidArgument(std::to_string(scale.size()) + " weights for " + std::to_string(lists) +
                          " lists; give one each");
  }
  check_fusion(options, scale);
  std::vector<ListTerms> terms(lists);
  for (std::size_t i = 0; i < lists; ++i) terms[i].weight = scale[i];
  if (options.method == FusionMethod::kCohort) {
    if (batch) throw InvalidArgument("'cohort' takes one query at a time");
    const auto background = as_cohorts(cohorts, lists, "cohort");
    for (std::size_t i = 0; i < lists; ++i) terms[i].cohort = moments(background[i]);
  } else if (options.method == FusionMethod::kCalibrated) {
    const auto maps = as_list_calibrations(calibrations, cohorts, lists, batch);
    for (std::size_t i = 0; i < lists; ++i) terms[i].calibration = maps[i];
  }
  return terms;
}

// Fuses the lists of one query after another. Its memory is kept for the thread's next call.
class BatchFusion {
 public:
  BatchFusion(const std::vector<GivenList>& given, const std::vector<ListTerms>& terms,
              const FusionOptions& options, std::size_t k)
      : given_(given), terms_(terms), options_(options), k_(k) {}

  // Valid until the next call on this thread.
  void fuse(std::size_t query) {
    const std::size_t entries =
        std::accumulate(given_.begin(), given_.end(), std::size_t{0},
                        [](std::size_t sum, const GivenList& list) { return sum + list.depth(); });
    lists().reset(given_.size(), entries);
    for (std::size_t i = 0; i < given_.size(); ++i) {
      const std::size_t depth = given_[i].depth();
      lists().add(i, given_[i].scores.data() + query * depth, given_[i].ids.data() + query * depth,
                  depth);
    }
    fuser().merge(lists(), terms_, options_, k_);
  }
  std::size_t count() const { return fuser().items().size(); }
  void write(double* scores, Label* ids) const {
    for (std::size_t i = 0; i < count(); ++i) {
      scores[i] = fuser().scores()[i];
      ids[i] = lists().labels()[fuser().items()[i]];
    }
  }

 private:
  static RankedLists& lists() {
    thread_local RankedLists kept;
    return kept;
  }
  static Fuser& fuser() {
    thread_local Fuser kept;
    return kept;
  }

  const std::vector<GivenList>& given_;
  const std::vector<ListTerms>& terms_;
  const FusionOptions& options_;
  std::size_t k_;
};

// A single ranking is as long as it is.
FusedLists fuse_one(BatchFusion& fusion) {
  {
    const py::gil_scoped_release release;
    fusion.fuse(0);
  }
  const auto count = static_cast<py::ssize_t>(fusion.count());
  Doubles scores(count);
  Labels ids(count);
  fusion.write(scores.mutable_data(), ids.mutable_data());
  return py::make_tuple(scores, ids);
}

// A batch is padded as searches are.
FusedLists fuse_batch(BatchFusion& fusion, std::size_t queries, std::size_t k) {
  const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(queries),
                                       static_cast<py::ssize_t>(k)};
  Doubles scores(shape);
  Labels ids(shape);
  double* to_scores = scores.mutable_data();
  Label* to_ids = ids.mutable_data();
  {
    const py::gil_scoped_release release;
    std::fill_n(to_scores, queries * k, static_cast<double>(kNoScore));
    std::fill_n(to_ids, queries * k, kNoLabel);
    for (std::size_t query = 0; query < queries; ++query) {
      fusion.fuse(query);
      fusion.write(to_scores + query * k, to_ids + query * k);
    }
  }
  return py::make_tuple(scores, ids);
}

FusedLists fuse_lists(FusionOptions options,
                      const std::vector<py::typing::Tuple<ArrayLike, ArrayLike>>& lists,
                      py::ssize_t k, const std::string& method,
                      const std::optional<std::vector<double>>& weights,
                      const std::optional<std::vector<ArrayLike>>& cohorts,
                      const std::optional<std::vector<py::object>>& calibrations) {
  const std::size_t most = as_count(k, "k");
  options.method = fusion_method(method);
  const std::vector<GivenList> given = as_lists(lists);
  const bool batch = given[0].ids.ndim() == 2;
  const std::vector<ListTerms> terms =
      as_terms(options, given.size(), batch, weights, cohorts, calibrations);
  BatchFusion fusion(given, terms, options, most);
  if (!batch) return fuse_one(fusion);
  return fuse_batch(fusion, static_cast<std::size_t>(given[0].ids.shape(0)), most);
}

}  // namespace

void bind_fuse(py::module_& module) {
  def_with_fusion(module, "fuse", &fuse_lists, py::arg("lists"), py::arg("k"),
                  py::arg("method") = "rrf", py::arg("weights") = py::none(), py::kw_only(),
                  py::arg("cohorts") = py::none(), py::arg("calibrations") = py::none(),
                  R"(Merge ranked lists [(scores, ids), ...], each best first, into the k best.

Lists are (n,), or (nq, n) for a batch; an id of -1 ends a row. Returns (scores float64, ids int64);
equal scores rank by ascending id.

A method makes values of each list's ranks or scores and merges an item's. Below, s is a list's score
of an item, r its rank from 1, w the list's weight, n the list's length, N the number of all items, m
the number of lists that hold the item; sums and means are over these, and min, max, mean, std over
the list. A list that lacks an item says nothing of it, but in borda.

rrf         sum w / (rrf_k + r - 1 + rank_base)                      (Cormack et al. 2009)
rrf_qdrant  sum 1 / (r / w + rrf_k - 1)                              (Qdrant, where rrf_k is 2)
isr         m sum w / r^2;  log_isr: ln m for m;  logn_isr: ln(m + sigma)     (Mourao et al. 2015)
borda       sum w (N - r + 1); where it is missing w (N - n + 1) / 2
rbc         sum w (1 - phi) phi^(r - 1)                              (Bailey et al. 2017)
convex      sum w (s - lower) / (max - lower) / sum of all |w|       (TM2C2, arXiv 2210.11934)
minmax      sum w (s - min) / (max - min), 1 in a list without spread
zscore      sum w (s - mean) / std
dbsf        sum w (s - mean + 3 std) / (6 std), std with n - 1; 1/2 without spread    (Qdrant)
cohort      (s - mean) / std of `cohorts`, the query's scores against a background sample, by list;
            the mean over the lists, weighted by w
calibrated  the probability that `calibrations`, one for each list, make of s; `combine` makes one of
            an item's: "max" the largest 1 - (1 - p)^w, "noisy_or" 1 - product of (1 - p)^w,
            "mean_logit" the mean log-odds, weighted by w. One that has a background needs `cohorts`
combsum     sum w v;  combmnz: m sum w v;  gmnz: m^gamma sum w v;  combanz: sum w v / sum |w|
combmax     the largest w v;  combmin: the smallest;  combmed: the median      (Fox and Shaw 1993)

where v is s after `norm`: "none" (the default of combmax: what one index would do), "minmax" (the
default of the others; 0 without spread), "minmax_inverted", "max" s / max, "sum" (s - min) / sum of
(s - min), "zmuv" the z-score, "rank" 1 - (r - 1) / n, "borda" 1 - (r - 1) / N, where it is missing
1/2 - (n - 1) / 2N, as ranx has them, denominators at least 1e-9; and "l2" s / root of the sum of s^2,
"dbsf", "cosine" (1 + s) / 2, "atan" 1/2 + atan(s) / pi.

Weights are 0 (the list says nothing) or 1e-6 to 1e6 in size. A negative one says "not like this", in
convex, dbsf, minmax, zscore, cohort, combsum and combanz by score, and "mean_logit"; what only such
lists hold is left out. complete_ranks is for searches, which complete lists.

Raises InvalidArgument for unsorted lists, NaN, scores above 1e100 in size, an id twice in a list, or
unusable numbers.)");
}

}  // namespace gapless::bindings
