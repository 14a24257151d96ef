// Gibbs sampling of large images, one block a tile, several sweeps a launch.
//
// A block reads its tile with a halo into shared memory, does the half-sweeps there and writes the
// tile without the halo to another array of states. What lies at the edge of the window lacks
// neighbours and goes wrong, by one pixel further in with each half-sweep; the halo is as wide as
// there are half-sweeps, so the tile is right, and exactly: a pixel that several blocks update gets
// the same random numbers and the same neighbours in all of them. Half-sweep j of n leaves out the
// rows that are of no use to the tile any more.
//
// Races: none inside a half-sweep (see gibbs_resident.cu), a barrier behind each; blocks read
// states that no block of the launch writes, and write states, tallies and sums of their own tile.
//
// Launch: tiles_y * tiles_x blocks an item, shared memory and threads by launch.h. Arrays in the
// order of packed_images.h.
#include "gibbs_octets.h"
#include "tiles.h"

namespace mrfmask {
namespace device {

// What blocks read and write, of one item.
struct TileArrays {
  const float4* packed;
  const uint8_t* given;
  const uint2* states;
  uint2* new_states;
  uint2* tally;
  int64_t octets;
};

template <int kOctets>
__device__ __forceinline__ void load_tile(const Window& w, const TileArrays& a,
                                          GibbsMemory<kOctets>& m) {
  for_each_packed_octet(w, [&](int32_t i, int64_t from) {
    copy_potentials(m.potentials, i, a.packed, a.octets, from);
#pragma unroll
    for (int32_t parity = 0; parity < 2; ++parity) {
      const int64_t at = parity * a.octets + from;
      m.given[parity][i] = from >= 0 ? a.given[at] : uint8_t{0};
      m.state[parity][i] = from >= 0 ? a.states[at] : uint2{kAllOn, kAllOn};
      m.tally[parity][i] = uint2{0, 0};
    }
  });
}

template <int kOctets, int kPlaces>
__device__ __forceinline__ void store_tile(const Tile& tile, const OwnPlaces<kPlaces>& own,
                                           const TileArrays& a, bool kept,
                                           GibbsMemory<kOctets>& m) {
#pragma unroll
  for (const Place& at : own.place) {
    if (at.self < 0) continue;
    const int32_t row = row_of(tile.window, at.self), block = block_of(tile.window, at.self);
    if (!tile.holds(row, block)) continue;
    const int64_t to = packed_octet(tile.window.image_height, tile.window.image_blocks,
                                    tile.window.top + row, tile.window.left_block + block);
#pragma unroll
    for (int32_t parity = 0; parity < 2; ++parity) {
      const int64_t i = parity * a.octets + to;
      a.new_states[i] = m.state[parity][at.self];
      if (!kept) continue;
      // Bytes that do not overflow: 255 kept sweeps at most between two flushes.
      const uint2 old = a.tally[i], more = m.tally[parity][at.self];
      a.tally[i] = uint2{old.x + more.x, old.y + more.y};
    }
  }
}

// One half-sweep and its barrier. step: its number in the launch, of `steps`. For the second one of
// a kept sweep, each warp leaves the tile's share of minus the energy.
template <bool kKept, int kOctets, int kPlaces>
__device__ __forceinline__ int64_t tile_half_sweep(const GibbsWindow<kOctets>& w, const Tile& tile,
                                                   const OwnPlaces<kPlaces>& own, int32_t step,
                                                   int32_t steps, uint32_t number,
                                                   float log2_rate) {
  const Window& window = w.window;
  const Rows useful = useful_rows(tile, steps - 1 - step);
  const int32_t colour = step % 2;
  int64_t sum = 0;
#pragma unroll
  for (const Place& at : own.place) {
    if (at.self < 0) continue;
    const int32_t row = row_of(window, at.self);
    if (row < useful.from || row >= useful.to) continue;
    const int64_t terms = (row + colour) % 2 == 0
                              ? update_octet<0, kKept>(w, at, number, log2_rate, colour == 1)
                              : update_octet<1, kKept>(w, at, number, log2_rate, colour == 1);
    if (kKept && tile.holds(row, block_of(window, at.self))) sum += terms;
  }
  return sum;
}

template <int kOctets, int kPlaces>
__device__ __forceinline__ void tiles(const Batch& batch, const Sweeps& sweeps, const int64_t* seed,
                                      const float* units_per_energy, const Tiling& tiling,
                                      TileArrays arrays, int64_t* partial) {
  auto& memory = *reinterpret_cast<GibbsMemory<kOctets>*>(shared_memory);
  const Grid shape{nullptr, nullptr, nullptr, batch.height, batch.width, batch.periodic != 0};
  const Tile tile = tile_of_block(shape, tiling);
  const int32_t item = tile.item, image = item / batch.chains;
  arrays.packed += image * kRuns * arrays.octets;
  arrays.given += image * 2 * arrays.octets;
  arrays.states += item * 2 * arrays.octets;
  arrays.new_states += item * 2 * arrays.octets;
  arrays.tally += item * 2 * arrays.octets;
  const GibbsWindow<kOctets> w{memory, tile.window, item_stream(batch, seed, item),
                               units_per_energy[image]};
  const auto own = own_places<kPlaces>(tile.window);
  load_tile(tile.window, arrays, memory);
  __syncthreads();

  const float* rates = sweeps.log2_rates + static_cast<int64_t>(image) * sweeps.total;
  const int32_t first_kept = max(sweeps.first, sweeps.burn_in);
  const int32_t all_kept = sweeps.first + sweeps.count - first_kept;
  for (int32_t i = 0; i < sweeps.count; ++i) {
    const int32_t sweep = sweeps.first + i;
    const uint32_t number = sweeps.number(sweep);
    const bool kept = sweep >= sweeps.burn_in;
    int64_t sum = 0;
#pragma unroll 1
    for (int32_t colour = 0; colour < 2; ++colour) {
      const int32_t step = 2 * i + colour, steps = 2 * sweeps.count;
      sum += kept ? tile_half_sweep<true>(w, tile, own, step, steps, number, rates[sweep])
                  : tile_half_sweep<false>(w, tile, own, step, steps, number, rates[sweep]);
      if (kept && colour == 1) {
        sum = warp_sum(sum);
        if (lane() == 0) memory.partial[i % 2][warp()] = sum;
      }
      __syncthreads();
    }
    if (kept && warp() == i % warps()) {
      sum = warp_sum_of(memory.partial[i % 2], warps());
      if (lane() == 0) {
        partial[(static_cast<int64_t>(item) * all_kept + sweep - first_kept) * tile.count +
                tile.index] = sum;
      }
    }
  }
  store_tile(tile, own, arrays, all_kept > 0, memory);
}

// packed, given: from pack_potentials. states, new_states, tally: as from pack_states. partial:
// items x kept sweeps of this launch x tiles, for gibbs_sum_energy.
#define MRFMASK_GIBBS_TILES(kOctets, kThreads, kPlaces, kBlocks)                                   \
  extern "C" __global__ void __launch_bounds__(kThreads, kBlocks) gibbs_tiles_##kOctets(           \
      const float4* packed, const uint8_t* given, int32_t height, int32_t width, int32_t periodic, \
      int32_t chains, const float* log2_rates, int32_t total_sweeps, const int64_t* seed,          \
      const int64_t* sweep_offset, int32_t burn_in, int32_t first_sweep, int32_t sweeps,           \
      const float* units_per_energy, int32_t tile_rows, int32_t tile_blocks, int32_t halo_rows,    \
      int32_t halo_blocks, const uint2* states, uint2* new_states, uint2* tally,                   \
      int64_t* partial) {                                                                          \
    tiles<kOctets, kPlaces>(                                                                       \
        Batch{nullptr, nullptr, nullptr, height, width, periodic, chains},                         \
        Sweeps{log2_rates, sweep_offset, total_sweeps, burn_in, first_sweep, sweeps}, seed,        \
        units_per_energy, Tiling{tile_rows, tile_blocks, halo_rows, halo_blocks},                  \
        TileArrays{packed, given, states, new_states, tally, packed_octets(height, width)},        \
        partial);                                                                                  \
  }

// The sizes of kWindows in launch.h.
MRFMASK_GIBBS_TILES(82, 64, 1, 8)
MRFMASK_GIBBS_TILES(434, 224, 2, 2)
#ifndef MRFMASK_SMALL_SHARED_MEMORY
MRFMASK_GIBBS_TILES(978, 480, 2, 1)
#endif

}  // namespace device
}  // namespace mrfmask
