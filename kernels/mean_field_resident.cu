// Mean field, one block an image: potentials and means stay in shared memory until the image has
// converged, and global memory is read and written once.
//
// A thread updates octets (octets.h), the same ones in every sweep. In a half-sweep it reads means
// of the other colour, which nobody writes, and writes those of its own octets: no race within a
// half-sweep, and a barrier between two. The largest change of each warp goes to two places in
// turn; the one that all read after a barrier is written again two barriers later, and all find the
// same largest change, so all leave the loop together.
//
// Launch: a block an image, shared memory and threads by launch.h.
#include "mean_field_octets.h"

namespace mrfmask {
namespace device {

template <int kOctets>
__device__ __forceinline__ void load_means(const Grid& g, const Window& w, const float* mean,
                                           MeanFieldMemory<kOctets>& m) {
  for_each_site(w, [&](int32_t octet, int32_t site, int32_t y, int32_t x0) {
    if (octet < 0) return;
#pragma unroll
    for (int32_t parity = 0; parity < 2; ++parity) {
      const int32_t x = x0 + parity;
      const bool inside = y >= 0 && x < g.width;
      site_of(m.mean[parity], octet, site) =
          inside ? mean[static_cast<int64_t>(y) * g.width + x] : 0.0f;
    }
  });
}

template <int kOctets>
__device__ __forceinline__ void store_means(const Grid& g, const Window& w, float* mean,
                                            MeanFieldMemory<kOctets>& m) {
  for_each_site(w, [&](int32_t octet, int32_t site, int32_t y, int32_t x0) {
    if (octet < 0 || y < 0) return;
#pragma unroll
    for (int32_t parity = 0; parity < 2; ++parity) {
      const int32_t x = x0 + parity;
      if (x >= g.width) continue;
      mean[static_cast<int64_t>(y) * g.width + x] = site_of(m.mean[parity], octet, site);
    }
  });
}

template <int kOctets, int kPlaces>
__device__ __forceinline__ void mean_field_resident(const Batch& batch, const float* log2_rates,
                                                    int64_t max_sweeps, float tolerance,
                                                    int64_t sweeps, float* mean,
                                                    int64_t* sweeps_done, float* last_change) {
  auto& memory = *reinterpret_cast<MeanFieldMemory<kOctets>*>(shared_memory);
  const int64_t image = blockIdx.x;
  int64_t done = sweeps_done[image];
  float change = last_change[image];
  const int64_t limit = min(max_sweeps, done + sweeps);
  if (done >= limit || !(change > tolerance)) return;
  const Grid g = batch.image(image);
  const Window w = whole_image(g);
  const auto own = own_places<kPlaces>(w);
  const float rate = log2_rates[image];
  mean += image * batch.pixels();
  load_potentials<true>(g, w, memory.potentials);
  load_means(g, w, mean, memory);
  __syncthreads();

  while (done < limit && change > tolerance) {
    float moved = 0.0f;
#pragma unroll 1
    for (int32_t colour = 0; colour < 2; ++colour) {
#pragma unroll
      for (const Place& at : own.place) {
        if (at.self < 0) continue;
        moved = fmaxf(moved, is_odd_row(w, at.self) == (colour == 1)
                                 ? update_means<0>(memory, at, rate)
                                 : update_means<1>(memory, at, rate));
      }
      if (colour == 1) {
        moved = warp_max(moved);
        if (lane() == 0) memory.change[done % 2][warp()] = moved;
      }
      __syncthreads();
    }
    change = warp_max(lane() < warps() ? memory.change[done % 2][lane()] : 0.0f);
    ++done;
  }
  store_means(g, w, mean, memory);
  if (threadIdx.x > 0) return;
  sweeps_done[image] = done;
  last_change[image] = change;
}

// Does at most `sweeps` sweeps of every image that is not done. mean, sweeps_done and change as
// mean_field_start leaves them, or an earlier launch.
#define MRFMASK_MEAN_FIELD_RESIDENT(kOctets, kThreads, kPlaces, kBlocks)                         \
  extern "C" __global__ void __launch_bounds__(kThreads, kBlocks) mean_field_resident_##kOctets( \
      const float* unary, const float* right, const float* down, int32_t height, int32_t width,  \
      int32_t periodic, const float* log2_rates, int64_t max_sweeps, float tolerance,            \
      int64_t sweeps, float* mean, int64_t* sweeps_done, float* change) {                        \
    mean_field_resident<kOctets, kPlaces>(Batch{unary, right, down, height, width, periodic, 1}, \
                                          log2_rates, max_sweeps, tolerance, sweeps, mean,       \
                                          sweeps_done, change);                                  \
  }

// The sizes of kMeanField in launch.h.
MRFMASK_MEAN_FIELD_RESIDENT(82, 64, 1, 8)
MRFMASK_MEAN_FIELD_RESIDENT(210, 96, 2, 4)
MRFMASK_MEAN_FIELD_RESIDENT(386, 192, 2, 2)
#ifndef MRFMASK_SMALL_SHARED_MEMORY
MRFMASK_MEAN_FIELD_RESIDENT(650, 640, 1, 1)
MRFMASK_MEAN_FIELD_RESIDENT(906, 448, 2, 1)
#endif

}  // namespace device
}  // namespace mrfmask
