// The Python module mrfmask._native: arrays in, arrays out. Callers (mrfmask/ops) have checked
// shapes and values and allocated every output; here only the GIL and Ctrl-C are looked after.
#include "bindings.h"

NB_MODULE(_native, m) {
  mrfmask::bindings::bind_diagonals(m);
  mrfmask::bindings::bind_kernels(m);
  mrfmask::bindings::bind_solvers(m);
  mrfmask::bindings::bind_graphs(m);
}
