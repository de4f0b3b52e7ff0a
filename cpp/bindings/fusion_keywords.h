#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>

#include "query/fusion_options.h"

namespace gapless::bindings {

// Binds `call`, a function of FusionOptions and parameters of its own, as one that takes the
// keywords of fusion after its own: all that fuse offer the same ones, with the same defaults.
// `own` are the pybind11 arguments of the function's own parameters, the last of them keywords, and
// its docstring. The options come without a method: `call` sets it from its own parameter.
template <typename Result, typename... Own, typename... Extra>
void def_with_fusion(pybind11::module_& module, const char* name,
                     Result (*call)(FusionOptions, Own...), const Extra&... own) {
  namespace py = pybind11;
  const FusionOptions by_default;
  module.def(
      name,
      [call](Own... given, double rrf_k, int rank_base, double lower,
             const std::optional<std::string>& norm, double phi, double gamma, double sigma,
             bool complete_ranks, const std::string& combine) {
        FusionOptions options;
        if (norm) options.norm = fusion_norm(*norm);
        options.rrf_k = rrf_k;
        options.rank_base = rank_base;
        options.lower = lower;
        options.phi = phi;
        options.gamma = gamma;
        options.sigma = sigma;
        options.complete_ranks = complete_ranks;
        options.combine = combine_rule(combine);
        return call(std::move(options), std::forward<Own>(given)...);
      },
      own..., py::arg("rrf_k") = by_default.rrf_k, py::arg("rank_base") = by_default.rank_base,
      py::arg("lower") = by_default.lower, py::arg("norm") = py::none(),
      py::arg("phi") = by_default.phi, py::arg("gamma") = by_default.gamma,
      py::arg("sigma") = by_default.sigma, py::arg("complete_ranks") = by_default.complete_ranks,
      py::arg("combine") = "max");
}

}  // namespace gapless::bindings
