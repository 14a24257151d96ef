// Gibbs sweeps over four colours of one chain on vectors of pixels, the bits of diagonal_gibbs.h.
//
// Per pixel and sweep: nine potentials and eight states are read, one state is written.
#pragma once

#include "diagonal_gibbs.h"
#include "packed_diagonals.h"
#include "packed_gibbs.h"

namespace mrfmask {
namespace MRFMASK_ISA {

struct DiagonalSweep {
  PackedDiagonals grid;
  Stream stream;
  RoundKeys keys;
  uint32_t number;
  float log2_rate;
  Draws draws;
};

// Bytes of workspace: the packed grid and draws.
inline int64_t packed_diagonal_gibbs_bytes(const Grid& g) {
  const PackedShape shape = packed_shape(g);
  return 4 * (PackedDiagonals::floats(shape) + round_up(Draws::size(shape), kVector));
}

// Decides the lanes whose upper 16 bits do not, as refine() of packed_gibbs.h.
template <bool kClamped>
__attribute__((noinline, cold)) void refine_diagonal(const DiagonalSweep& sweep, int stripe,
                                                     const DiagonalFields& field, int64_t j,
                                                     unsigned undecided) {
  const Packed& p = sweep.grid.packed;
  float odds[Lanes::width];
  Lanes::store(
      odds, log2_odds_lanes<kClamped>(p.force[stripe] + j, Lanes::set(sweep.log2_rate), field(j)));
  LastBlock last;
  for (; undecided != 0; undecided &= undecided - 1) {
    const int64_t slot = j + __builtin_ctz(undecided);
    const int64_t y = 2 * (slot / p.shape.stride()) + row_parity(stripe);
    const int64_t x = 2 * (slot % p.shape.stride()) + column_parity(stripe);
    const DrawAddress at = draw_address(static_cast<uint32_t>(y), static_cast<uint32_t>(x),
                                        static_cast<uint32_t>(p.shape.width), sweep.number);
    p.state[stripe][slot] = heat_bath_on(odds[slot - j], sweep.stream, at, last) ? 1.0f : -1.0f;
  }
}

// Updates all pixels of one colour.
template <bool kClamped>
void diagonal_gibbs_colour(const DiagonalSweep& sweep, int stripe) {
  const Packed& p = sweep.grid.packed;
  const DiagonalFields field = diagonal_fields_of(sweep.grid, stripe);
  const Lanes::Float rate = Lanes::set(sweep.log2_rate);
  const float* force = p.force[stripe];
  float* state = p.state[stripe];
  const int64_t slots = p.shape.slots(stripe);
  for (int64_t first = 0; first < slots; first += Draws::kPiece) {
    const int64_t end = slots - first < Draws::kPiece ? slots : first + Draws::kPiece;
    fill_draws(sweep.draws, p.shape, stripe, sweep.stream, sweep.keys, sweep.number, first, end);
    const uint32_t* draws = sweep.draws.words - first;
    for (int64_t j = first; j < end; j += Lanes::width) {
      const Lanes::Float odds = log2_odds_lanes<kClamped>(force + j, rate, field(j));
      Lanes::Mask undecided;
      const Lanes::Mask on = heat_bath_lanes(odds, Lanes::load(draws + j), undecided);
      Lanes::store(state + j, Lanes::select(on, Lanes::set(1.0f), Lanes::set(-1.0f)));
      if (__builtin_expect(Lanes::any(undecided), 0)) {
        refine_diagonal<kClamped>(sweep, stripe, field, j, Lanes::bits(undecided));
      }
    }
  }
  wrap_with_corner(p.shape, stripe, state);
}

// The energy of the states, without the constant.
inline double packed_diagonal_energy(const PackedDiagonals& p, const EnergyUnits& units) {
  const Lanes::Float per_energy = Lanes::set(units.per_energy);
  int64_t total = 0;
  for (int s = 0; s < kStripes; ++s) {
    const DiagonalFields field = diagonal_fields_of(p, s);
    const float* state = p.packed.state[s];
    Lanes::Sum sum;
    // Slots beside the grid have no potentials.
    for (int64_t j = 0; j < p.packed.shape.slots(s); j += Lanes::width) {
      sum.add(Lanes::mul(Lanes::times_sign(field.half(j), Lanes::load(state + j)), per_energy));
    }
    total += sum.total();
  }
  return -static_cast<double>(total) * units.energy;
}

// A chain of one image, from a mask.
struct PackedDiagonalChain {
  DiagonalSweep sweep;
  EnergyUnits units;
  bool clamped;

  PackedDiagonalChain(const DiagonalGrid& d, const GibbsRun& run, const uint8_t* mask,
                      void* workspace)
      : sweep{{}, Stream{run.key, run.stream, run.chain}, round_keys(run.key), 0, 0.0f, {}},
        units(diagonal_energy_units(d)),
        clamped(false) {
    float* floats = static_cast<float*>(workspace);
    sweep.grid = pack_diagonals(d, floats, clamped);
    const PackedShape& shape = sweep.grid.packed.shape;
    sweep.draws =
        number_blocks(shape, reinterpret_cast<uint32_t*>(floats + PackedDiagonals::floats(shape)));
    pack_diagonal_states(sweep.grid, [mask](int64_t i) { return mask[i] ? 1.0f : -1.0f; });
  }

  void do_sweep(uint32_t number, float log2_rate) {
    sweep.number = number;
    sweep.log2_rate = log2_rate;
    for (int stripe : kColourOrder) {
      clamped ? diagonal_gibbs_colour<true>(sweep, stripe)
              : diagonal_gibbs_colour<false>(sweep, stripe);
    }
  }

  void read(uint8_t* mask) const {
    const Packed& p = sweep.grid.packed;
    for_each_half_row(p.shape, p.shape.height, p.shape.width,
                      [&](int s, int64_t at, int64_t from, int64_t sites) {
                        const float* state = p.state[s] + at;
                        for (int64_t j = 0; j < sites; ++j) mask[from + 2 * j] = state[j] > 0.0f;
                      });
  }

  double energy() const { return packed_diagonal_energy(sweep.grid, units); }
};

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
