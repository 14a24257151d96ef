// For every site a table of sixteen thresholds, one for each state of its four neighbours: all that
// a sweep over many chains needs to know of the potentials.
//
// A table holds, in 16 bits, the number of upper half-words of a draw that turn the pixel on
// whatever the lower half is; a draw with just that upper half is decided by the scalar rule. So
// the tables give the very bits of gibbs.h, and neighbours are numbered right + 2 left + 4 down +
// 8 up, a neighbour that is on counting 1.
#pragma once

#include "gibbs.h"
#include "vector_math.h"

namespace mrfmask {
namespace MRFMASK_ISA {

constexpr int64_t kTableSize = 16;

// Spins of the four neighbours for the numbers 0..15, in the order right, left, down, up.
alignas(64) static const float kNeighbourSpins[4][kTableSize] = {
    {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1},
    {-1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1},
    {-1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1},
    {-1, -1, -1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 1, 1, 1},
};

// Local fields of slot j for the neighbourhoods first .. first + Lanes::width - 1.
MRFMASK_LANES Lanes::Float neighbourhood_fields(const Fields& stripe, int64_t j, int64_t first) {
  const float* couplings[4] = {stripe.right + j, stripe.left + j, stripe.down + j, stripe.up + j};
  Lanes::Float field = Lanes::set(stripe.unary[j]);
  for (int k = 0; k < 4; ++k) {
    const Lanes::Float spins = Lanes::load(kNeighbourSpins[k] + first);
    field = Lanes::fused(Lanes::set(*couplings[k]), spins, field);
  }
  return field;
}

// Upper half-words that decide for "on" alone; monotone in the odds, so one look at the rule next
// to an estimate settles the count.
MRFMASK_LANES Lanes::Float thresholds(Lanes::Float log2_odds) {
  const Lanes::Mask likely = Lanes::less(Lanes::set(-0x1p-55f), log2_odds);
  const Lanes::Float e = exp2_negative_lanes(log2_odds);
  const Lanes::Float big = Lanes::set(12582912.0f), one = Lanes::set(1.0f);
  // The rare state wins with about 65536 e / (1 + e) upper halves: that, rounded, or one less.
  const Lanes::Float share = Lanes::div(e, Lanes::add(one, e));
  const Lanes::Float estimate = Lanes::sub(Lanes::fused(share, Lanes::set(65536.0f), big), big);
  const Lanes::Float below = Lanes::sub(estimate, one);
  const Lanes::Float most = Lanes::fused(below, Lanes::set(0x1p-16f), Lanes::set(0x1.ffffp-17f));
  const Lanes::Mask rare = Lanes::less(Lanes::fused(most, e, most), e);
  const Lanes::Float count = Lanes::select(rare, estimate, below);
  return Lanes::select(likely, Lanes::sub(Lanes::set(65535.0f), count), count);
}

// Fills the tables (kTableSize numbers a slot, like the other packed arrays) for one rate.
template <bool kClamped>
void fill_tables(const Packed& p, float log2_rate, uint16_t* const tables[kStripes]) {
  const Lanes::Float rate = Lanes::set(log2_rate);
  for (int s = 0; s < kStripes; ++s) {
    const Fields stripe = fields_of(p, s);
    for (int64_t j = 0; j < p.shape.slots(s); ++j) {
      for (int64_t first = 0; first < kTableSize; first += Lanes::width) {
        Lanes::Float odds = Lanes::mul(rate, neighbourhood_fields(stripe, j, first));
        if (kClamped && p.force[s][j] != 0.0f) odds = Lanes::set(p.force[s][j]);
        Lanes::store(tables[s] + kTableSize * j + first, thresholds(odds));
      }
    }
  }
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
