#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>

#include "bindings/bind.h"
#include "bindings/numpy.h"
#include "core/error.h"
#include "query/fuse.h"
#include "query/search.h"

namespace gapless::bindings {
namespace {

FusionOptions as_fusion(const std::string& method, double rrf_k, int rank_base, double lower,
                        const std::string& combine) {
  FusionOptions options;
  options.method = fusion_method(method);
  options.rrf_k = rrf_k;
  options.rank_base = rank_base;
  options.lower = lower;
  options.combine = combine_rule(combine);
  return options;
}

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

FusedLists fuse_lists(const std::vector<py::typing::Tuple<ArrayLike, ArrayLike>>& lists,
                      py::ssize_t k, const std::string& method,
                      const std::optional<std::vector<double>>& weights, double rrf_k,
                      int rank_base, double lower,
                      const std::optional<std::vector<ArrayLike>>& cohorts,
                      const std::optional<std::vector<py::object>>& calibrations,
                      const std::string& combine) {
  const std::size_t most = as_count(k, "k");
  const FusionOptions options = as_fusion(method, rrf_k, rank_base, lower, combine);
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

FieldSearch make_search(std::shared_ptr<Index> index, const ArrayLike& query, double weight,
                        std::optional<py::ssize_t> ef,
                        const std::optional<std::string>& query_modality,
                        const OptionalArrayLike& filter, const OptionalArrayLike& cohort,
                        const py::object& calibration, const std::string& field) {
  const Rows row = as_rows(query, 0, true, "queries");
  if (row.count != 1) throw InvalidArgument("a FieldSearch takes one query");
  FieldSearch search;
  search.index = std::move(index);
  search.query.assign(row.data(), row.data() + row.dim);
  search.weight = weight;
  search.ef = ef ? as_count(*ef, "ef") : 0;
  search.query_modality = query_modality.value_or("");
  search.filter = as_filter(filter);
  search.calibration = as_calibration(calibration);
  search.field = field;
  if (!cohort.is_none()) {
    const Labels labels = as_labels(cohort);
    search.cohort.assign(labels.data(), labels.data() + labels.size());
  }
  return search;
}

FusedHits run(const std::vector<FieldSearch>& searches, py::ssize_t k, const std::string& method,
              std::optional<py::ssize_t> depth, double rrf_k, int rank_base, double lower,
              const std::string& combine) {
  const std::size_t most = as_count(k, "k");
  const std::size_t deep = depth ? as_count(*depth, "depth") : 0;
  const FusionOptions options = as_fusion(method, rrf_k, rank_base, lower, combine);
  const py::gil_scoped_release release;
  return search_fields(searches, most, deep, options);
}

template <typename T>
auto matrix(std::vector<T> FusedHits::*values) {
  return [values](const FusedHits& hits) {
    return as_array(std::vector<T>(hits.*values), {static_cast<py::ssize_t>(hits.labels.size()),
                                                   static_cast<py::ssize_t>(hits.lists)});
  };
}

}  // namespace

void bind_query(py::module_& module) {
  module.def("fuse", &fuse_lists, py::arg("lists"), py::arg("k"), py::arg("method") = "rrf",
             py::arg("weights") = py::none(), py::kw_only(), py::arg("rrf_k") = 60.0,
             py::arg("rank_base") = 1, py::arg("lower") = -1.0, py::arg("cohorts") = py::none(),
             py::arg("calibrations") = py::none(), py::arg("combine") = "max",
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

  py::class_<FieldSearch>(module, "FieldSearch", R"(One list of a mixed-modality query.

A query vector (dim,) against an index, with its weight, effort, query modality, filter, and for the
method "cohort" the ids of background rows (those no longer present are skipped). The method
"calibrated" wants a Calibration, and background rows where that has a background; `field` is the
name that messages call this list by.)")
      .def(py::init(&make_search), py::arg("index").none(false), py::arg("query"), py::kw_only(),
           py::arg("weight") = 1.0, py::arg("ef") = py::none(),
           py::arg("query_modality") = py::none(), py::arg("filter") = py::none(),
           py::arg("cohort") = py::none(), py::arg("calibration") = py::none(),
           py::arg("field") = "");

  py::class_<FusedHits>(module, "FusedHits",
                        "A fused ranking of n items, and what each list said of each item.")
      .def_property_readonly(
          "scores", [](const FusedHits& h) { return as_array(std::vector<double>(h.scores)); },
          "Fused scores (n,), best first.")
      .def_property_readonly(
          "ids", [](const FusedHits& h) { return as_array(std::vector<Label>(h.labels)); },
          "Ids (n,).")
      .def_property_readonly("ranks", matrix(&FusedHits::ranks),
                             "Ranks (n, lists) from 1; 0 where the list did not retrieve the item.")
      .def_property_readonly("raw", matrix(&FusedHits::raw),
                             "Aligned scores (n, lists), completed; NaN where there is no row.")
      .def_property_readonly(
          "normalised", matrix(&FusedHits::normalised),
          "What each list gave before its weight (n, lists), of \"calibrated\" the "
          "probability; NaN for nothing.")
      .def("__len__", [](const FusedHits& h) { return h.labels.size(); });

  module.def("search_fields", &run, py::arg("searches"), py::arg("k"), py::arg("method") = "rrf",
             py::kw_only(), py::arg("depth") = py::none(), py::arg("rrf_k") = 60.0,
             py::arg("rank_base") = 1, py::arg("lower") = -1.0, py::arg("combine") = "max",
             R"(Search several fields, complete and fuse in one native call; returns FusedHits.

Each field is searched `depth` deep (default max(k, 100)). An item found in one field gets its exact
score in every other where it has a row; "rrf" ignores these completed scores, and lists' means,
deviations and ranges come from what was retrieved. Methods and errors are those of fuse().)");
}

}  // namespace gapless::bindings
