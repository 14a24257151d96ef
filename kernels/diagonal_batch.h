// A batch of grids with diagonals as the kernels get it; as batch.h.
#pragma once

#include "batch.h"
#include "diagonal_grid.h"

namespace mrfmask {
namespace device {

struct DiagonalBatch {
  Batch batch;
  const float* down_right;  // images x rows of down x columns of right
  const float* down_left;

  __device__ __forceinline__ DiagonalGrid image(int64_t i) const {
    const Grid grid = batch.image(i);
    const int64_t couplings = static_cast<int64_t>(down_rows(grid)) * right_columns(grid);
    return DiagonalGrid{grid, down_right + i * couplings, down_left + i * couplings};
  }
  __device__ __forceinline__ DiagonalGrid item_image(int64_t item) const {
    return image(item / batch.chains);
  }
};

}  // namespace device
}  // namespace mrfmask
