// Mean field on large images, one block a tile, several sweeps a launch (tiles.h).
//
// Images converge one by one, in the middle of a launch too. So each image says how many sweeps the
// next launch is to do (todo), a launch writes to the other one of two arrays, and
// mean_field_end_tiles looks at the largest changes: an image that converged before the launch's
// last sweep is sent back to do exactly as many sweeps, from the array it came from.
//
// Races: none inside a half-sweep (see mean_field_resident.cu), a barrier behind each; blocks read
// means that no block of the launch writes, and write those of their own tile. Changes are raised
// atomically, and a maximum does not depend on the order.
//
// Launch: tiles_y * tiles_x blocks an image, shared memory and threads by launch.h; then one thread
// an image for mean_field_end_tiles.
#include "mean_field_octets.h"
#include "tiles.h"

namespace mrfmask {
namespace device {

// What an image has done and is to do.
struct Progress {
  int64_t* sweeps_done;
  float* change;
  int32_t* todo;      // sweeps of the next launch, 0 when done
  int32_t* which;     // 0 or 1: the array of means that is up to date
  uint32_t* changes;  // images x sweeps of a launch, bits of floats
};

template <int kOctets>
__device__ __forceinline__ void load_tile(const Window& w, const float4* packed,
                                          const float4* means, int64_t octets,
                                          MeanFieldMemory<kOctets>& m) {
  float4* runs = &m.mean[0][0][0];
  for_each_packed_octet(w, [&](int32_t i, int64_t from) {
    copy_potentials(m.potentials, i, packed, octets, from);
#pragma unroll
    for (int32_t run = 0; run < 4; ++run) {
      runs[run * kOctets + i] =
          from >= 0 ? means[run * octets + from] : float4{0.0f, 0.0f, 0.0f, 0.0f};
    }
  });
}

template <int kOctets, int kPlaces>
__device__ __forceinline__ void store_tile(const Tile& tile, const OwnPlaces<kPlaces>& own,
                                           float4* means, int64_t octets,
                                           MeanFieldMemory<kOctets>& m) {
  const Window& w = tile.window;
  const float4* runs = &m.mean[0][0][0];
#pragma unroll
  for (const Place& at : own.place) {
    if (at.self < 0) continue;
    const int32_t row = row_of(w, at.self), block = block_of(w, at.self);
    if (!tile.holds(row, block)) continue;
    const int64_t to =
        packed_octet(w.image_height, w.image_blocks, w.top + row, w.left_block + block);
#pragma unroll
    for (int32_t run = 0; run < 4; ++run) means[run * octets + to] = runs[run * kOctets + at.self];
  }
}

template <int kOctets, int kPlaces>
__device__ __forceinline__ void mean_field_tiles(const Grid& shape, const Tiling& tiling,
                                                 const float* log2_rates, const float4* packed,
                                                 float4* first, float4* second, int32_t sweeps,
                                                 const Progress& progress) {
  auto& memory = *reinterpret_cast<MeanFieldMemory<kOctets>*>(shared_memory);
  const Tile tile = tile_of_block(shape, tiling);
  const int64_t image = tile.item, octets = packed_octets(shape.height, shape.width);
  const int32_t todo = progress.todo[image];
  if (todo == 0) return;
  const bool from_first = progress.which[image] == 0;
  const float4* means = (from_first ? first : second) + image * 4 * octets;
  float4* new_means = (from_first ? second : first) + image * 4 * octets;
  const auto own = own_places<kPlaces>(tile.window);
  load_tile(tile.window, packed + image * kRuns * octets, means, octets, memory);
  __syncthreads();

  const float rate = log2_rates[image];
  for (int32_t i = 0; i < todo; ++i) {
    float moved = 0.0f;
#pragma unroll 1
    for (int32_t colour = 0; colour < 2; ++colour) {
      const Rows useful = useful_rows(tile, 2 * (todo - i) - 1 - colour);
#pragma unroll
      for (const Place& at : own.place) {
        if (at.self < 0) continue;
        const int32_t row = row_of(tile.window, at.self);
        if (row < useful.from || row >= useful.to) continue;
        const float change = (row + colour) % 2 == 0 ? update_means<0>(memory, at, rate)
                                                     : update_means<1>(memory, at, rate);
        if (tile.holds(row, block_of(tile.window, at.self))) moved = fmaxf(moved, change);
      }
      __syncthreads();
    }
    moved = warp_max(moved);
    if (lane() == 0 && moved > 0.0f) {
      atomicMax(&progress.changes[image * sweeps + i], __float_as_uint(moved));
    }
  }
  store_tile(tile, own, new_means, octets, memory);
}

extern "C" {

// Before the first launch: one thread an image. sweeps: of a launch, which the halo must allow.
__global__ void mean_field_begin_tiles(int64_t images, int64_t max_sweeps, float tolerance,
                                       int32_t sweeps, const int64_t* sweeps_done,
                                       const float* change, int32_t* todo, int32_t* which,
                                       uint32_t* changes) {
  const int64_t image = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (image >= images) return;
  const bool active = sweeps_done[image] < max_sweeps && change[image] > tolerance;
  todo[image] =
      active ? static_cast<int32_t>(min(max_sweeps - sweeps_done[image], int64_t{sweeps})) : 0;
  which[image] = 0;
  for (int32_t i = 0; i < sweeps; ++i) changes[image * sweeps + i] = 0;
}

// After a launch: one thread an image.
__global__ void mean_field_end_tiles(int64_t images, int64_t max_sweeps, float tolerance,
                                     int32_t sweeps, int64_t* sweeps_done, float* change,
                                     int32_t* todo, int32_t* which, uint32_t* changes) {
  const int64_t image = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (image >= images || todo[image] == 0) return;
  const int32_t done = todo[image];
  uint32_t* moved = changes + image * sweeps;
  int32_t needed = 1;
  while (needed < done && __uint_as_float(moved[needed - 1]) > tolerance) ++needed;
  if (needed < done) {
    todo[image] = needed;
  } else {
    change[image] = __uint_as_float(moved[done - 1]);
    sweeps_done[image] += done;
    which[image] = 1 - which[image];
    const int64_t left = change[image] > tolerance ? max_sweeps - sweeps_done[image] : 0;
    todo[image] = static_cast<int32_t>(min(left, int64_t{sweeps}));
  }
  for (int32_t i = 0; i < sweeps; ++i) moved[i] = 0;
}

}  // extern "C"

// packed: from pack_potentials with clamps kept. first, second: images x 4 x octets, the first from
// pack_means.
#define MRFMASK_MEAN_FIELD_TILES(kOctets, kThreads, kPlaces, kBlocks)                              \
  extern "C" __global__ void __launch_bounds__(kThreads, kBlocks) mean_field_tiles_##kOctets(      \
      const float4* packed, int32_t height, int32_t width, int32_t periodic,                       \
      const float* log2_rates, int32_t sweeps, int32_t tile_rows, int32_t tile_blocks,             \
      int32_t halo_rows, int32_t halo_blocks, float4* first, float4* second, int64_t* sweeps_done, \
      float* change, int32_t* todo, int32_t* which, uint32_t* changes) {                           \
    mean_field_tiles<kOctets, kPlaces>(                                                            \
        Grid{nullptr, nullptr, nullptr, height, width, periodic != 0},                             \
        Tiling{tile_rows, tile_blocks, halo_rows, halo_blocks}, log2_rates, packed, first, second, \
        sweeps, Progress{sweeps_done, change, todo, which, changes});                              \
  }

// Sizes of kMeanField in launch.h.
MRFMASK_MEAN_FIELD_TILES(82, 64, 1, 8)
MRFMASK_MEAN_FIELD_TILES(386, 192, 2, 2)
#ifndef MRFMASK_SMALL_SHARED_MEMORY
MRFMASK_MEAN_FIELD_TILES(906, 448, 2, 1)
#endif

}  // namespace device
}  // namespace mrfmask
