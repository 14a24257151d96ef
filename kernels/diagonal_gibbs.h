// The heat-bath update of one pixel with eight neighbours: the rule and the draws of gibbs.h.
#pragma once

#include "diagonal_grid.h"
#include "energy_units.h"
#include "gibbs.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// New state of pixel (y, x) given its neighbours; writes only `last`.
MRFMASK_HD bool diagonal_gibbs_update(const DiagonalGrid& d, const uint8_t* mask, int32_t y,
                                      int32_t x, float log2_rate, uint32_t sweep, Stream s,
                                      LastBlock& last) {
  const Grid& g = d.grid;
  const float field = diagonal_field(d, y, x, [mask](int64_t i) { return spin(mask[i]); });
  const DrawAddress at = draw_address(y, x, g.width, sweep);
  return heat_bath_on(log2_odds(g, y, x, log2_rate, field), s, at, last);
}

// The energy without the constant, in units, is minus the sum of these over all pixels: state *
// (unary + right + down + down right + down left), each coupling at one of its ends only, summed in
// this order. A clamped unary counts 0.
MRFMASK_HD int64_t diagonal_energy_term(const DiagonalGrid& d, float per_energy,
                                        const uint8_t* mask, int32_t y, int32_t x) {
  const Grid& g = d.grid;
  const auto state = [mask](int64_t i) { return spin(mask[i]); };
  const int64_t width = g.width, columns = right_columns(g), i = y * width + x;
  const int32_t below = next_line(y, g.height, wraps_y(g));
  const int32_t right = next_line(x, g.width, wraps_x(g));
  const int32_t left = previous_line(x, g.width, wraps_x(g));
  float sum = is_clamp(g.unary[i]) ? 0.0f : flush(g.unary[i]);
  if (right >= 0) sum = fused(flush(g.right[y * columns + x]), state(y * width + right), sum);
  if (below >= 0) sum = fused(flush(g.down[i]), state(below * width + x), sum);
  if (below >= 0 && right >= 0) {
    sum = fused(flush(d.down_right[y * columns + x]), state(below * width + right), sum);
  }
  if (below >= 0 && left >= 0) {
    sum = fused(flush(d.down_left[y * columns + left]), state(below * width + left), sum);
  }
  return whole(sum * state(i) * per_energy);
}

#ifndef __CUDACC_RTC__
// For the host.
inline EnergyUnits diagonal_energy_units(const DiagonalGrid& d) {
  const int64_t couplings = static_cast<int64_t>(down_rows(d.grid)) * right_columns(d.grid);
  uint32_t largest = largest_potential_bits(d.grid);
  largest = largest_bits(d.down_right, couplings, largest);
  largest = largest_bits(d.down_left, couplings, largest);
  return units_for(d.grid, largest);
}
#endif

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
