// The mean-field update of one pixel with eight neighbours, as in mean_field.h.
#pragma once

#include "diagonal_grid.h"
#include "mean_field.h"

namespace mrfmask {
namespace MRFMASK_ISA {

MRFMASK_HD float diagonal_mean_field_update(const DiagonalGrid& d, const float* mean, int32_t y,
                                            int32_t x, float log2_rate) {
  const float field = diagonal_field(d, y, x, [mean](int64_t i) { return mean[i]; });
  return mean_from_log2_odds(log2_odds(d.grid, y, x, log2_rate, field));
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
