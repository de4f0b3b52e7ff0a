#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <utility>

#include "query/fuse.h"

namespace gapless::bindings {

// Binds `call`, a function of FusionOptions and parameters of its own, as one that takes the
// keywords of fusion after its own: all that fuse offer the same ones, with the same defaults.
// `own` are the pybind11 arguments of the function's own parameters, the last of them keywords, and
// its docstring. The options come without a method: `call` sets it from its own parameter.
template <typename Result, typename... Own, typename... Extra>
void def_with_fusion(pybind11::module_& module, const char* name,
                     Result (*call)(FusionOptions, Own...), const Extra&... own) {
  namespace py = pybind11;
  module.def(
      name,
      [call](Own... given, double rrf_k, int rank_base, double lower, const std::string& combine) {
        FusionOptions options;
        options.rrf_k = rrf_k;
        options.rank_base = rank_base;
        options.lower = lower;
        options.combine = combine_rule(combine);
        return call(std::move(options), std::forward<Own>(given)...);
      },
      own..., py::arg("rrf_k") = 60.0, py::arg("rank_base") = 1, py::arg("lower") = -1.0,
      py::arg("combine") = "max");
}

}  // namespace gapless::bindings
