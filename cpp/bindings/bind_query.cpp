#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "bindings/fusion_keywords.h"
#include "bindings/numpy.h"
#include "core/error.h"
#include "query/search.h"

namespace gapless::bindings {
namespace {

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

FusedHits run(FusionOptions options, const std::vector<FieldSearch>& searches, py::ssize_t k,
              const std::string& method, std::optional<py::ssize_t> depth) {
  const std::size_t most = as_count(k, "k");
  const std::size_t deep = depth ? as_count(*depth, "depth") : 0;
  options.method = fusion_method(method);
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

  def_with_fusion(module, "search_fields", &run, py::arg("searches"), py::arg("k"),
                  py::arg("method") = "rrf", py::kw_only(), py::arg("depth") = py::none(),
                  R"(Search several fields, complete and fuse in one native call; returns FusedHits.

Each field is searched `depth` deep (default max(k, 100)). An item found in one field gets its exact
score in every other where it has a row; "rrf" ignores these completed scores, and lists' means,
deviations and ranges come from what was retrieved. Methods and errors are those of fuse().)");
}

}  // namespace gapless::bindings
