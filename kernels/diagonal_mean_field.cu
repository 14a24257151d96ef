// Mean field with diagonals: one thread a pixel, a launch a colour, everything in global memory.
// Starts and ends of sweeps are those of mean_field_half_sweep.cu.
//
// Launch: ceil(pixels / threads) * images blocks, one-dimensional, no shared memory.
#include "diagonal_batch.h"
#include "diagonal_mean_field.h"

namespace mrfmask {
namespace device {

extern "C" {

// As mean_field_half_sweep: updates the pixels of one colour in place, and raises new_change.
__global__ void diagonal_mean_field_colour(const float* unary, const float* right,
                                           const float* down, const float* down_right,
                                           const float* down_left, int32_t height, int32_t width,
                                           int32_t periodic, const float* log2_rates,
                                           int64_t max_sweeps, float tolerance,
                                           const int64_t* sweeps_done, const float* change,
                                           int32_t wanted, float* mean, uint32_t* new_change) {
  const DiagonalBatch images{
      {unary, right, down, height, width, periodic, 1}, down_right, down_left};
  const Pixel pixel = pixel_of_thread(height * width);
  float moved = 0.0f;
  if (pixel.index >= 0 && sweeps_done[pixel.item] < max_sweeps && change[pixel.item] > tolerance) {
    const DiagonalGrid d = images.image(pixel.item);
    const int32_t y = pixel.index / width, x = pixel.index % width;
    if (diagonal_colour(d.grid, y, x) == wanted) {
      float* means = mean + pixel.item * images.batch.pixels();
      const float updated = diagonal_mean_field_update(d, means, y, x, log2_rates[pixel.item]);
      moved = magnitude(updated - means[pixel.index]);
      means[pixel.index] = updated;
    }
  }
  moved = warp_max(moved);
  if (lane() == 0 && moved > 0.0f) atomicMax(&new_change[pixel.item], __float_as_uint(moved));
}

}  // extern "C"

}  // namespace device
}  // namespace mrfmask
