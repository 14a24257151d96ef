// Checkerboard mean-field sweeps of one image on vectors of pixels, the bits of mean_field.h.
#pragma once

#include "loops.h"
#include "mean_field.h"
#include "vector_math.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// tanh from base-2 log odds, see mean_from_log2_odds.
MRFMASK_LANES Lanes::Float mean_lanes(Lanes::Float log2_odds) {
  const Lanes::Float e = exp2_negative_lanes(log2_odds), one = Lanes::set(1.0f);
  const Lanes::Float mean = Lanes::div(Lanes::sub(one, e), Lanes::add(one, e));
  const Lanes::Mask below = Lanes::less(log2_odds, Lanes::set(0.0f));
  return Lanes::select(below, Lanes::sub(Lanes::set(0.0f), mean), mean);
}

// Sets the slots beside the rows of a torus to 0, so that their update changes nothing.
inline void unwrap(const PackedShape& shape, int stripe, float* state) {
  const int64_t beside = column_parity(stripe) == 0 ? shape.sites() : -1;
  for (int64_t row = 0; shape.wraps_x && row < shape.slots(stripe); row += shape.stride()) {
    state[row + beside] = 0.0f;
  }
}

// Updates all pixels of one colour; returns the largest change of a mean.
template <int kColour, bool kClamped>
float mean_field_half_sweep(const Packed& p, float log2_rate) {
  const Lanes::Float rate = Lanes::set(log2_rate);
  Lanes::Float change = Lanes::set(0.0f);
  for (int s = 2 * kColour; s < 2 * kColour + 2; ++s) {
    const Fields field = fields_of(p, s);
    const float* force = p.force[s];
    float* state = p.state[s];
    const int64_t slots = p.shape.slots(s);
    unwrap(p.shape, s, state);
    for (int64_t j = 0; j < slots; j += Lanes::width) {
      const Lanes::Float odds = log2_odds_lanes<kClamped>(force + j, rate, field(j));
      const Lanes::Float mean = mean_lanes(odds);
      // Slots beside the grid have no field and stay at 0.
      change = Lanes::max(change, Lanes::magnitude(Lanes::sub(mean, Lanes::load(state + j))));
      Lanes::store(state + j, mean);
    }
    wrap(p.shape, s, state);
  }
  float lanes[Lanes::width];
  Lanes::store(lanes, change);
  float largest = 0.0f;
  for (float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

template <bool kClamped>
float mean_field_sweep(const Packed& p, float log2_rate) {
  const float first = mean_field_half_sweep<0, kClamped>(p, log2_rate);
  const float second = mean_field_half_sweep<1, kClamped>(p, log2_rate);
  return first > second ? first : second;
}

// Sweeps from out.mean, which holds the start, on a workspace of packed_shape(g).floats() floats.
inline void packed_mean_field(const Grid& g, const MeanFieldRun& run, MeanFieldOutput& out,
                              Poll poll) {
  bool clamped;
  const Packed p = pack(g, static_cast<float*>(out.workspace), clamped);
  pack_states(p, [&out](int64_t i) { return out.mean[i]; });
  const float rate = log2_odds_rate(run.beta);
  while (out.sweeps < run.max_sweeps && out.change > run.tolerance) {
    out.change = clamped ? mean_field_sweep<true>(p, rate) : mean_field_sweep<false>(p, rate);
    ++out.sweeps;
    poll();
  }
  for_each_half_row(p.shape, g.height, g.width,
                    [&](int s, int64_t at, int64_t from, int64_t sites) {
                      for (int64_t j = 0; j < sites; ++j)
                        out.mean[from + 2 * j] = p.state[s][at + j];
                    });
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
