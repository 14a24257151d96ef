// The energy of a state, as a sum over pixels.
#pragma once

#include "energy_units.h"
#include "gibbs.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// The energy without the constant, in units, is minus the sum of these: field * state over all
// colours but the first, and unary * state over the first, where no coupling is seen twice. Three
// colours (odd tori) see some twice, so there each coupling is added by itself. Clamped unaries
// count 0.
MRFMASK_HD int64_t energy_term(const Grid& g, float per_energy, const uint8_t* mask, int32_t y,
                               int32_t x) {
  const auto state = [mask](int64_t i) { return spin(mask[i]); };
  const auto in_units = [per_energy](float term) { return whole(term * per_energy); };
  const bool checkerboard = num_colours(g) == 2;
  const int64_t i = static_cast<int64_t>(y) * g.width + x;
  if (checkerboard && (y + x) % 2 == 1) return in_units(local_field(g, y, x, state) * state(i));
  int64_t total = is_clamp(g.unary[i]) ? 0 : in_units(flush(g.unary[i]) * state(i));
  if (checkerboard) return total;
  const int64_t row = i - x, columns = right_columns(g);
  const int64_t beside = row + (x + 1 < g.width ? x + 1 : 0);
  const int64_t below = y + 1 < g.height ? i + g.width : x;
  if (x < columns) total += in_units(flush(g.right[y * columns + x]) * state(beside) * state(i));
  if (y < down_rows(g)) total += in_units(flush(g.down[i]) * state(below) * state(i));
  return total;
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
