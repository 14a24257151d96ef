// Gibbs sampling with diagonals: one thread a pixel, a launch a colour, everything in global
// memory. What does not look at diagonals is done by the kernels of gibbs_half_sweep.cu.
//
// Launch: ceil(pixels / threads) * items blocks, one-dimensional, no shared memory.
#include "diagonal_batch.h"
#include "diagonal_gibbs.h"

namespace mrfmask {
namespace device {

extern "C" {

// Updates the pixels of one colour in place. A pixel reads its neighbours, all of other colours,
// which nobody writes: no race.
__global__ void diagonal_gibbs_colour(const float* unary, const float* right, const float* down,
                                      const float* down_right, const float* down_left,
                                      int32_t height, int32_t width, int32_t periodic,
                                      int32_t chains, const float* log2_rates, int32_t total_sweeps,
                                      const int64_t* seed, const int64_t* sweep_offset,
                                      int32_t sweep, int32_t wanted, uint8_t* mask) {
  const DiagonalBatch images{
      {unary, right, down, height, width, periodic, chains}, down_right, down_left};
  const Sweeps sweeps{log2_rates, sweep_offset, total_sweeps, 0, sweep, 1};
  const Pixel pixel = pixel_of_thread(height * width);
  if (pixel.index < 0) return;
  const DiagonalGrid d = images.item_image(pixel.item);
  const int32_t y = pixel.index / width, x = pixel.index % width;
  if (diagonal_colour(d.grid, y, x) != wanted) return;
  uint8_t* state = mask + pixel.item * images.batch.pixels();
  const float rate = log2_rates[pixel.item / chains * total_sweeps + sweep];
  LastBlock last;
  state[pixel.index] = diagonal_gibbs_update(d, state, y, x, rate, sweeps.number(sweep),
                                             item_stream(images.batch, seed, pixel.item), last);
}

// Raises the diagonals by the number of chains in which the two pixels are equal. Both arrays have
// the shape of down_right. Launch: blocks for images, not items.
__global__ void diagonal_gibbs_count_equal(const uint8_t* mask, int32_t height, int32_t width,
                                           int32_t periodic, int32_t chains,
                                           int64_t* down_right_equal, int64_t* down_left_equal) {
  const Grid g{nullptr, nullptr, nullptr, height, width, periodic != 0};
  const Pixel pixel = pixel_of_thread(height * width);
  if (pixel.index < 0) return;
  const int32_t y = pixel.index / width, x = pixel.index % width;
  const int64_t columns = right_columns(g), rows = down_rows(g);
  if (y >= rows || x >= columns) return;
  const int32_t below = next_line(y, height, wraps_y(g)), next = next_line(x, width, wraps_x(g));
  int64_t right = 0, left = 0;
  for (int32_t chain = 0; chain < chains; ++chain) {
    const uint8_t* state = mask + (pixel.item * chains + chain) * height * width;
    right += state[pixel.index] == state[below * width + next];
    left += state[y * width + next] == state[below * width + x];
  }
  const int64_t i = (pixel.item * rows + y) * columns + x;
  down_right_equal[i] += right;
  down_left_equal[i] += left;
}

// One number a warp: minus its share of the energy of its item's state, in units.
__global__ void diagonal_gibbs_energy(const float* unary, const float* right, const float* down,
                                      const float* down_right, const float* down_left,
                                      int32_t height, int32_t width, int32_t periodic,
                                      int32_t chains, const float* units_per_energy,
                                      const uint8_t* mask, int64_t* partial) {
  const DiagonalBatch images{
      {unary, right, down, height, width, periodic, chains}, down_right, down_left};
  const Pixel pixel = pixel_of_thread(height * width);
  int64_t term = 0;
  if (pixel.index >= 0) {
    term = diagonal_energy_term(
        images.item_image(pixel.item), units_per_energy[pixel.item / chains],
        mask + pixel.item * images.batch.pixels(), pixel.index / width, pixel.index % width);
  }
  term = warp_sum(term);
  if (lane() == 0) partial[static_cast<int64_t>(blockIdx.x) * warps() + warp()] = term;
}

}  // extern "C"

}  // namespace device
}  // namespace mrfmask
