#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "index/filter.h"
#include "query/calibration.h"

// One function for each part of the module, called by module.cpp; each only converts and calls.
namespace gapless::bindings {

void bind_errors();
void bind_kernels(pybind11::module_& module);
void bind_alignment(pybind11::module_& module);
void bind_index(pybind11::module_& module);
void bind_calibration(pybind11::module_& module);
void bind_fuse(pybind11::module_& module);
void bind_query(pybind11::module_& module);

// None, 1-d integers (ids) or 1-d uint8 (a packed bitset over ids).
std::shared_ptr<const Filter> as_filter(const pybind11::object& filter);

// A Calibration, what has a method native() that gives one, or None. InvalidArgument otherwise.
std::shared_ptr<const Calibration> as_calibration(const pybind11::object& calibration);

}  // namespace gapless::bindings
