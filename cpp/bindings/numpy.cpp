#include "bindings/numpy.h"

#include "core/error.h"

namespace gapless::bindings {
namespace {

std::string shape_of(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(array.shape(i));
  }
  return text + (array.ndim() == 1 ? ",)" : ")");
}

// numpy's own conversion, with our exception when there is none (ragged lists, objects).
py::array as_numpy(const py::object& values, const char* what) {
  const py::array array = py::array::ensure(values);
  if (!array) {
    throw InvalidVector(std::string(what) +
                        " cannot be made an array; give numbers of equal shape");
  }
  return array;
}

}  // namespace

Rows as_rows(const py::object& vectors, std::size_t dim, bool single_allowed, const char* what) {
  const py::array given = as_numpy(vectors, what);
  const char kind = given.dtype().kind();
  if (kind != 'f' && kind != 'i' && kind != 'u') {
    throw InvalidVector(std::string(what) + " have dtype " +
                        py::str(static_cast<const py::object&>(given.dtype())).cast<std::string>() +
                        "; give float32 or float16");
  }
  const bool single = single_allowed && given.ndim() == 1;
  if (!single && given.ndim() != 2) {
    throw InvalidVector(std::string(what) + " have shape " + shape_of(given) + "; give (n, dim)");
  }
  Rows rows;
  rows.array = Floats::ensure(
      given.attr("astype")("float32", py::arg("order") = "C", py::arg("copy") = false));
  rows.count = single ? 1 : static_cast<std::size_t>(given.shape(0));
  rows.dim = static_cast<std::size_t>(given.shape(given.ndim() - 1));
  if (dim != 0 && rows.dim != dim) {
    throw InvalidVector(std::string(what) + " have " + std::to_string(rows.dim) +
                        " dims, the index has " + std::to_string(dim) +
                        "; use the encoder that the index was made for");
  }
  return rows;
}

Labels as_labels(const py::object& ids) {
  const py::array given = as_numpy(ids, "ids");
  const char kind = given.dtype().kind();
  if (given.ndim() != 1 || (given.size() > 0 && kind != 'i' && kind != 'u')) {
    throw InvalidArgument(
        "ids have shape " + shape_of(given) + " and dtype " +
        py::str(static_cast<const py::object&>(given.dtype())).cast<std::string>() +
        "; give one-dimensional integers");
  }
  return Labels::ensure(given.attr("astype")("int64"));
}

std::string as_path(const PathLike& path) {
  return py::module_::import("os").attr("fsdecode")(path).cast<std::string>();
}

std::size_t as_threads(std::optional<py::ssize_t> threads) {
  return threads ? as_count(*threads, "threads") : 0;
}

std::size_t as_count(py::ssize_t value, const char* name) {
  if (value < 1) {
    throw InvalidArgument(std::string(name) + " is " + std::to_string(value) +
                          "; it must be at least 1");
  }
  return static_cast<std::size_t>(value);
}

}  // namespace gapless::bindings
