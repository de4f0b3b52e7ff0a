#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>

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
};

GivenList as_list(const py::tuple& pair, std::size_t list) {
  const std::string where = "list " + std::to_string(list);
  if (pair.size() != 2) throw InvalidArgument(where + " is not a pair (scores, ids)");
  const py::array ids = py::array::ensure(pair[1]);
  const char kind = ids ? ids.dtype().kind() : 'O';
  if (!ids || (ids.size() > 0 && kind != 'i' && kind != 'u')) {
    PyErr_Clear();
    throw InvalidArgument(where + " has ids that are no integers");
  }
  GivenList found{Doubles::ensure(pair[0]), Labels::ensure(ids.attr("astype")("int64"))};
  const bool equal =
      found.scores && found.ids && found.scores.ndim() == found.ids.ndim() &&
      std::equal(found.ids.shape(), found.ids.shape() + found.ids.ndim(), found.scores.shape());
  if (!equal || found.ids.ndim() < 1 || found.ids.ndim() > 2) {
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
                     [](double score) { return std::isfinite(score); })) {
      PyErr_Clear();
      throw InvalidArgument("a cohort needs at least 2 scores, better 1,000, all of them finite");
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

FusedLists fuse_lists(FusionOptions options,
                      const std::vector<py::typing::Tuple<ArrayLike, ArrayLike>>& lists,
                      py::ssize_t k, const std::string& method,
                      const std::optional<std::vector<double>>& weights,
                      const std::optional<std::vector<ArrayLike>>& cohorts,
                      const std::optional<std::vector<py::object>>& calibrations) {
  const std::size_t most = as_count(k, "k");
  options.method = fusion_method(method);
  std::vector<GivenList> given;
  for (const py::tuple& list : lists) given.push_back(as_list(list, given.size()));
  if (given.empty()) throw InvalidArgument("there are no lists to fuse; give at least one");
  const std::vector<double> scale = weights.value_or(std::vector<double>(given.size(), 1.0));
  if (scale.size() != given.size()) {
    throw InvalidArgument(std::to_string(scale.size()) + " weights for " +
                          std::to_string(given.size()) + " lists; give one each");
  }
  check_fusion(options, scale);
  const bool batch = given[0].ids.ndim() == 2;
  const std::size_t queries = batch ? static_cast<std::size_t>(given[0].ids.shape(0)) : 1;
  for (const GivenList& list : given) {
    if ((list.ids.ndim() == 2) == batch &&
        (!batch || static_cast<std::size_t>(list.ids.shape(0)) == queries)) {
      continue;
    }
    throw InvalidArgument(
        "lists are of different batches; give the same number of queries to each");
  }
  std::vector<Moments> background(given.size());
  if (options.method == FusionMethod::kCohort) {
    if (batch) throw InvalidArgument("'cohort' takes one query at a time");
    background.clear();
    for (const std::vector<double>& sample : as_cohorts(cohorts, given.size(), method)) {
      background.push_back(moments(sample));
    }
  }
  std::vector<ListCalibration> maps(given.size());
  if (options.method == FusionMethod::kCalibrated) {
    maps = as_list_calibrations(calibrations, cohorts, given.size(), batch);
  }
  std::vector<Fused> fused(queries);
  std::vector<RankTable> tables(queries);
  std::size_t longest = 0;
  {
    const py::gil_scoped_release release;
    for (std::size_t q = 0; q < queries; ++q) {
      tables[q].lists = given.size();
      tables[q].cohorts = background;
      tables[q].calibrations = maps;
      for (std::size_t i = 0; i < given.size(); ++i) {
        const auto depth = static_cast<std::size_t>(given[i].ids.shape(given[i].ids.ndim() - 1));
        tables[q].add_list(i, given[i].scores.data() + q * depth, given[i].ids.data() + q * depth,
                           depth);
      }
      fused[q] = fuse(tables[q], scale, options, most);
      longest = std::max(longest, fused[q].items.size());
    }
  }
  // A batch is padded as searches are; a single ranking is as long as it is.
  const std::size_t width = batch ? most : longest;
  std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(width)};
  if (batch) shape.insert(shape.begin(), static_cast<py::ssize_t>(queries));
  Doubles scores(shape);
  Labels labels(shape);
  for (std::size_t cell = 0; cell < queries * width; ++cell) {
    const std::size_t q = cell / width;
    const std::size_t i = cell % width;
    const bool there = i < fused[q].items.size();
    scores.mutable_data()[cell] = there ? fused[q].scores[i] : static_cast<double>(kNoScore);
    labels.mutable_data()[cell] = there ? tables[q].labels[fused[q].items[i]] : kNoLabel;
  }
  return py::make_tuple(scores, labels);
}

}  // namespace

void bind_fuse(py::module_& module) {
  def_with_fusion(module, "fuse", &fuse_lists, py::arg("lists"), py::arg("k"),
                  py::arg("method") = "rrf", py::arg("weights") = py::none(), py::kw_only(),
                  py::arg("cohorts") = py::none(), py::arg("calibrations") = py::none(),
                  R"(Merge ranked lists [(scores, ids), ...], each best first, into the k best.

Lists are (n,), or (nq, n) for a batch; an id of -1 ends a row. Returns (scores float64, ids int64).
With s a list's score of an item and w the list's weight, summed over the lists that hold the item:

rrf      w / (rrf_k + rank), the best rank being rank_base      (Cormack et al. 2009)
convex   w (s - lower) / (max - lower) / sum of all w           (TM2C2, arXiv 2210.11934)
minmax   w (s - min) / (max - min)
zscore   w (s - mean) / std of the list
cohort   (s - mean) / std of `cohorts`, the query's scores against a background sample, by list; the
         mean over the lists that have the item, weighted by w
combmax  the largest w s
calibrated  the probability that `calibrations`, one for each list, make of s; `combine` makes one
            of an item's: "max" the largest 1 - (1 - p)^w, "noisy_or" 1 - product of (1 - p)^w,
            "mean_logit" the mean log-odds, weighted by w. One that has a background needs `cohorts`

A list of weight 0 says nothing.
Equal scores rank by ascending id. Raises InvalidArgument for unsorted lists, NaN, an id twice in a
list, or unusable numbers.)");
}

}  // namespace gapless::bindings
