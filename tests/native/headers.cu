// The kernel headers, unchanged, as CUDA device code: this file has only to compile.
#include "gibbs.h"
#include "mean_field.h"

namespace mrfmask {

__global__ void half_sweep(Grid grid, uint8_t* mask, int32_t wanted, float log2_rate,
                           uint32_t sweep, uint64_t key) {
  const int32_t x = blockIdx.x * blockDim.x + threadIdx.x;
  const int32_t y = blockIdx.y;
  if (x >= grid.width || MRFMASK_ISA::colour(grid, y, x) != wanted) return;
  const MRFMASK_ISA::Stream stream{key, blockIdx.z, 0};
  MRFMASK_ISA::LastBlock last;
  mask[static_cast<int64_t>(y) * grid.width + x] =
      MRFMASK_ISA::gibbs_update(grid, mask, y, x, log2_rate, sweep, stream, last);
}

__global__ void mean_field_half_sweep(Grid grid, float* mean, int32_t wanted, float log2_rate) {
  const int32_t x = blockIdx.x * blockDim.x + threadIdx.x;
  const int32_t y = blockIdx.y;
  if (x >= grid.width || MRFMASK_ISA::colour(grid, y, x) != wanted) return;
  mean[static_cast<int64_t>(y) * grid.width + x] =
      MRFMASK_ISA::mean_field_update(grid, mean, y, x, log2_rate);
}

}  // namespace mrfmask
