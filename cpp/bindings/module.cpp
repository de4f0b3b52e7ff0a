#include "bindings/bind.h"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  module.doc() = "The native engine of gapless: indexes, alignment and fusion over numpy arrays.";
  module.attr("__version__") = GAPLESS_VERSION;
  gapless::bindings::bind_errors();
  gapless::bindings::bind_kernels(module);
  gapless::bindings::bind_alignment(module);
  gapless::bindings::bind_index(module);
  gapless::bindings::bind_calibration(module);
  gapless::bindings::bind_fuse(module);
  gapless::bindings::bind_query(module);
}
