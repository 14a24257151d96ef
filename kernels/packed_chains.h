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

// What the sweeps of a run have in common. Arrays by colour lie like those of Packed.
struct ChainSweep {
  Packed packed;
  uint32_t* states[2];  // bit c: chain stream.chain + c is on
  uint16_t* tables[2];  // kTableSize thresholds a site
  Stream stream;        // of the first chain
  RoundKeys keys;
  uint32_t number;
  float log2_rate;
  EnergyUnits units;
};

// One row of one colour: the words of a site and of its four neighbours.
struct ChainRow {
  uint32_t* state;
  const uint32_t *right, *left, *down, *up;
  FieldRow field;
  const float* force;
  const uint16_t* tables;
  uint32_t y;
  uint32_t parity;

  MRFMASK_LANES ChainLanes::Index index(int64_t j) const {
    return ChainLanes::index(right[j], left[j], down[j], up[j]);
  }
};

inline ChainRow chain_row(const ChainSweep& sweep, int colour, int64_t y) {
  const Packed& p = sweep.packed;
  const VerticalRows rows = vertical_rows(p.shape, y);
  const int64_t parity = (y + colour) & 1;
  const uint32_t* other = sweep.states[1 - colour];
  return ChainRow{sweep.states[colour] + p.row(y), other + p.row(y) + parity,
                  other + p.row(y) + parity - 1,   other + p.row(rows.below),
                  other + p.row(rows.above),       field_row(p, colour, y),
                  p.force[colour] + p.row(y),      sweep.tables[colour] + kTableSize * p.row(y),
                  static_cast<uint32_t>(y),        static_cast<uint32_t>(parity)};
}

// Decides the chains whose upper 16 bits do not, about one site in two thousand, by the scalar
// rule.
__attribute__((noinline, cold)) inline uint32_t refine_chains(const ChainSweep& sweep,
                                                              const ChainRow& row, int64_t j,
                                                              ChainLanes::Decision decision) {
  float fields[kTableSize];
  for (int64_t k = 0; k < kTableSize; k += Lanes::width) {
    Lanes::store(fields + k, neighbourhood_fields(row.field, j, k));
  }
  const uint32_t x = 2 * static_cast<uint32_t>(j) + row.parity;
  const DrawAddress at =
      draw_address(row.y, x, static_cast<uint32_t>(sweep.packed.shape.width), sweep.number);
  uint32_t on = decision.on;
  for (uint32_t left = decision.undecided; left != 0; left &= left - 1) {
    const int c = __builtin_ctz(left);
    const uint32_t neighbours = (row.right[j] >> c & 1) + 2 * (row.left[j] >> c & 1) +
                                4 * (row.down[j] >> c & 1) + 8 * (row.up[j] >> c & 1);
    const float force = row.force[j];
    const float odds = force != 0.0f ? force : sweep.log2_rate * fields[neighbours];
    Stream stream = sweep.stream;
    stream.chain += static_cast<uint32_t>(c);
    LastBlock last;
    const uint32_t bit = 1u << c;
    on = heat_bath_on(odds, stream, at, last) ? on | bit : on & ~bit;
  }
  return on;
}

inline void wrap_row(const ChainSweep& sweep, int colour, int64_t y) {
  uint32_t* state = sweep.states[colour] + sweep.packed.row(y);
  state[-1] = state[sweep.packed.shape.sites() - 1];
  state[sweep.packed.shape.sites()] = state[0];
}

// Updates all pixels of one colour in all chains. For a kept sweep adds, chain by chain,
// field * state (colour 1) or 2 unary where the pixel is on (colour 0, returning the sum of all
// unaries), in energy units: together minus the energy, as in gibbs_half_sweep.
template <int kColour, bool kKept>
int64_t chains_half_sweep(const ChainSweep& sweep, ChainLanes::Sums& sums) {
  const PackedShape& s = sweep.packed.shape;
  const uint32_t blocks_per_row = (static_cast<uint32_t>(s.width) + 15) / 16;
  const int64_t sites = s.sites();
  const Lanes::Float per_energy = Lanes::set(sweep.units.per_energy);
  int64_t total = 0;
  alignas(64) uint16_t draws[ChainLanes::chains * ChainLanes::block_sites];
  for (int64_t y = 0; y < s.height; ++y) {
    const ChainRow row = chain_row(sweep, kColour, y);
    for (int64_t first = 0; first < sites; first += ChainLanes::block_sites) {
      const uint32_t block = row.y * blocks_per_row + static_cast<uint32_t>(first / 8);
      ChainLanes::draw_block(block, 2 * sweep.number + row.parity, sweep.stream, sweep.keys,
                             kHeatBathHigh, draws);
      const int64_t end =
          first + ChainLanes::block_sites < sites ? first + ChainLanes::block_sites : sites;
      for (int64_t j = first; j < end; ++j) {
        const ChainLanes::Index index = row.index(j);
        const ChainLanes::Decision decision = ChainLanes::decide(
            row.tables + kTableSize * j, index, draws + ChainLanes::chains * (j - first));
        uint32_t on = decision.on;
        if (__builtin_expect(decision.undecided != 0, 0)) {
          on = refine_chains(sweep, row, j, decision);
        }
        row.state[j] = on;
        if (!kKept) continue;
        if (kColour == 0) {
          const int64_t unary = whole(row.field.unary[j] * sweep.units.per_energy);
          ChainLanes::add_value(2 * unary, on, sums);
          total += unary;
        } else {
          Lanes::Float fields[kTableSize / Lanes::width];
          for (int64_t k = 0; k < kTableSize / Lanes::width; ++k) {
            fields[k] =
                Lanes::mul(neighbourhood_fields(row.field, j, k * Lanes::width), per_energy);
          }
          ChainLanes::add_fields(fields, index, on, sums);
        }
      }
    }
    if (s.wraps_x) wrap_row(sweep, kColour, y);
  }
  return total;
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
