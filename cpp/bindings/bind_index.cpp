#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/bind.h"
#include "bindings/numpy.h"
#include "core/error.h"
#include "index/flat.h"
#include "index/hnsw.h"
#include "store/segment.h"

namespace gapless::bindings {

namespace {

std::shared_ptr<Filter> make_filter(const py::object& filter, bool items) {
  auto found = std::make_shared<Filter>();
  found->items = items;
  const py::array given = py::array::ensure(filter);
  if (given && given.dtype().kind() == 'b') {
    throw InvalidArgument(
        "the filter is a bool array; give ids, or "
        "numpy.packbits(mask, bitorder='little')");
  }
  if (given && given.ndim() == 1 && given.dtype().equal(py::dtype::of<std::uint8_t>())) {
    const auto bits = py::array_t<std::uint8_t, py::array::c_style>::ensure(given);
    found->kind = Filter::Kind::kBits;
    found->bits.assign(bits.data(), bits.data() + bits.size());
    return found;
  }
  const Labels labels = as_labels(filter);
  found->labels.assign(labels.data(), labels.data() + labels.size());
  if (!std::is_sorted(found->labels.begin(), found->labels.end())) {
    std::sort(found->labels.begin(), found->labels.end());
  }
  return found;
}

}  // namespace

std::shared_ptr<const Filter> as_filter(const py::object& filter) {
  if (filter.is_none()) return nullptr;
  if (py::isinstance<Filter>(filter)) return filter.cast<std::shared_ptr<Filter>>();
  return make_filter(filter, false);
}

namespace {

using SearchResult = py::typing::Tuple<Floats, Labels>;

Labels add(Index& index, const ArrayLike& vectors, const OptionalArrayLike& ids,
           std::optional<py::ssize_t> threads) {
  const Rows rows = as_rows(vectors, index.dim(), false, "vectors");
  const std::size_t workers = as_threads(threads);
  Labels labels;
  const Label* given = nullptr;
  if (!ids.is_none()) {
    labels = as_labels(ids);
    given = labels.data();
    if (static_cast<std::size_t>(labels.size()) != rows.count) {
      throw InvalidArgument(std::to_string(labels.size()) + " ids for " +
                            std::to_string(rows.count) + " vectors; give one each");
    }
  }
  std::vector<Label> added;
  {
    const py::gil_scoped_release release;
    added = index.add(rows.data(), rows.count, given, workers);
  }
  return as_array(std::move(added));
}

void update(Index& index, const ArrayLike& ids, const ArrayLike& vectors,
            std::optional<py::ssize_t> threads) {
  const Rows rows = as_rows(vectors, index.dim(), false, "vectors");
  const Labels labels = as_labels(ids);
  const std::size_t workers = as_threads(threads);
  if (static_cast<std::size_t>(labels.size()) != rows.count) {
    throw InvalidArgument(std::to_string(labels.size()) + " ids for " + std::to_string(rows.count) +
                          " vectors; give one each");
  }
  const Label* given = labels.data();
  const py::gil_scoped_release release;
  index.update(given, rows.data(), rows.count, workers);
}

void remove(Index& index, const ArrayLike& ids) {
  const Labels labels = as_labels(ids);
  const Label* given = labels.data();
  const auto count = static_cast<std::size_t>(labels.size());
  const py::gil_scoped_release release;
  index.remove(given, count);
}

// What HnswIndex.search takes beyond FlatIndex.search.
struct GraphEffort {
  std::optional<py::ssize_t> ef;
  std::optional<double> recall;
  bool exact_scores = false;
};

SearchResult search(const Index& index, const ArrayLike& queries, py::ssize_t k,
                    const GraphEffort& effort, const std::optional<std::string>& query_modality,
                    const OptionalArrayLike& filter, std::optional<py::ssize_t> threads) {
  const Rows rows = as_rows(queries, 0, true, "queries");
  SearchOptions options;
  options.k = as_count(k, "k");
  options.ef = effort.ef ? as_count(*effort.ef, "ef") : 0;
  if (effort.recall) {
    if (effort.ef) throw InvalidArgument("ef and recall are both given; give one");
    if (!(*effort.recall > 0.0 && *effort.recall < 1.0)) {
      throw InvalidArgument("recall is " + std::to_string(*effort.recall) +
                            "; it must lie between 0 and 1, as in recall=0.95");
    }
    options.recall = *effort.recall;
  }
  options.exact_scores = effort.exact_scores;
  options.query_modality = query_modality.value_or("");
  const std::shared_ptr<const Filter> kept = as_filter(filter);
  options.filter = kept.get();
  options.threads = as_threads(threads);
  const auto count = static_cast<py::ssize_t>(rows.count);
  Floats scores({count, k});
  Labels labels({count, k});
  float* to_scores = scores.mutable_data();
  Label* to_labels = labels.mutable_data();
  {
    const py::gil_scoped_release release;
    index.search(rows.data(), rows.dim, rows.count, options, to_scores, to_labels);
  }
  return py::make_tuple(scores, labels);
}

Floats score(const Index& index, const ArrayLike& query, const ArrayLike& ids,
             const std::optional<std::string>& query_modality) {
  const Rows row = as_rows(query, 0, true, "queries");
  if (row.count != 1) throw InvalidArgument("score takes one query");
  const Labels labels = as_labels(ids);
  Floats scores(labels.size());
  float* to = scores.mutable_data();
  const Label* given = labels.data();
  const auto count = static_cast<std::size_t>(labels.size());
  {
    const py::gil_scoped_release release;
    index.score(row.data(), row.dim, query_modality.value_or(""), given, count, to);
  }
  return scores;
}

Floats vectors(const Index& index, const ArrayLike& ids) {
  const Labels labels = as_labels(ids);
  Floats out({labels.size(), static_cast<py::ssize_t>(index.dim())});
  float* to = out.mutable_data();
  const Label* given = labels.data();
  const auto count = static_cast<std::size_t>(labels.size());
  {
    const py::gil_scoped_release release;
    index.vectors(given, count, to);
  }
  return out;
}

py::array_t<bool> contains(const Index& index, const ArrayLike& ids) {
  const Labels labels = as_labels(ids);
  py::array_t<bool> found(labels.size());
  bool* to = found.mutable_data();
  const Label* given = labels.data();
  const auto count = static_cast<std::size_t>(labels.size());
  {
    const py::gil_scoped_release release;
    index.contains(given, count, to);
  }
  return found;
}

void save(Index& index, const PathLike& given) {
  const std::string path = as_path(given);
  const py::gil_scoped_release release;
  index.save([&](const Sections& sections) { write_segment(path, index.kind(), sections); });
}

template <typename T>
std::shared_ptr<T> load(const PathLike& given) {
  const std::string path = as_path(given);
  const py::gil_scoped_release release;
  const Segment segment = Segment::read(path);
  if (segment.kind() != T::kKind) {
    throw InvalidArgument(path + " holds an index of kind '" + segment.kind() + "', not '" +
                          T::kKind + "'; load it with the class of its kind");
  }
  try {
    return std::static_pointer_cast<T>(
        std::shared_ptr<Index>(restore_index(segment.kind(), segment.sections())));
  } catch (const Corruption& corruption) {
    throw segment.damage(corruption.section, corruption.what);
  }
}

constexpr const char* kSearchDoc =
    R"(Return the k best rows of each query as (scores float32 (nq, k), ids int64 (nq, k)).

queries is (nq, dim), or (dim,) for one. Scores are aligned cosines, in [-1, 1] up to rounding, best first, ties by
ascending id; short rows end in -inf and -1. `query_modality` picks the query map of the alignment,
`filter` is an array of ids, a packed bitset over ids (numpy.packbits(mask, bitorder="little")) or a
Filter, and threads=None means all cores for a batch and the calling thread for one query.

Raises InvalidVector for a query of another dim, zero or not finite; InvalidArgument for k < 1 or a
modality that the alignment has no map for.)";

}  // namespace

void bind_index(py::module_& module) {
  py::class_<Filter, std::shared_ptr<Filter>>(
      module, "Filter",
      R"(Ids that a search may return, made once for many searches; goes wherever `filter=` does.

`allowed` is an array of ids or a packed bitset over ids (numpy.packbits(mask, bitorder="little")).
With items=True it names items of a collection, each of which allows all its rows. What it comes to
in an index is worked out by the first search there, and again when rows have come or gone. Safe to
use from many threads.)")
      .def(py::init(
               [](const ArrayLike& allowed, bool items) { return make_filter(allowed, items); }),
           py::arg("allowed"), py::arg("items") = false)
      .def("__len__", &Filter::count, "How many ids it names, with a row or without.")
      .def("allows", &Filter::allows, py::arg("id"), "Whether it names an id, or the id's item.");

  py::class_<Index, std::shared_ptr<Index>>(
      module, "Index", "What FlatIndex and HnswIndex share: unit rows under int64 ids.")
      .def("add", &add, py::arg("vectors"), py::arg("ids") = py::none(),
           py::arg("threads") = py::none(),
           R"(Add rows (n, dim), normalising them, and return their ids (n,).

Without ids, rows are numbered on from the largest id there ever was. Raises InvalidVector (wrong
dim, or a row that is zero, NaN or infinite), DuplicateId, InvalidArgument; then nothing was added.)")
      .def(
          "update", &update, py::arg("ids"), py::arg("vectors"), py::arg("threads") = py::none(),
          "Replace the rows of ids that are present. Raises UnknownId, DuplicateId, InvalidVector.")
      .def("remove", &remove, py::arg("ids"),
           "Remove rows. Raises UnknownId or DuplicateId; then nothing was removed.")
      .def("score", &score, py::arg("query"), py::arg("ids"),
           py::arg("query_modality") = py::none(),
           "Return the exact aligned scores (n,) of one query with given ids; NaN for absent ones.")
      .def("vectors", &vectors, py::arg("ids"),
           "Return the unit rows (n, dim) of ids. Raises UnknownId.")
      .def("contains", &contains, py::arg("ids"), "Return for each id whether it has a row.")
      .def(
          "ids",
          [](const Index& index) {
            std::vector<Label> labels;
            {
              const py::gil_scoped_release release;
              labels = index.labels();
            }
            return as_array(std::move(labels));
          },
          "Return all ids, ascending.")
      .def(
          "set_alignment",
          [](Index& index, const std::optional<std::shared_ptr<Alignment>>& alignment) {
            const py::gil_scoped_release release;
            index.set_alignment(alignment.value_or(nullptr));
          },
          py::arg("alignment"),
          R"(Score through this alignment from now on; None for raw cosines.

One pass over the rows computes a float for each; no row and no graph is rewritten.)")
      .def_property_readonly(
          "alignment",
          [](const Index& index) -> py::typing::Optional<Alignment> {
            AlignmentPtr found;
            {
              const py::gil_scoped_release release;
              found = index.alignment();
            }
            return py::cast(std::const_pointer_cast<Alignment>(found));
          },
          "The alignment in use, or None.")
      .def("save", &save, py::arg("path"),
           "Write the index and its alignment to one checksummed file, whole or not at all.")
      .def_property_readonly("dim", &Index::dim, "Dimension of the rows.")
      .def_property_readonly(
          "memory_bytes", [](const Index& index) { return index.memory().total(); },
          "Bytes that rows, codes, ids and graph occupy.")
      .def_property_readonly(
          "memory",
          [](const Index& index) {
            const MemoryUse use = index.memory();
            return std::map<std::string, std::size_t>{{"vectors", use.vectors},
                                                      {"codes", use.codes},
                                                      {"graph", use.graph},
                                                      {"labels", use.labels},
                                                      {"alignment", use.alignment}};
          },
          "Bytes by purpose: vectors (the f32 rows), codes, graph, labels, alignment.")
      .def("__len__", &Index::size, py::call_guard<py::gil_scoped_release>());

  py::class_<FlatIndex, Index, std::shared_ptr<FlatIndex>>(
      module, "FlatIndex", "Exact search: every row is scored. Safe to use from many threads.")
      .def(py::init(
               [](py::ssize_t dim) { return std::make_shared<FlatIndex>(as_count(dim, "dim")); }),
           py::arg("dim"))
      .def(
          "search",
          [](const FlatIndex& index, const ArrayLike& queries, py::ssize_t k,
             const std::optional<std::string>& query_modality, const OptionalArrayLike& filter,
             std::optional<py::ssize_t> threads) {
            return search(index, queries, k, {}, query_modality, filter, threads);
          },
          py::arg("queries"), py::arg("k"), py::arg("query_modality") = py::none(),
          py::arg("filter") = py::none(), py::arg("threads") = py::none(), kSearchDoc)
      .def_static("load", &load<FlatIndex>, py::arg("path"),
                  "Read a saved index. Raises CorruptFile naming file, section and offset.");

  py::class_<HnswIndex, Index, std::shared_ptr<HnswIndex>>(
      module, "HnswIndex",
      R"(Approximate search in a navigable small world graph (arXiv 1603.09320, arXiv 2412.01940).

m is half the number of links a row may have, 2 to 512; ef_construction the effort of an insertion;
seed draws the rows that searches start from. codes is what searches read: "cascade" (sign bits, half
a byte, a byte and a half a dim, each for fewer rows), "i8", "bf16", "f32" or "auto": the cascade from
96 dims on where it finds what it should on a sample of the rows, else i8; f32 (bf16 without
keep_f32) below. keep_f32=False drops the float32 rows: exact_scores is then refused, vectors() and
score() give what the codes hold, and copies of a row added before the first 16,384 may score apart.
Rows may be added, updated and removed at any time, beside searches. Safe to use from many
threads.)")
      .def(py::init([](py::ssize_t dim, py::ssize_t m, py::ssize_t ef_construction,
                       const std::string& codes, bool keep_f32, std::uint64_t seed) {
             HnswOptions options;
             options.m = as_count(m, "m");
             options.ef_construction = as_count(ef_construction, "ef_construction");
             options.codes = codes;
             options.keep_vectors = keep_f32;
             options.seed = seed;
             return std::make_shared<HnswIndex>(as_count(dim, "dim"), options);
           }),
           py::arg("dim"), py::arg("m") = 32, py::arg("ef_construction") = 200,
           py::arg("codes") = "auto", py::arg("keep_f32") = true, py::arg("seed") = 0)
      .def(
          "search",
          [](const HnswIndex& index, const ArrayLike& queries, py::ssize_t k,
             std::optional<py::ssize_t> ef, std::optional<double> recall,
             const std::optional<std::string>& query_modality, const OptionalArrayLike& filter,
             std::optional<py::ssize_t> threads, bool exact_scores) {
            return search(index, queries, k, {ef, recall, exact_scores}, query_modality, filter,
                          threads);
          },
          py::arg("queries"), py::arg("k"), py::arg("ef") = py::none(),
          py::arg("recall") = py::none(), py::arg("query_modality") = py::none(),
          py::arg("filter") = py::none(), py::arg("threads") = py::none(),
          py::arg("exact_scores") = false,
          (std::string(kSearchDoc) +
           "\n\n`ef` is the effort: about how many of the nearest rows are looked at, at least k "
           "(default 64).\nMore of it finds more of the true neighbours and takes longer. "
           "`recall`, between 0 and 1, takes instead\nthe effort that reached such a recall at 10 "
           "when the index last learnt from its rows, or from\nfit_queries() for that modality. "
           "Scores are within 1e-3 times r of exact (i8, bf16: 5e-3); exact_scores=True computes "
           "those\nof the rows found "
           "from the f32 rows, and is InvalidArgument where keep_f32=False.")
              .c_str())
      .def(
          "fit_queries",
          [](HnswIndex& index, const ArrayLike& sample, const std::optional<std::string>& modality,
             std::optional<py::ssize_t> threads) {
            const Rows rows = as_rows(sample, 0, true, "sample");
            const std::size_t workers = as_threads(threads);
            const py::gil_scoped_release release;
            index.fit_queries(rows.data(), rows.dim, rows.count, modality.value_or(""), workers);
          },
          py::arg("sample"), py::arg("modality") = py::none(), py::arg("threads") = py::none(),
          R"(Learn what searching for queries of one modality takes, from a sample (n, dim) of them.

Tells the sign codes what these queries have in common, links the rows that they find together
(up to 20,000 queries are used), and calibrates the effort for each recall on queries kept apart.
A few hundred are enough; links want thousands. Takes seconds. Raises InvalidVector, or InvalidArgument for fewer than 100 of them or
fewer than 1,000 rows.)")
      .def(
          "reindex",
          [](HnswIndex& index, std::optional<py::ssize_t> threads) {
            const std::size_t workers = as_threads(threads);
            const py::gil_scoped_release release;
            index.reindex(workers);
          },
          py::arg("threads") = py::none(),
          R"(Build the graph anew, of the rows as the alignment in use leaves them.

Rows and answers stay what they are; searches under that alignment reach the same recall with less
effort. Takes as long as adding all rows, and room for the rows once more; searches go on beside
it. Links made by fit_queries() are dropped.)")
      .def("forget_queries", &HnswIndex::forget_queries, py::call_guard<py::gil_scoped_release>(),
           "Forget all that fit_queries() has taught, and drop the links it made.")
      .def_property_readonly("codes", &HnswIndex::codes,
                             "The codes that searches read: f32, bf16, i8 or cascade.")
      .def("_reachable", &HnswIndex::reachable, py::call_guard<py::gil_scoped_release>(),
           "Rows that links of the tree lead to, and those that they should lead to.")
      .def_property_readonly("m", [](const HnswIndex& index) { return index.options().m; })
      .def_property_readonly("ef_construction",
                             [](const HnswIndex& index) { return index.options().ef_construction; })
      .def_static("load", &load<HnswIndex>, py::arg("path"),
                  "Read a saved index. Raises CorruptFile naming file, section and offset.");
}

}  // namespace gapless::bindings
