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

// Updates all pixels of one colour; returns the largest change of a mean.
template <int kColour, bool kClamped>
float mean_field_half_sweep(const Packed& p, float log2_rate) {
  const PackedShape& s = p.shape;
  const int64_t sites = s.sites();
  const Lanes::Float rate = Lanes::set(log2_rate);
  Lanes::Float change = Lanes::set(0.0f);
  for (int64_t y = 0; y < s.height; ++y) {
    const FieldRow field = field_row(p, kColour, y);
    const float* force = p.force[kColour] + p.row(y);
    float* state = p.state[kColour] + p.row(y);
    for (int64_t j = 0; j < sites; j += Lanes::width) {
      const Lanes::Float odds = log2_odds_lanes<kClamped>(force + j, rate, field(j));
      const Lanes::Float mean = mean_lanes(odds);
      Lanes::Float moved = Lanes::magnitude(Lanes::sub(mean, Lanes::load(state + j)));
      if (__builtin_expect(j + Lanes::width > sites, 0)) {
        moved = Lanes::select(Lanes::first(sites - j), moved, Lanes::set(0.0f));
      }
      change = Lanes::max(change, moved);
      Lanes::store(state + j, mean);
    }
    if (s.wraps_x) wrap_row(p, kColour, y);
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
  const PackedShape shape = packed_shape(g);
  const Packed p = make_packed(shape, static_cast<float*>(out.workspace));
  const bool clamped = pack_potentials(g, p);
  pack_states(p, [&out](int64_t i) { return out.mean[i]; });
  const float rate = log2_odds_rate(run.beta);
  while (out.sweeps < run.max_sweeps && out.change > run.tolerance) {
    out.change = clamped ? mean_field_sweep<true>(p, rate) : mean_field_sweep<false>(p, rate);
    ++out.sweeps;
    poll();
  }
  unpack_states(p, [&out](int64_t i, float mean) { out.mean[i] = mean; });
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
