#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/typing.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/types.h"

namespace gapless::bindings {

namespace py = pybind11;

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Labels = py::array_t<Label, py::array::c_style | py::array::forcecast>;

// Whatever numpy can make an array of. A class of its own, so that signatures and the stub say so.
class ArrayLike : public py::object {
  static int accept(PyObject*) { return 1; }
  PYBIND11_OBJECT_DEFAULT(ArrayLike, object, accept)
};
// A path as Python means it: str, bytes or anything with __fspath__.
class PathLike : public py::object {
  static int accept(PyObject*) { return 1; }
  PYBIND11_OBJECT_DEFAULT(PathLike, object, accept)
};
using OptionalArrayLike = py::typing::Optional<ArrayLike>;

// (n, dim) rows as C-order float32; one row may come as (dim,). InvalidVector for another shape,
// dim (when `dim` is not 0) or a dtype that is no number.
struct Rows {
  Floats array;
  std::size_t count = 0;
  std::size_t dim = 0;
  const float* data() const { return array.data(); }
};
Rows as_rows(const py::object& vectors, std::size_t dim, bool single_allowed, const char* what);

// 1-d integers; InvalidArgument otherwise.
Labels as_labels(const py::object& ids);

// os.fsdecode: TypeError for what is no path.
std::string as_path(const PathLike& path);

// `threads` as the engine takes it: 0 for None; InvalidArgument below 1.
std::size_t as_threads(std::optional<py::ssize_t> threads);
// A count that must be at least 1, named in the message.
std::size_t as_count(py::ssize_t value, const char* name);

// An array over a vector's values, which it takes over.
template <typename T>
py::array_t<T> as_array(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto* owner = new std::vector<T>(std::move(values));
  const py::capsule free(owner, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<T>(std::move(shape), owner->data(), free);
}
template <typename T>
py::array_t<T> as_array(std::vector<T>&& values) {
  const auto count = static_cast<py::ssize_t>(values.size());
  return as_array(std::move(values), {count});
}

}  // namespace gapless::bindings

template <>
struct pybind11::detail::handle_type_name<gapless::bindings::ArrayLike> {
  static constexpr auto name = const_name("numpy.typing.ArrayLike");
};

template <>
struct pybind11::detail::handle_type_name<gapless::bindings::PathLike> {
  static constexpr auto name = const_name("str | os.PathLike[str]");
};
