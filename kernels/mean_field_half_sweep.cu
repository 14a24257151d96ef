// Mean field, the plain way: one thread a pixel, everything in global memory. Any size, any
// boundary, any number of colours; what the fast kernels are compared with on a card.
//
// Each image has its own number of sweeps done and its own largest change in the last of them, and
// is left alone once it has converged or has done all its sweeps.
//
// Launch: ceil(pixels / threads) * images blocks, one-dimensional, no shared memory.
#include "batch.h"
#include "mean_field.h"

namespace mrfmask {
namespace device {

__device__ __forceinline__ bool is_active(int64_t sweeps_done, float change, int64_t max_sweeps,
                                          float tolerance) {
  return sweeps_done < max_sweeps && change > tolerance;
}

extern "C" {

// Writes the start: the means without couplings, or what is given, brought to the form that updates
// give. log2_rates: one an image. sweeps_done becomes 0 and change +inf. Each thread touches its
// own pixel.
__global__ void mean_field_start(const float* unary, int32_t height, int32_t width,
                                 const float* log2_rates, int32_t given, float* mean,
                                 int64_t* sweeps_done, float* change) {
  const Pixel pixel = pixel_of_thread(height * width);
  if (pixel.index < 0) return;
  const int64_t i = pixel.item * height * width + pixel.index;
  const float u = unary[i];
  const bool clamped = is_clamp(u);
  mean[i] = given && !clamped
                ? MRFMASK_ISA::mean_field_start(mean[i])
                : mean_from_log2_odds(clamped ? u : log2_rates[pixel.item] * flush(u));
  if (pixel.index > 0) return;
  sweeps_done[pixel.item] = 0;
  change[pixel.item] = __uint_as_float(0x7f800000u);
}

// Updates the pixels of one colour in place, and raises new_change (bits of a float, one an image)
// to the largest change. A pixel reads its neighbours, all of other colours, which nobody writes.
__global__ void mean_field_half_sweep(const float* unary, const float* right, const float* down,
                                      int32_t height, int32_t width, int32_t periodic,
                                      const float* log2_rates, int64_t max_sweeps, float tolerance,
                                      const int64_t* sweeps_done, const float* change,
                                      int32_t wanted, float* mean, uint32_t* new_change) {
  const Batch batch{unary, right, down, height, width, periodic, 1};
  const Pixel pixel = pixel_of_thread(height * width);
  float moved = 0.0f;
  if (pixel.index >= 0 &&
      is_active(sweeps_done[pixel.item], change[pixel.item], max_sweeps, tolerance)) {
    const Grid g = batch.image(pixel.item);
    const int32_t y = pixel.index / width, x = pixel.index % width;
    if (colour(g, y, x) == wanted) {
      float* means = mean + pixel.item * batch.pixels();
      const float updated = mean_field_update(g, means, y, x, log2_rates[pixel.item]);
      moved = magnitude(updated - means[pixel.index]);
      means[pixel.index] = updated;
    }
  }
  moved = warp_max(moved);
  if (lane() == 0 && moved > 0.0f) atomicMax(&new_change[pixel.item], __float_as_uint(moved));
}

// Ends a sweep: one thread an image.
__global__ void mean_field_note_sweep(int64_t images, int64_t max_sweeps, float tolerance,
                                      int64_t* sweeps_done, float* change, uint32_t* new_change) {
  const int64_t image = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (image >= images) return;
  if (is_active(sweeps_done[image], change[image], max_sweeps, tolerance)) {
    ++sweeps_done[image];
    change[image] = __uint_as_float(new_change[image]);
  }
  new_change[image] = 0;
}

}  // extern "C"

}  // namespace device
}  // namespace mrfmask
