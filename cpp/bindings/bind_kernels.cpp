#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>

#include "bindings/bind.h"
#include "bindings/numpy.h"
#include "core/error.h"
#include "core/runtime.h"
#include "index/top_k.h"
#include "index/unit_rows.h"
#include "kernels/cuda/device.h"
#include "kernels/kernels.h"

namespace gapless::bindings {
namespace {

Floats normalise(const ArrayLike& vectors) {
  const Rows rows = as_rows(vectors, 0, false, "vectors");
  Floats out({static_cast<py::ssize_t>(rows.count), static_cast<py::ssize_t>(rows.dim)});
  float* to = out.mutable_data();
  {
    const py::gil_scoped_release release;
    unit_rows(rows.data(), rows.count, rows.dim, to);
  }
  return out;
}

py::typing::Tuple<Floats, Labels> top_k(const ArrayLike& scores, py::ssize_t k) {
  const Rows row = as_rows(scores, 0, true, "scores");
  if (row.count != 1) throw InvalidArgument("scores must be one-dimensional");
  if (std::any_of(row.data(), row.data() + row.dim, [](float s) { return std::isnan(s); })) {
    throw InvalidArgument("a score is NaN; it has no rank");
  }
  const std::size_t kept = std::min(as_count(k, "k"), row.dim);
  std::vector<float> best_scores(kept);
  std::vector<Label> positions(kept);
  {
    const py::gil_scoped_release release;
    TopK best(kept);
    constexpr std::size_t kBlock = 1024;
    std::vector<std::uint32_t> found(kBlock);
    for (std::size_t begin = 0; begin < row.dim; begin += kBlock) {
      const std::size_t size = std::min(kBlock, row.dim - begin);
      const std::size_t count =
          kernels().at_least(row.data() + begin, size, best.threshold(), found.data());
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = begin + found[i];
        best.push({row.data()[at], static_cast<Label>(at)});
      }
    }
    best.write(best_scores.data(), positions.data());
  }
  return py::make_tuple(as_array(std::move(best_scores)), as_array(std::move(positions)));
}

py::typing::Dict<py::str, py::object> config() {
  py::list available;
  for (const Kernels* kernel : available_kernels()) available.append(kernel->name);
  py::dict found;
  found["version"] = GAPLESS_VERSION;
  found["simd"] = kernels().name;
  found["simd_available"] = available;
  found["cores"] = runtime().cores;
  found["cuda"] = cuda_status();
  return found;
}

}  // namespace

void bind_kernels(py::module_& module) {
  module.def("normalise", &normalise, py::arg("vectors"),
             R"(Return float32 (n, dim) rows scaled to unit length.

Raises InvalidVector, naming the row, for a row that is zero or holds NaN or infinity.)");
  module.def("top_k", &top_k, py::arg("scores"), py::arg("k"),
             R"(Return the k largest of (n,) scores and their positions, best first.

Equal scores rank by ascending position; k above n gives n results. Raises InvalidArgument for NaN.)");
  module.def(
      "config", &config,
      R"(Return what this build and machine use: version, simd, simd_available, cores, cuda.)");
}

}  // namespace gapless::bindings
