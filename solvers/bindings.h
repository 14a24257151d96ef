// What the bindings share: arrays as Python gives them, and Ctrl-C in long runs.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <chrono>

namespace mrfmask::bindings {

namespace nb = nanobind;

template <typename Scalar, int dims>
using Array = nb::ndarray<Scalar, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;

// Lets Ctrl-C through, at most twenty times a second.
class SignalCheck {
 public:
  void operator()() {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(50)) return;
    last_ = now;
    const nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Each adds its functions to the module.
void bind_diagonals(nb::module_& m);
void bind_kernels(nb::module_& m);
void bind_solvers(nb::module_& m);
void bind_graphs(nb::module_& m);

}  // namespace mrfmask::bindings
