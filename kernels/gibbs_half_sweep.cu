// Gibbs sampling, the plain way: one thread a pixel, everything in global memory. Any size, any
// boundary, any number of colours; what the fast kernels are compared with on a card.
//
// Energies are in units of their image (energy_units.h).
//
// Launch: ceil(pixels / threads) * items blocks, one-dimensional, no shared memory unless stated.
#include "batch.h"
#include "energy.h"

namespace mrfmask {
namespace device {

extern "C" {

// Writes the state before the first sweep into mask, or, where one is given, only brings clamped
// pixels in line with it. Each thread touches its own pixel.
__global__ void gibbs_start(const float* unary, int32_t height, int32_t width, int32_t chains,
                            const int64_t* seed, int32_t given, uint8_t* mask) {
  const Batch batch{unary, unary, unary, height, width, 0, chains};
  const Pixel pixel = pixel_of_thread(height * width);
  if (pixel.index < 0) return;
  const Grid g = batch.item_image(pixel.item);
  if (given && !is_clamp(g.unary[pixel.index])) return;
  LastBlock last;
  mask[pixel.item * batch.pixels() + pixel.index] = gibbs_start(
      g, pixel.index / width, pixel.index % width, item_stream(batch, seed, pixel.item), last);
}

// Updates the pixels of one colour in place. A pixel reads its neighbours, all of other colours,
// which nobody writes: no race.
__global__ void gibbs_half_sweep(const float* unary, const float* right, const float* down,
                                 int32_t height, int32_t width, int32_t periodic, int32_t chains,
                                 const float* log2_rates, int32_t total_sweeps, const int64_t* seed,
                                 const int64_t* sweep_offset, int32_t sweep, int32_t wanted,
                                 uint8_t* mask) {
  const Batch batch{unary, right, down, height, width, periodic, chains};
  const Sweeps sweeps{log2_rates, sweep_offset, total_sweeps, 0, sweep, 1};
  const Pixel pixel = pixel_of_thread(height * width);
  if (pixel.index < 0) return;
  const Grid g = batch.item_image(pixel.item);
  const int32_t y = pixel.index / width, x = pixel.index % width;
  if (colour(g, y, x) != wanted) return;
  uint8_t* state = mask + pixel.item * batch.pixels();
  const float rate = log2_rates[pixel.item / chains * total_sweeps + sweep];
  LastBlock last;
  state[pixel.index] = gibbs_update(g, state, y, x, rate, sweeps.number(sweep),
                                    item_stream(batch, seed, pixel.item), last);
}

// counts += mask, for a kept sweep.
__global__ void gibbs_count(const uint8_t* mask, int64_t states, int32_t* counts) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < states) counts[i] += mask[i];
}

// Raises the couplings by the number of chains in which the two pixels are equal. right_equal and
// down_equal have the shape of right and down. Launch: blocks for images, not items.
__global__ void gibbs_count_equal(const uint8_t* mask, int32_t height, int32_t width,
                                  int32_t periodic, int32_t chains, int64_t* right_equal,
                                  int64_t* down_equal) {
  const Grid g{nullptr, nullptr, nullptr, height, width, periodic != 0};
  const Pixel pixel = pixel_of_thread(height * width);
  if (pixel.index < 0) return;
  const int64_t image = pixel.item;
  const int32_t y = pixel.index / width, x = pixel.index % width;
  const int32_t columns = right_columns(g), rows = down_rows(g);
  const int32_t beside = y * width + (x + 1 < width ? x + 1 : 0);
  const int32_t below = y + 1 < height ? pixel.index + width : x;
  int64_t right = 0, down = 0;
  for (int32_t chain = 0; chain < chains; ++chain) {
    const uint8_t* state = mask + (image * chains + chain) * height * width;
    const uint8_t here = state[pixel.index];
    right += here == state[beside];
    down += here == state[below];
  }
  if (x < columns) right_equal[(image * height + y) * columns + x] += right;
  if (y < rows) down_equal[(image * rows + y) * width + x] += down;
}

// One number a block: minus its share of the energy of its item's state, in units. Shared memory:
// 32 int64_t.
__global__ void gibbs_energy(const float* unary, const float* right, const float* down,
                             int32_t height, int32_t width, int32_t periodic, int32_t chains,
                             const float* units_per_energy, const uint8_t* mask, int64_t* partial) {
  const Batch batch{unary, right, down, height, width, periodic, chains};
  int64_t* sums = reinterpret_cast<int64_t*>(shared_memory);
  const Pixel pixel = pixel_of_thread(height * width);
  int64_t term = 0;
  if (pixel.index >= 0) {
    term =
        energy_term(batch.item_image(pixel.item), units_per_energy[pixel.item / chains],
                    mask + pixel.item * batch.pixels(), pixel.index / width, pixel.index % width);
  }
  term = warp_sum(term);
  if (lane() == 0) sums[warp()] = term;
  __syncthreads();
  if (warp() > 0) return;
  term = warp_sum_of(sums, warps());
  if (lane() == 0) partial[blockIdx.x] = term;
}

// energies[item * stride + first_column + column] = minus the sum of `parts` numbers, which
// `partial` has for each item and each of its columns. One warp a sum: block = item * columns +
// column.
__global__ void gibbs_sum_energy(const int64_t* partial, int32_t parts, int32_t columns,
                                 int32_t stride, int32_t first_column, int64_t* energies) {
  int64_t sum = 0;
  for (int32_t i = lane(); i < parts; i += 32) {
    sum += partial[static_cast<int64_t>(blockIdx.x) * parts + i];
  }
  sum = warp_sum(sum);
  const int32_t item = static_cast<int32_t>(blockIdx.x) / columns;
  const int32_t column = first_column + static_cast<int32_t>(blockIdx.x) % columns;
  if (lane() == 0) energies[static_cast<int64_t>(item) * stride + column] = -sum;
}

// Copies the states whose energy is the lowest of their item so far: that of kept sweep `kept` of
// `stride`. One thread a pixel; best (an energy an item) is read here and written by
// gibbs_note_best, launched after this.
__global__ void gibbs_keep_best(const uint8_t* mask, const int64_t* energies, const int64_t* best,
                                int32_t pixels, int32_t stride, int32_t kept, uint8_t* best_mask) {
  const Pixel pixel = pixel_of_thread(pixels);
  if (pixel.index < 0) return;
  if (kept > 0 && !is_lower(energies[pixel.item * stride + kept], best[pixel.item])) return;
  const int64_t i = pixel.item * pixels + pixel.index;
  best_mask[i] = mask[i];
}

// One thread an item.
__global__ void gibbs_note_best(const int64_t* energies, int64_t items, int32_t stride,
                                int32_t kept, int64_t* best) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const int64_t energy = energies[item * stride + kept];
  if (kept == 0 || is_lower(energy, best[item])) best[item] = energy;
}

}  // extern "C"

}  // namespace device
}  // namespace mrfmask
