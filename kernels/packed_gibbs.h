// Checkerboard Gibbs sweeps of one chain on vectors of pixels, the bits of gibbs.h.
//
// Per pixel and sweep: five potentials and four states are read, one state is written, 2.5
// multiplications make the sixteen random bits and one polynomial of degree six the probability.
#pragma once

#include "energy_units.h"
#include "gibbs.h"
#include "loops.h"
#include "packed_draws.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// The heat-bath rule of gibbs.h, on whole vectors and scaled by 2^-32 so that the bar is e itself.
// draws: random bits in the upper half-words. undecided: lanes that need their lower 16 bits.
MRFMASK_LANES Lanes::Mask heat_bath_lanes(Lanes::Float log2_odds, Lanes::Int draws,
                                          Lanes::Mask& undecided) {
  const Lanes::Mask likely = Lanes::less(Lanes::set(-0x1p-55f), log2_odds);
  const Lanes::Float e = exp2_negative_lanes(log2_odds);
  const Lanes::Float high = Lanes::upper_half(draws, likely);
  const Lanes::Float least = Lanes::fused(high, Lanes::set(0x1p-16f), Lanes::set(0x1p-33f));
  const Lanes::Float most = Lanes::fused(high, Lanes::set(0x1p-16f), Lanes::set(0x1.ffffp-17f));
  const Lanes::Mask rare = Lanes::less(Lanes::fused(most, e, most), e);
  undecided = Lanes::without(Lanes::less(Lanes::fused(least, e, least), e), rare);
  return Lanes::exclusive_or(rare, likely);
}

// What the half-sweeps of a chain have in common.
struct GibbsSweep {
  Packed packed;
  Stream stream;
  RoundKeys keys;
  uint32_t number;
  float log2_rate;
  EnergyUnits units;
  uint32_t* on[kStripes];  // of kept sweeps, a bit a slot: whether the pixel is on
  Draws draws;
};

// One stripe.
struct GibbsStripe {
  Fields field;
  const float* force;
  float* state;
  uint8_t* on;
  int number;
};

// Decides the lanes whose upper 16 bits do not, about one vector in two thousand, by the scalar
// rule with all 32 bits. Their neighbours are of the other colour, so their fields still stand.
template <bool kClamped>
__attribute__((noinline, cold)) void refine(const GibbsSweep& sweep, const GibbsStripe& stripe,
                                            int64_t j, unsigned undecided) {
  float odds[Lanes::width];
  Lanes::store(odds, log2_odds_lanes<kClamped>(stripe.force + j, Lanes::set(sweep.log2_rate),
                                               stripe.field(j)));
  const PackedShape& shape = sweep.packed.shape;
  LastBlock last;
  for (; undecided != 0; undecided &= undecided - 1) {
    const int64_t slot = j + __builtin_ctz(undecided);
    const int64_t y = 2 * (slot / shape.stride()) + row_parity(stripe.number);
    const int64_t x = 2 * (slot % shape.stride()) + column_parity(stripe.number);
    const DrawAddress at = draw_address(static_cast<uint32_t>(y), static_cast<uint32_t>(x),
                                        static_cast<uint32_t>(shape.width), sweep.number);
    stripe.state[slot] = heat_bath_on(odds[slot - j], sweep.stream, at, last) ? 1.0f : -1.0f;
  }
}

// Updates one vector of slots. For a kept sweep, notes which are on and adds field * state (colour
// 1) or unary * state (colour 0) to `sum`.
template <int kColour, bool kKept, bool kClamped>
MRFMASK_LANES void gibbs_vector(const GibbsSweep& sweep, const GibbsStripe& stripe, int64_t j,
                                Lanes::Float rate, Lanes::Int draws, Lanes::Sum& sum) {
  const Lanes::Float field = stripe.field(j);
  const Lanes::Float odds = log2_odds_lanes<kClamped>(stripe.force + j, rate, field);
  Lanes::Mask undecided;
  Lanes::Mask on = heat_bath_lanes(odds, draws, undecided);
  Lanes::Float x = Lanes::select(on, Lanes::set(1.0f), Lanes::set(-1.0f));
  Lanes::store(stripe.state + j, x);
  if (__builtin_expect(Lanes::any(undecided), 0)) {
    refine<kClamped>(sweep, stripe, j, Lanes::bits(undecided));
    x = Lanes::load(stripe.state + j);
    on = Lanes::less(Lanes::set(0.0f), x);
  }
  if (!kKept) return;
  Lanes::store_bits(stripe.on + j / 8, on);
  const Lanes::Float term = kColour == 1 ? field : Lanes::load(stripe.field.unary + j);
  // Slots beside the grid have neither unary nor field.
  sum.add(Lanes::mul(Lanes::times_sign(term, x), Lanes::set(sweep.units.per_energy)));
}

// Updates all pixels of one colour. Returns, for a kept sweep, the sum of field * state (colour 1)
// or unary * state (colour 0) in energy units; the two together are minus the energy, since each
// coupling has one end of colour 1. Fields are float32 sums.
template <int kColour, bool kKept, bool kClamped>
int64_t gibbs_half_sweep(const GibbsSweep& sweep) {
  const Packed& p = sweep.packed;
  const PackedShape& shape = p.shape;
  const Lanes::Float rate = Lanes::set(sweep.log2_rate);
  Lanes::Sum sum;
  for (int s = 2 * kColour; s < 2 * kColour + 2; ++s) {
    const GibbsStripe stripe{fields_of(p, s), p.force[s], p.state[s],
                             reinterpret_cast<uint8_t*>(sweep.on[s]), s};
    const int64_t slots = shape.slots(s);
    for (int64_t first = 0; first < slots; first += Draws::kPiece) {
      const int64_t end = slots - first < Draws::kPiece ? slots : first + Draws::kPiece;
      fill_draws(sweep.draws, shape, s, sweep.stream, sweep.keys, sweep.number, first, end);
      const uint32_t* draws = sweep.draws.words - first;
      for (int64_t j = first; j < end; j += Lanes::width) {
        gibbs_vector<kColour, kKept, kClamped>(sweep, stripe, j, rate, Lanes::load(draws + j), sum);
      }
    }
    wrap(shape, s, p.state[s]);
  }
  return sum.total();
}

// Both half-sweeps; returns the energy without the constant if kKept.
template <bool kKept, bool kClamped>
double gibbs_sweep(const GibbsSweep& sweep) {
  const int64_t first = gibbs_half_sweep<0, kKept, kClamped>(sweep);
  const int64_t second = gibbs_half_sweep<1, kKept, kClamped>(sweep);
  return -static_cast<double>(first + second) * sweep.units.energy;
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
