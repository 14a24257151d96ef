// Checkerboard Gibbs sweeps of thirty-two chains of one image at once, the bits of gibbs.h.
//
// A site's state is one word, one bit a chain. Per site and sweep: four words make the numbers of
// 32 neighbourhoods, one table of 32 bytes is looked up for all of them and compared with 32 draws;
// the ten rounds of Philox, two multiplications each, are spread over eight sites of a block.
#pragma once

#include "chain_table.h"
#include "energy_units.h"
#include "loops.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// What the sweeps of a run have in common. Stripes lie like those of Packed.
struct ChainSweep {
  Packed packed;
  uint32_t* states[kStripes];  // bit c: chain stream.chain + c is on
  uint16_t* tables[kStripes];  // kTableSize thresholds a slot
  Stream stream;               // of the first chain
  RoundKeys keys;
  uint32_t number;
  float log2_rate;
  EnergyUnits units;
};

// One stripe: the words of a slot and of its four neighbours.
struct ChainStripe {
  uint32_t* state;
  const uint32_t *right, *left, *down, *up;
  Fields field;
  const float* force;
  const uint16_t* tables;
  int number;

  MRFMASK_LANES ChainLanes::Index index(int64_t j) const {
    return ChainLanes::index(right[j], left[j], down[j], up[j]);
  }
};

inline ChainStripe chain_stripe(const ChainSweep& sweep, int number) {
  const Packed& p = sweep.packed;
  const Distances to = distances(p.shape, number);
  const uint32_t* near = sweep.states[beside(number)];
  const uint32_t* far = sweep.states[across(number)];
  return ChainStripe{sweep.states[number], near + to.right,      near + to.left,
                     far + to.down,        far + to.up,          fields_of(p, number),
                     p.force[number],      sweep.tables[number], number};
}

// Decides the chains whose upper 16 bits do not, about one site in two thousand, by the scalar
// rule.
__attribute__((noinline, cold)) inline uint32_t refine_chains(const ChainSweep& sweep,
                                                              const ChainStripe& stripe, int64_t j,
                                                              ChainLanes::Decision decision) {
  float fields[kTableSize];
  for (int64_t k = 0; k < kTableSize; k += Lanes::width) {
    Lanes::store(fields + k, neighbourhood_fields(stripe.field, j, k));
  }
  const PackedShape& shape = sweep.packed.shape;
  const int64_t y = 2 * (j / shape.stride()) + row_parity(stripe.number);
  const int64_t x = 2 * (j % shape.stride()) + column_parity(stripe.number);
  const DrawAddress at = draw_address(static_cast<uint32_t>(y), static_cast<uint32_t>(x),
                                      static_cast<uint32_t>(shape.width), sweep.number);
  uint32_t on = decision.on;
  for (uint32_t left = decision.undecided; left != 0; left &= left - 1) {
    const int c = __builtin_ctz(left);
    const uint32_t neighbours = (stripe.right[j] >> c & 1) + 2 * (stripe.left[j] >> c & 1) +
                                4 * (stripe.down[j] >> c & 1) + 8 * (stripe.up[j] >> c & 1);
    const float force = stripe.force[j];
    const float odds = force != 0.0f ? force : sweep.log2_rate * fields[neighbours];
    Stream stream = sweep.stream;
    stream.chain += static_cast<uint32_t>(c);
    LastBlock last;
    const uint32_t bit = 1u << c;
    on = heat_bath_on(odds, stream, at, last) ? on | bit : on & ~bit;
  }
  return on;
}

// Calls visit(block of draws, step, first slot, sites) for the blocks of a stripe.
template <typename Visit>
void for_each_block(const PackedShape& shape, int stripe, uint32_t sweep, Visit visit) {
  const int64_t row_blocks = (shape.width + 15) / 16;
  const uint32_t step = 2 * sweep + static_cast<uint32_t>(column_parity(stripe));
  for (int64_t row = 0; row < shape.rows(stripe); ++row) {
    const int64_t y = 2 * row + row_parity(stripe);
    for (int64_t b = 0; b < row_blocks; ++b) {
      const int64_t left = shape.sites() - kBlock * b;
      visit(static_cast<uint32_t>(y * row_blocks + b), step, row * shape.stride() + kBlock * b,
            left < kBlock ? left : kBlock);
    }
  }
}

// Updates all pixels of one colour in all chains. For a kept sweep adds, chain by chain,
// field * state (colour 1) or 2 unary where the pixel is on (colour 0, returning the sum of all
// unaries), in energy units: together minus the energy, as in gibbs_half_sweep.
template <int kColour, bool kKept>
int64_t chains_half_sweep(const ChainSweep& sweep, ChainLanes::Sums& sums) {
  const PackedShape& shape = sweep.packed.shape;
  const Lanes::Float per_energy = Lanes::set(sweep.units.per_energy);
  int64_t total = 0;
  alignas(64) uint16_t draws[ChainLanes::chains * kBlock];
  for (int s = 2 * kColour; s < 2 * kColour + 2; ++s) {
    const ChainStripe stripe = chain_stripe(sweep, s);
    for_each_block(
        shape, s, sweep.number, [&](uint32_t block, uint32_t step, int64_t first, int64_t sites) {
          ChainLanes::draw_block(block, step, sweep.stream, sweep.keys, kHeatBathHigh, draws);
          for (int64_t i = 0; i < sites; ++i) {
            const int64_t j = first + i;
            const ChainLanes::Index index = stripe.index(j);
            const ChainLanes::Decision decision = ChainLanes::decide(
                stripe.tables + kTableSize * j, index, draws + ChainLanes::chains * i);
            uint32_t on = decision.on;
            if (__builtin_expect(decision.undecided != 0, 0)) {
              on = refine_chains(sweep, stripe, j, decision);
            }
            stripe.state[j] = on;
            if (!kKept) continue;
            if (kColour == 0) {
              const int64_t unary = whole(stripe.field.unary[j] * sweep.units.per_energy);
              ChainLanes::add_value(2 * unary, on, sums);
              total += unary;
            } else {
              Lanes::Float fields[kTableSize / Lanes::width];
              for (int64_t k = 0; k < kTableSize / Lanes::width; ++k) {
                fields[k] =
                    Lanes::mul(neighbourhood_fields(stripe.field, j, k * Lanes::width), per_energy);
              }
              ChainLanes::add_fields(fields, index, on, sums);
            }
          }
        });
    wrap(shape, s, stripe.state);
  }
  return total;
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
