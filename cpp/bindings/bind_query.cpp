#include <pybind11/stl.h>

#include <numeric>

#include "bindings/bind.h"
#include "bindings/fusion_keywords.h"
#include "bindings/numpy.h"
#include "core/error.h"
#include "query/search.h"

namespace gapless::bindings {
namespace {

// The query rows of a FieldSearch, and which of them are whose: (dim,) is one question and (nq,
// dim) a row for each, or for the rule "maxsim" (tokens, dim) one question and (nq, tokens, dim)
// several; `tokens` (nq,) says how (rows, dim) are shared out where questions have unequal numbers.
void take_queries(FieldSearch& search, const ArrayLike& query, const OptionalArrayLike& tokens) {
  const bool late = search.rule == RowRule::kMaxSim;
  py::array given = py::array::ensure(query);
  if (!given) PyErr_Clear();
  std::size_t questions = 1;
  if (late && given && given.ndim() == 3) {
    questions = static_cast<std::size_t>(given.shape(0));
    given = given.reshape({given.shape(0) * given.shape(1), given.shape(2)});
  }
  const Rows rows = as_rows(given ? py::object(given) : py::object(query), 0, true, "queries");
  search.queries.assign(rows.data(), rows.data() + rows.count * rows.dim);
  search.firsts = {0};
  if (tokens.is_none()) {
    if (!late) questions = rows.count;
    for (std::size_t i = 1; i <= questions; ++i) {
      search.firsts.push_back(i * (rows.count / questions));
    }
    return;
  }
  if (!late) throw InvalidArgument("tokens are given, which only the rule 'maxsim' takes");
  const Labels counts = as_labels(tokens);
  for (py::ssize_t i = 0; i < counts.size(); ++i) {
    search.firsts.push_back(search.firsts.back() + as_count(counts.data()[i], "tokens"));
  }
  if (search.firsts.back() == rows.count) return;
  throw InvalidArgument("tokens count " + std::to_string(search.firsts.back()) +
                        " query rows and there are " + std::to_string(rows.count));
}

FieldSearch make_search(std::shared_ptr<Index> index, const ArrayLike& query, double weight,
                        std::optional<py::ssize_t> depth, std::optional<py::ssize_t> ef,
                        const std::optional<std::string>& query_modality,
                        const OptionalArrayLike& filter, bool several, const std::string& rule,
                        const OptionalArrayLike& tokens, const OptionalArrayLike& cohort,
                        const py::object& calibration, const std::string& field) {
  FieldSearch search;
  search.index = std::move(index);
  search.weight = weight;
  search.depth = depth ? as_count(*depth, "depth") : 0;
  search.ef = ef ? as_count(*ef, "ef") : 0;
  search.query_modality = query_modality.value_or("");
  search.several = several;
  search.rule = row_rule(rule);
  search.calibration = as_calibration(calibration);
  search.field = field;
  if (const std::shared_ptr<const Filter> given = as_filter(filter)) {
    const auto over_items = std::make_shared<Filter>(*given);
    over_items->items = several;
    search.filter = over_items;
  }
  if (!cohort.is_none()) {
    const Labels labels = as_labels(cohort);
    search.cohort.assign(labels.data(), labels.data() + labels.size());
  }
  take_queries(search, query, tokens);
  return search;
}

// One question's part of what a batch found, or all of it where there is one question.
struct HitsOfOne {
  std::shared_ptr<const FusedHits> all;
  std::size_t question = 0;

  std::size_t begin() const { return all->offsets[question]; }
  std::size_t count() const { return all->offsets[question + 1] - begin(); }
};

struct HitsOfBatch {
  std::shared_ptr<const FusedHits> all;

  std::size_t begin() const { return 0; }
  std::size_t count() const { return all->labels.size(); }
};

// A read-only array over a part of the hits, which it keeps alive.
template <typename Hits, typename T>
py::array_t<T> part(const Hits& hits, const std::vector<T>& values, std::size_t columns) {
  auto* owner = new std::shared_ptr<const FusedHits>(hits.all);
  const py::capsule keep(owner,
                         [](void* p) { delete static_cast<std::shared_ptr<const FusedHits>*>(p); });
  std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(hits.count())};
  if (columns > 0) shape.push_back(static_cast<py::ssize_t>(columns));
  const std::size_t first = hits.begin() * std::max<std::size_t>(1, columns);
  py::array_t<T> array(shape, values.data() + first, keep);
  py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return array;
}

template <typename Hits, typename T>
auto column(std::vector<T> FusedHits::*values) {
  return [values](const Hits& hits) { return part(hits, (*hits.all).*values, 0); };
}

template <typename Hits, typename T>
auto matrix(std::vector<T> FusedHits::*values) {
  return [values](const Hits& hits) { return part(hits, (*hits.all).*values, hits.all->lists); };
}

template <typename Hits>
void def_arrays(py::class_<Hits>& hits) {
  hits.def_property_readonly("scores", column<Hits>(&FusedHits::scores),
                             "Fused scores (n,), best first.")
      .def_property_readonly("ids", column<Hits>(&FusedHits::labels), "Ids of the items (n,).")
      .def_property_readonly("ranks", matrix<Hits>(&FusedHits::ranks),
                             "Ranks (n, lists) from 1; 0 where the list did not retrieve the item.")
      .def_property_readonly("raw", matrix<Hits>(&FusedHits::raw),
                             "Aligned scores (n, lists), completed; NaN where there is no row.")
      .def_property_readonly(
          "normalised", matrix<Hits>(&FusedHits::normalised),
          "What each list gave before its weight (n, lists), of \"calibrated\" the "
          "probability; NaN for nothing.")
      .def_property_readonly(
          "rows", matrix<Hits>(&FusedHits::rows),
          "Ordinals (n, lists) of the item's best row in each list; -1 where there is none.");
}

// What all searches take beside the fields and the fusion.
FusedOptions as_options(FusionOptions fusion, py::ssize_t k, const std::string& method,
                        std::optional<py::ssize_t> depth, std::optional<double> timeout,
                        std::optional<py::ssize_t> threads) {
  FusedOptions options;
  options.k = as_count(k, "k");
  options.depth = depth ? as_count(*depth, "depth") : 0;
  options.fusion = std::move(fusion);
  options.fusion.method = fusion_method(method);
  options.threads = as_threads(threads);
  if (timeout) options.timeout = *timeout;
  return options;
}

std::vector<Label> as_items(const OptionalArrayLike& ids) {
  if (ids.is_none()) return {};
  const Labels labels = as_labels(ids);
  return {labels.data(), labels.data() + labels.size()};
}

std::shared_ptr<const FusedHits> run(const std::vector<FieldSearch>& searches,
                                     const FusedOptions& options) {
  const py::gil_scoped_release release;
  return std::make_shared<const FusedHits>(search_fields(searches, options));
}

HitsOfOne search_one(FusionOptions fusion, const std::vector<FieldSearch>& searches, py::ssize_t k,
                     const std::string& method, std::optional<py::ssize_t> depth,
                     const OptionalArrayLike& exclude, std::optional<double> timeout,
                     std::optional<py::ssize_t> threads) {
  FusedOptions options = as_options(std::move(fusion), k, method, depth, timeout, threads);
  for (const FieldSearch& search : searches) {
    if (search.questions() == 1) continue;
    throw InvalidArgument("search_fields takes one query and a FieldSearch has " +
                          std::to_string(search.questions()) +
                          "; use search_fields_batch for several questions");
  }
  if (!exclude.is_none()) options.exclude.push_back(as_items(exclude));
  return {run(searches, options)};
}

HitsOfBatch search_batch(FusionOptions fusion, const std::vector<FieldSearch>& searches,
                         py::ssize_t k, const std::string& method, std::optional<py::ssize_t> depth,
                         const std::optional<std::vector<OptionalArrayLike>>& exclude,
                         std::optional<double> timeout, std::optional<py::ssize_t> threads) {
  FusedOptions options = as_options(std::move(fusion), k, method, depth, timeout, threads);
  if (exclude) {
    for (const OptionalArrayLike& ids : *exclude) options.exclude.push_back(as_items(ids));
  }
  return {run(searches, options)};
}

// A search that is asked again and again with other query vectors alone. Any number of threads may.
struct RepeatedSearch {
  std::vector<FieldSearch> searches;
  FusedOptions options;
};

RepeatedSearch repeat(FusionOptions fusion, const std::vector<FieldSearch>& searches, py::ssize_t k,
                      const std::string& method, std::optional<py::ssize_t> depth,
                      std::optional<double> timeout) {
  for (const FieldSearch& search : searches) {
    if (search.rule != RowRule::kMaxSim) continue;
    throw InvalidArgument("a repeated search takes one query row and the rule 'maxsim' several");
  }
  return {searches, as_options(std::move(fusion), k, method, depth, timeout, std::nullopt)};
}

using AskedArrays =
    py::typing::Tuple<py::array_t<double>, py::array_t<Label>, py::array_t<std::int32_t>,
                      py::array_t<float>, py::array_t<double>, py::array_t<std::int32_t>>;

AskedArrays ask(const RepeatedSearch& prepared, const std::vector<ArrayLike>& queries) {
  if (queries.size() != prepared.searches.size()) {
    throw InvalidArgument(std::to_string(queries.size()) + " queries for " +
                          std::to_string(prepared.searches.size()) + " lists; give one each");
  }
  std::vector<FieldSearch> searches = prepared.searches;
  for (std::size_t i = 0; i < searches.size(); ++i)
    take_queries(searches[i], queries[i], py::none());
  const HitsOfOne hits{run(searches, prepared.options)};
  return py::make_tuple(
      column<HitsOfOne>(&FusedHits::scores)(hits), column<HitsOfOne>(&FusedHits::labels)(hits),
      matrix<HitsOfOne>(&FusedHits::ranks)(hits), matrix<HitsOfOne>(&FusedHits::raw)(hits),
      matrix<HitsOfOne>(&FusedHits::normalised)(hits), matrix<HitsOfOne>(&FusedHits::rows)(hits));
}

HitsOfOne of_question(const HitsOfBatch& batch, py::ssize_t question) {
  const auto count = static_cast<py::ssize_t>(batch.all->questions());
  if (question < -count || question >= count) {
    throw py::index_error("question " + std::to_string(question) + " of a batch of " +
                          std::to_string(count));
  }
  return {batch.all, static_cast<std::size_t>(question < 0 ? question + count : question)};
}

}  // namespace

void bind_query(py::module_& module) {
  py::class_<FieldSearch>(module, "FieldSearch", R"(One list of a mixed-modality search.

A query vector (dim,), or one for each question of a batch (nq, dim), against an index, with its
weight, effort, query modality and filter. `depth` is how many items this list retrieves, where it
is not as many as the search says; a list of negative weight retrieves none and scores those of the
others. With several=True the labels of the index are ordinal << 40 | item, the filter names items,
and `rule` makes one score of an item's rows: "max", "mean" (of all its rows), or "maxsim" (late
interaction: the query is (tokens, dim), for a batch (nq, tokens, dim) or (rows, dim) with the
number of rows of each question as `tokens`, and the score is the mean over these rows of the best
that one of the item's reaches). For the method "cohort", `cohort` are the ids of background items
(those no longer present are skipped). The method "calibrated" wants a Calibration, and background
items where that has a background; `field` is the name that messages call this list by.)")
      .def(py::init(&make_search), py::arg("index").none(false), py::arg("query"), py::kw_only(),
           py::arg("weight") = 1.0, py::arg("depth") = py::none(), py::arg("ef") = py::none(),
           py::arg("query_modality") = py::none(), py::arg("filter") = py::none(),
           py::arg("several") = false, py::arg("rule") = "max", py::arg("tokens") = py::none(),
           py::arg("cohort") = py::none(), py::arg("calibration") = py::none(),
           py::arg("field") = "");

  py::class_<HitsOfOne> one(module, "FusedHits",
                            "A fused ranking of n items, and what each list said of each item.");
  def_arrays(one);
  one.def("__len__", [](const HitsOfOne& hits) { return hits.count(); });

  py::class_<HitsOfBatch> batch(module, "FusedBatch", R"(The fused rankings of a batch of questions.

batch[i] are the FusedHits of question i. The arrays hold those of all questions one behind another:
question i has the places offsets[i] to offsets[i + 1].)");
  def_arrays(batch);
  batch
      .def_property_readonly(
          "offsets",
          [](const HitsOfBatch& hits) {
            const std::vector<std::size_t>& offsets = hits.all->offsets;
            return as_array(std::vector<std::int64_t>(offsets.begin(), offsets.end()));
          },
          "Where the places of each question begin and the last one's end (questions + 1,).")
      .def("__len__", [](const HitsOfBatch& hits) { return hits.all->questions(); })
      .def("__getitem__", &of_question, py::arg("question"));

  def_with_fusion(module, "search_fields", &search_one, py::arg("searches"), py::arg("k"),
                  py::arg("method") = "rrf", py::kw_only(), py::arg("depth") = py::none(),
                  py::arg("exclude") = py::none(), py::arg("timeout") = py::none(),
                  py::arg("threads") = py::none(),
                  R"(Search several fields, complete and fuse in one native call; returns FusedHits.

Each field retrieves `depth` items (default max(k, 100)). An item found in one field gets its exact
score in every other where it has a row; "rrf" ignores these completed scores, and lists' means,
deviations and ranges come from what was retrieved. `exclude` are ids of items that are not found;
the lists are as long without them. `timeout` is in seconds. Methods and errors are those of fuse(),
and Timeout.)");

  def_with_fusion(module, "search_fields_batch", &search_batch, py::arg("searches"), py::arg("k"),
                  py::arg("method") = "rrf", py::kw_only(), py::arg("depth") = py::none(),
                  py::arg("exclude") = py::none(), py::arg("timeout") = py::none(),
                  py::arg("threads") = py::none(),
                  R"(search_fields() for many questions at once; returns a FusedBatch.

Every FieldSearch has a query for each question. `exclude` are ids (or None) for each. threads=None
means all cores. Each ranking is the one that search_fields() gives for its question alone.)");

  py::class_<RepeatedSearch>(module, "RepeatedSearch",
                             "A search to be asked again with other query vectors alone.")
      .def("ask", &ask, py::arg("queries"),
           R"(Search with a query (dim,) for each FieldSearch, in place of its own.

Returns the arrays of FusedHits: (scores, ids, ranks, raw, normalised, rows).)");

  def_with_fusion(module, "repeat_search", &repeat, py::arg("searches"), py::arg("k"),
                  py::arg("method") = "rrf", py::kw_only(), py::arg("depth") = py::none(),
                  py::arg("timeout") = py::none(),
                  R"(Keep a search of search_fields() to ask it again; returns a RepeatedSearch.)");
}

}  // namespace gapless::bindings
