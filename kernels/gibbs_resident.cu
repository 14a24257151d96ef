// Gibbs sampling, one block a chain: potentials, state and counts of a whole image stay in shared
// memory for all sweeps, and global memory is read and written once.
//
// A thread updates octets (octets.h), the same ones in every sweep. In a half-sweep it reads states
// of the other colour, which nobody writes, and writes states and tallies of its own octets: no
// race within a half-sweep, and a barrier between two. Per-warp sums of the energy go to two places
// in turn; the one that is read after a barrier is written again two half-sweeps and barriers
// later.
//
// Launch: a block an item, shared memory and threads by launch.h.
#include "gibbs_octets.h"

namespace mrfmask {
namespace device {

struct ResidentOutput {
  uint8_t* mask;
  int32_t* counts;
  int64_t* energies;
  uint8_t* best_mask;  // or null
  int64_t* best;
};

// Both half-sweeps, a barrier behind each. For a kept sweep, each warp leaves its share of minus
// the energy.
template <bool kKept, int kOctets, int kPlaces>
__device__ __forceinline__ void sweep_window(const GibbsWindow<kOctets>& w,
                                             const OwnPlaces<kPlaces>& own, uint32_t number,
                                             float log2_rate) {
  int64_t sum = 0;
#pragma unroll 1
  for (int32_t colour = 0; colour < 2; ++colour) {
#pragma unroll
    for (const Place& at : own.place) {
      if (at.self < 0) continue;
      sum += is_odd_row(w.window, at.self) == (colour == 1)
                 ? update_octet<0, kKept>(w, at, number, log2_rate, colour == 1)
                 : update_octet<1, kKept>(w, at, number, log2_rate, colour == 1);
    }
    if (kKept && colour == 1) {
      sum = warp_sum(sum);
      if (lane() == 0) w.memory.partial[number % 2][warp()] = sum;
    }
    __syncthreads();
  }
}

template <int kOctets, int kPlaces>
__device__ __forceinline__ void resident(const Batch& batch, const Sweeps& sweeps,
                                         const int64_t* seed, const float* units_per_energy,
                                         const ResidentOutput& out) {
  auto& memory = *reinterpret_cast<GibbsMemory<kOctets>*>(shared_memory);
  const int64_t item = blockIdx.x;
  const Grid g = batch.item_image(item);
  const GibbsWindow<kOctets> w{memory, whole_image(g), item_stream(batch, seed, item),
                               units_per_energy[item / batch.chains]};
  const auto own = own_places<kPlaces>(w.window);
  uint8_t* mask = out.mask + item * batch.pixels();
  int32_t* counts = out.counts + item * batch.pixels();
  load_potentials<false>(g, w.window, memory.potentials);
  load_states(g, w.window, mask, memory);
  __syncthreads();

  const float* rates = sweeps.log2_rates + item / batch.chains * sweeps.total;
  int64_t best = out.best_mask ? out.best[item] : 0;
  int32_t tallied = 0;
  for (int32_t sweep = sweeps.first; sweep < sweeps.first + sweeps.count; ++sweep) {
    const uint32_t number = sweeps.number(sweep);
    if (sweep < sweeps.burn_in) {
      sweep_window<false>(w, own, number, rates[sweep]);
      continue;
    }
    const int32_t kept = sweep - sweeps.burn_in;
    sweep_window<true>(w, own, number, rates[sweep]);
    // One warp adds the sums up, another one every time; all do if all have to know the energy.
    const bool mine = warp() == kept % warps();
    if (out.best_mask || mine) {
      const int64_t energy = -warp_sum_of(memory.partial[number % 2], warps());
      if (mine && lane() == 0) out.energies[item * sweeps.kept() + kept] = energy;
      if (out.best_mask && (kept == 0 || is_lower(energy, best))) {
        best = energy;
        store_states(own, w.window, g.width, memory, out.best_mask + item * batch.pixels());
      }
    }
    if (++tallied == kTallyLimit) {
      flush_tally(own, w.window, g.width, memory, counts);
      tallied = 0;
    }
  }
  flush_tally(own, w.window, g.width, memory, counts);
  store_states(own, w.window, g.width, memory, mask);
  if (out.best_mask && threadIdx.x == 0) out.best[item] = best;
}

// mask: the state before the first sweep, then that after the last. counts are added to. energies:
// items x kept sweeps, in units. best_mask: null or the kept state of lowest energy so far, and
// best its energy, one an item.
#define MRFMASK_GIBBS_RESIDENT(kOctets, kThreads, kPlaces, kBlocks)                             \
  extern "C" __global__ void __launch_bounds__(kThreads, kBlocks) gibbs_resident_##kOctets(     \
      const float* unary, const float* right, const float* down, int32_t height, int32_t width, \
      int32_t periodic, int32_t chains, const float* log2_rates, int32_t total_sweeps,          \
      const int64_t* seed, const int64_t* sweep_offset, int32_t burn_in, int32_t first_sweep,   \
      int32_t sweeps, const float* units_per_energy, uint8_t* mask, int32_t* counts,            \
      int64_t* energies, uint8_t* best_mask, int64_t* best) {                                   \
    resident<kOctets, kPlaces>(                                                                 \
        Batch{unary, right, down, height, width, periodic, chains},                             \
        Sweeps{log2_rates, sweep_offset, total_sweeps, burn_in, first_sweep, sweeps}, seed,     \
        units_per_energy, ResidentOutput{mask, counts, energies, best_mask, best});             \
  }

// The sizes of kWindows in launch.h.
MRFMASK_GIBBS_RESIDENT(82, 64, 1, 8)
MRFMASK_GIBBS_RESIDENT(210, 96, 2, 4)
MRFMASK_GIBBS_RESIDENT(434, 224, 2, 2)
#ifndef MRFMASK_SMALL_SHARED_MEMORY
MRFMASK_GIBBS_RESIDENT(714, 704, 1, 1)
MRFMASK_GIBBS_RESIDENT(978, 480, 2, 1)
#endif

}  // namespace device
}  // namespace mrfmask
