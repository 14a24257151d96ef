// Mean-field sweeps over four colours of one image on vectors of pixels, the bits of
// diagonal_mean_field.h.
#pragma once

#include "packed_diagonals.h"
#include "packed_mean_field.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// Updates all pixels of one colour; raises `change` to the largest change of a mean.
template <bool kClamped>
MRFMASK_LANES void diagonal_mean_field_colour(const PackedDiagonals& p, int stripe,
                                              Lanes::Float rate, Lanes::Float& change) {
  const DiagonalFields field = diagonal_fields_of(p, stripe);
  const PackedShape& shape = p.packed.shape;
  const float* force = p.packed.force[stripe];
  float* state = p.packed.state[stripe];
  unwrap(shape, stripe, state);
  // The slot of a corner, see wrap_with_corner; slots that have no other use may be set, too.
  if (shape.wraps_x && column_parity(stripe) == 1) state[shape.slots(stripe) - 1] = 0.0f;
  for (int64_t j = 0; j < shape.slots(stripe); j += Lanes::width) {
    const Lanes::Float mean = mean_lanes(log2_odds_lanes<kClamped>(force + j, rate, field(j)));
    // Slots beside the grid have no field and stay at 0.
    change = Lanes::max(change, Lanes::magnitude(Lanes::sub(mean, Lanes::load(state + j))));
    Lanes::store(state + j, mean);
  }
  wrap_with_corner(shape, stripe, state);
}

// All colours; the largest change of a mean.
template <bool kClamped>
float diagonal_mean_field_sweep(const PackedDiagonals& p, float log2_rate) {
  Lanes::Float change = Lanes::set(0.0f);
  for (int stripe : kColourOrder) {
    diagonal_mean_field_colour<kClamped>(p, stripe, Lanes::set(log2_rate), change);
  }
  float lanes[Lanes::width];
  Lanes::store(lanes, change);
  float largest = 0.0f;
  for (float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

// Sweeps from out.mean, which holds the start, on a workspace of PackedDiagonals::floats() floats.
inline void packed_diagonal_mean_field(const DiagonalGrid& d, const MeanFieldRun& run,
                                       MeanFieldOutput& out, Poll poll) {
  bool clamped;
  const PackedDiagonals p = pack_diagonals(d, static_cast<float*>(out.workspace), clamped);
  pack_diagonal_states(p, [&out](int64_t i) { return out.mean[i]; });
  const float rate = log2_odds_rate(run.beta);
  while (out.sweeps < run.max_sweeps && out.change > run.tolerance) {
    out.change = clamped ? diagonal_mean_field_sweep<true>(p, rate)
                         : diagonal_mean_field_sweep<false>(p, rate);
    ++out.sweeps;
    poll();
  }
  for_each_half_row(p.packed.shape, d.grid.height, d.grid.width,
                    [&](int s, int64_t at, int64_t from, int64_t sites) {
                      for (int64_t j = 0; j < sites; ++j) {
                        out.mean[from + 2 * j] = p.packed.state[s][at + j];
                      }
                    });
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
