// The CUDA kernels by name, on the shim, as a shared library: what a driver is to Python's
// launchers.
// clang-format off: the shim comes first
#include "cuda_shim.h"

#define MRFMASK_ISA shim_library
#include "../../kernels/chain_tables.cu"
#include "../../kernels/diagonal_gibbs.cu"
#include "../../kernels/diagonal_mean_field.cu"
#include "../../kernels/gibbs_chains.cu"
#include "../../kernels/gibbs_half_sweep.cu"
#include "../../kernels/gibbs_resident.cu"
#include "../../kernels/gibbs_tiles.cu"
#include "../../kernels/mean_field_half_sweep.cu"
#include "../../kernels/mean_field_resident.cu"
#include "../../kernels/mean_field_tiles.cu"
#include "../../kernels/pack.cu"
// clang-format on

#include <map>
#include <utility>

namespace {

namespace device = mrfmask::device;
using Call = std::function<void(void**)>;

template <typename... Arguments, size_t... numbers>
Call call(void (*kernel)(Arguments...), std::index_sequence<numbers...>) {
  return [kernel](void** arguments) { kernel(*static_cast<Arguments*>(arguments[numbers])...); };
}

// A kernel that takes its arguments as CUDA does: a pointer to each.
template <typename... Arguments>
Call by_pointers(void (*kernel)(Arguments...)) {
  return call(kernel, std::index_sequence_for<Arguments...>());
}

#define KERNEL(name) {#name, by_pointers(&device::name)}

const std::map<std::string, Call>& kernels() {
  static const std::map<std::string, Call> all = {
      KERNEL(chain_tables_build),
      KERNEL(diagonal_gibbs_colour),
      KERNEL(diagonal_gibbs_count_equal),
      KERNEL(diagonal_gibbs_energy),
      KERNEL(diagonal_mean_field_colour),
      KERNEL(gibbs_chains_1400),
      KERNEL(gibbs_chains_3392),
      KERNEL(gibbs_count_chains),
      KERNEL(gibbs_start),
      KERNEL(gibbs_half_sweep),
      KERNEL(gibbs_count),
      KERNEL(gibbs_count_equal),
      KERNEL(gibbs_energy),
      KERNEL(gibbs_sum_energy),
      KERNEL(gibbs_keep_best),
      KERNEL(gibbs_note_best),
      KERNEL(gibbs_resident_82),
      KERNEL(gibbs_resident_210),
      KERNEL(gibbs_resident_434),
      KERNEL(gibbs_resident_714),
      KERNEL(gibbs_resident_978),
      KERNEL(gibbs_tiles_82),
      KERNEL(gibbs_tiles_434),
      KERNEL(gibbs_tiles_978),
      KERNEL(mean_field_start),
      KERNEL(mean_field_half_sweep),
      KERNEL(mean_field_note_sweep),
      KERNEL(mean_field_resident_82),
      KERNEL(mean_field_resident_210),
      KERNEL(mean_field_resident_386),
      KERNEL(mean_field_resident_650),
      KERNEL(mean_field_resident_906),
      KERNEL(mean_field_begin_tiles),
      KERNEL(mean_field_tiles_82),
      KERNEL(mean_field_tiles_386),
      KERNEL(mean_field_tiles_906),
      KERNEL(mean_field_end_tiles),
      KERNEL(pack_potentials),
      KERNEL(pack_states),
      KERNEL(unpack_states),
      KERNEL(pack_means),
      KERNEL(unpack_means),
  };
  return all;
}

}  // namespace

// False if there is no such kernel.
extern "C" bool shim_launch(const char* name, unsigned blocks, unsigned threads,
                            size_t shared_bytes, void** arguments) {
  const auto found = kernels().find(name);
  if (found == kernels().end()) return false;
  shim::launch({blocks}, threads, shared_bytes, [&] { found->second(arguments); });
  return true;
}
