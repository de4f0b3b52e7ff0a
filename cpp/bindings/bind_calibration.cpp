#include <pybind11/stl.h>

#include <cmath>

#include "bindings/bind.h"
#include "bindings/numpy.h"
#include "core/error.h"

namespace gapless::bindings {
namespace {

std::shared_ptr<Calibration> checked(Calibration given, double background, double quantile) {
  given.background = background;
  given.quantile = quantile;
  check_calibration(given, "the calibration");
  return std::make_shared<Calibration>(std::move(given));
}

std::shared_ptr<Calibration> platt(double a, double c, double background, double quantile) {
  Calibration made;
  made.a = a;
  made.c = c;
  return checked(std::move(made), background, quantile);
}

std::shared_ptr<Calibration> beta(double a, double b, double c, double background,
                                  double quantile) {
  Calibration made;
  made.method = CalibrationMethod::kBeta;
  made.a = a;
  made.b = b;
  made.c = c;
  return checked(std::move(made), background, quantile);
}

std::shared_ptr<Calibration> isotonic(std::vector<double> knots, std::vector<double> values,
                                      double background, double quantile) {
  Calibration made;
  made.method = CalibrationMethod::kIsotonic;
  made.knots = std::move(knots);
  made.values = std::move(values);
  return checked(std::move(made), background, quantile);
}

Doubles apply(const Calibration& calibration, const ArrayLike& scores, double level) {
  const Doubles given = Doubles::ensure(scores);
  if (!given) {
    PyErr_Clear();
    throw InvalidArgument("scores are no numbers");
  }
  Doubles found(std::vector<py::ssize_t>(given.shape(), given.shape() + given.ndim()));
  for (py::ssize_t i = 0; i < given.size(); ++i) {
    if (!std::isfinite(given.data()[i]) || !std::isfinite(level)) {
      throw InvalidArgument("score " + std::to_string(i) + " or the level is NaN or infinite");
    }
    found.mutable_data()[i] = probability(calibration.log_odds(given.data()[i], level));
  }
  return found;
}

}  // namespace

std::shared_ptr<const Calibration> as_calibration(const py::object& calibration) {
  if (calibration.is_none()) return nullptr;
  const py::object given =
      py::hasattr(calibration, "native") ? calibration.attr("native")() : calibration;
  if (py::isinstance<Calibration>(given)) return given.cast<std::shared_ptr<Calibration>>();
  throw InvalidArgument("a calibration is a " + std::string(Py_TYPE(calibration.ptr())->tp_name) +
                        "; give what gapless.calibrate() or calibration.fit() returned");
}

void bind_calibration(py::module_& module) {
  py::class_<Calibration, std::shared_ptr<Calibration>>(
      module, "Calibration",
      R"(A map from an aligned score to a probability.

p = 1 / (1 + exp(-(f(s) + background * level))), where level is the `quantile` of the query's scores
against background rows. It never falls as s grows: InvalidArgument for numbers that would make it
fall, or that are not finite.)")
      .def_static("platt", &platt, py::arg("a"), py::arg("c"), py::kw_only(),
                  py::arg("background") = 0.0, py::arg("quantile") = 0.9,
                  "f = a s + c with a >= 0 (Platt 1999).")
      .def_static("beta", &beta, py::arg("a"), py::arg("b"), py::arg("c"), py::kw_only(),
                  py::arg("background") = 0.0, py::arg("quantile") = 0.9,
                  "f = a ln t - b ln(1 - t) + c, t = (1 + s) / 2, a and b >= 0 (Kull et al. 2017).")
      .def_static("isotonic", &isotonic, py::arg("scores"), py::arg("log_odds"), py::kw_only(),
                  py::arg("background") = 0.0, py::arg("quantile") = 0.9,
                  "f is linear between ascending scores and constant beyond the ends.")
      .def("apply", &apply, py::arg("scores"), py::arg("level") = 0.0,
           "Return the probabilities (float64, the shape of scores). Raises InvalidArgument for "
           "NaN.");
}

}  // namespace gapless::bindings
