#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "bindings/numpy.h"
#include "core/error.h"
#include "index/alignment.h"

namespace gapless::bindings {
namespace {

std::vector<float> flat(const py::object& values, py::ssize_t ndim, const std::string& what) {
  const Floats array = Floats::ensure(values);
  if (!array || array.ndim() != ndim) {
    PyErr_Clear();
    throw InvalidArgument(what + " must be a " + std::to_string(ndim) + "-dimensional array");
  }
  return {array.data(), array.data() + array.size()};
}

AffineMap as_map(const py::object& offset, const py::object& linear, const std::string& whose) {
  AffineMap map;
  if (!linear.is_none()) {
    map.linear = flat(linear, 2, "linear part of " + whose);
    const auto shape = py::array::ensure(linear);
    map.out = static_cast<std::size_t>(shape.shape(0));
    map.in = static_cast<std::size_t>(shape.shape(1));
  }
  if (!offset.is_none()) {
    map.offset = flat(offset, 1, "offset of " + whose);
    if (linear.is_none()) map.in = map.out = map.offset.size();
  }
  return map;
}

py::object offset_of(const AffineMap& map) {
  if (map.offset.empty()) return py::none();
  return as_array(std::vector<float>(map.offset));
}

py::object linear_of(const AffineMap& map) {
  if (map.linear.empty()) return py::none();
  return as_array(std::vector<float>(map.linear),
                  {static_cast<py::ssize_t>(map.out), static_cast<py::ssize_t>(map.in)});
}

using MapParts = py::typing::Tuple<OptionalArrayLike, OptionalArrayLike>;
using OptionalFloats = py::typing::Optional<Floats>;
using QueryMaps = py::typing::Dict<py::str, py::typing::Tuple<OptionalFloats, OptionalFloats>>;

std::shared_ptr<Alignment> make(const OptionalArrayLike& offset, const OptionalArrayLike& linear,
                                const std::optional<std::map<std::string, MapParts>>& query) {
  std::map<std::string, AffineMap> queries;
  if (query) {
    for (const auto& [modality, parts] : *query) {
      if (parts.size() != 2) {
        throw InvalidArgument("the query map of '" + modality + "' must be (offset, linear)");
      }
      queries[modality] = as_map(parts[0], parts[1], "the query map of '" + modality + "'");
    }
  }
  return std::make_shared<Alignment>(as_map(offset, linear, "the row map"), std::move(queries));
}

}  // namespace

void bind_alignment(py::module_& module) {
  py::class_<Alignment, std::shared_ptr<Alignment>>(
      module, "Alignment", R"(An affine map of a field's rows, applied when scoring.

A row x is scored as if it were N(linear @ x + offset), N being normalisation; the stored rows and
the graph stay as they are. `query` maps the queries of each modality: {modality: (offset, linear)},
either part None. A row closer than 1e-6 to the origin after the map scores 0.

offset is (out_dim,) and linear (out_dim, dim), float32. Raises InvalidArgument when sizes disagree
or a number is not finite.)")
      .def(py::init(&make), py::arg("offset") = py::none(), py::arg("linear") = py::none(),
           py::arg("query") = py::none())
      .def_property_readonly(
          "offset", [](const Alignment& a) -> OptionalFloats { return offset_of(a.rows()); })
      .def_property_readonly(
          "linear", [](const Alignment& a) -> OptionalFloats { return linear_of(a.rows()); })
      .def_property_readonly("query", [](const Alignment& a) {
        QueryMaps found;
        for (const auto& [modality, map] : a.queries()) {
          found[py::str(modality)] = py::make_tuple(offset_of(map), linear_of(map));
        }
        return found;
      });
}

}  // namespace gapless::bindings
