// A batch as the kernels get it: plain pointers and integers, so that any launcher can pass them.
#pragma once

#include "device.h"
#include "grid.h"
#include "philox.h"

namespace mrfmask {
namespace device {

using namespace MRFMASK_ISA;

// Images of one size, every one with the same number of chains. An item is a chain of an image:
// item = image * chains + chain. Arrays of states are items x height x width.
struct Batch {
  const float* unary;  // images x height x width; right and down as in grid.h, image after image
  const float* right;
  const float* down;
  int32_t height;
  int32_t width;
  int32_t periodic;
  int32_t chains;

  __device__ __forceinline__ int64_t pixels() const { return static_cast<int64_t>(height) * width; }
  __device__ __forceinline__ Grid image(int64_t i) const {
    const Grid shape{unary, right, down, height, width, periodic != 0};
    return Grid{unary + i * pixels(),
                right + i * height * right_columns(shape),
                down + i * down_rows(shape) * width,
                height,
                width,
                periodic != 0};
  }
  __device__ __forceinline__ Grid item_image(int64_t item) const { return image(item / chains); }
};

// seed: images x 2, the key and the stream of each image.
__device__ __forceinline__ Stream item_stream(const Batch& batch, const int64_t* seed,
                                              int64_t item) {
  const int64_t image = item / batch.chains;
  return Stream{static_cast<uint64_t>(seed[2 * image]), static_cast<uint32_t>(seed[2 * image + 1]),
                static_cast<uint32_t>(item % batch.chains)};
}

// The sweeps of a run: burn_in that are not kept, then kept ones. A launch does some of them.
struct Sweeps {
  const float* log2_rates;  // images x total, log2_odds_rate(beta) of each sweep
  const int64_t* offset;    // one number in device memory, the number of the run's first sweep
  int32_t total;
  int32_t burn_in;
  int32_t first;  // the launch does sweeps first .. first + count - 1 of the run
  int32_t count;

  __device__ __forceinline__ int32_t kept() const { return total - burn_in; }
  __device__ __forceinline__ uint32_t number(int32_t sweep) const {
    return static_cast<uint32_t>(*offset) + static_cast<uint32_t>(sweep);
  }
};

// Whether an energy in units is lower than another as float64, which is how the caller sees them.
__device__ __forceinline__ bool is_lower(int64_t energy, int64_t than) {
  return static_cast<double>(energy) < static_cast<double>(than);
}

// One thread a pixel: consecutive blocks share an item.
struct Pixel {
  int64_t item;
  int32_t index;  // in the image; -1 for a thread without a pixel
};

__device__ __forceinline__ Pixel pixel_of_thread(int32_t pixels) {
  const int32_t blocks =
      (pixels + static_cast<int32_t>(blockDim.x) - 1) / static_cast<int32_t>(blockDim.x);
  const int32_t block = static_cast<int32_t>(blockIdx.x) % blocks;
  const int32_t index =
      block * static_cast<int32_t>(blockDim.x) + static_cast<int32_t>(threadIdx.x);
  return Pixel{static_cast<int64_t>(blockIdx.x) / blocks, index < pixels ? index : -1};
}

}  // namespace device
}  // namespace mrfmask
