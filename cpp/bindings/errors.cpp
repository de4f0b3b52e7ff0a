#include "bindings/bind.h"
#include "core/error.h"

namespace gapless::bindings {
namespace {

namespace py = pybind11;

// The Python classes live in gapless.errors, where a user reads them; ours bear the same names.
void raise(const char* name, const char* message) {
  py::set_error(py::module_::import("gapless.errors").attr(name), message);
}

}  // namespace

void bind_errors() {
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const InvalidVector& e) {
      raise("InvalidVector", e.what());
    } catch (const DuplicateId& e) {
      raise("DuplicateId", e.what());
    } catch (const UnknownId& e) {
      raise("UnknownId", e.what());
    } catch (const InvalidArgument& e) {
      raise("InvalidArgument", e.what());
    } catch (const Timeout& e) {
      raise("Timeout", e.what());
    } catch (const CorruptFile& e) {
      raise("CorruptFile", e.what());
    } catch (const IoError& e) {
      // OSError picks FileNotFoundError and the like by the number.
      py::set_error(PyExc_OSError, py::make_tuple(e.code, e.what()));
    }
  });
}

}  // namespace gapless::bindings
