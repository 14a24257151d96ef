// Checkerboard Gibbs sweeps of one chain on vectors of pixels, the bits of gibbs.h.
//
// Per pixel and sweep: five potentials and four states are read, one state is written (all in the
// nearest cache for an image of 100x100, 160 kB), 7.5 multiplications make the sixteen random bits
// and one polynomial of degree six the probability.
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
  const Lanes::Mask likely = Lanes::less(Lanes::set(-0x1.fffffep-56f), log2_odds);
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
  uint16_t* counts[2];  // like the states: raised where a pixel is on, in kept sweeps
  DrawBuffer draws;
};

// One row of one colour.
struct GibbsRow {
  FieldRow field;
  const float* force;
  float* state;
  uint16_t* counts;
  uint32_t y;
  uint32_t parity;
};

// Decides the lanes whose upper 16 bits do not, about one vector in two thousand, by the scalar
// rule with all 32 bits. Their neighbours are of the other colour, so their fields still stand.
template <bool kClamped>
__attribute__((noinline, cold)) void refine(const GibbsSweep& sweep, const GibbsRow& row, int64_t j,
                                            unsigned undecided) {
  float odds[Lanes::width];
  Lanes::store(odds,
               log2_odds_lanes<kClamped>(row.force + j, Lanes::set(sweep.log2_rate), row.field(j)));
  LastBlock last;
  for (; undecided != 0; undecided &= undecided - 1) {
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(undecided));
    const uint32_t x = 2 * (static_cast<uint32_t>(j) + lane) + row.parity;
    const DrawAddress at =
        draw_address(row.y, x, static_cast<uint32_t>(sweep.packed.shape.width), sweep.number);
    row.state[j + lane] = heat_bath_on(odds[lane], sweep.stream, at, last) ? 1.0f : -1.0f;
  }
}

// Updates one vector of sites. For a kept sweep, counts them and adds field * state (colour 1) or
// unary * state (colour 0) to `sum`.
template <int kColour, bool kKept, bool kClamped>
MRFMASK_LANES void gibbs_vector(const GibbsSweep& sweep, const GibbsRow& row, int64_t j,
                                int64_t sites, Lanes::Float rate, Lanes::Int draws,
                                Lanes::Sum& sum) {
  const Lanes::Float field = row.field(j);
  const Lanes::Float odds = log2_odds_lanes<kClamped>(row.force + j, rate, field);
  Lanes::Mask undecided;
  Lanes::Mask on = heat_bath_lanes(odds, draws, undecided);
  Lanes::Float x = Lanes::select(on, Lanes::set(1.0f), Lanes::set(-1.0f));
  Lanes::store(row.state + j, x);
  if (__builtin_expect(Lanes::any(undecided), 0)) {
    refine<kClamped>(sweep, row, j, Lanes::bits(undecided));
    x = Lanes::load(row.state + j);
    on = Lanes::less(Lanes::set(0.0f), x);
  }
  if (!kKept) return;
  Lanes::count(row.counts + j, on);
  Lanes::Float term = Lanes::times_sign(kColour == 1 ? field : Lanes::load(row.field.unary + j), x);
  if (__builtin_expect(j + Lanes::width > sites, 0)) {
    term = Lanes::select(Lanes::first(sites - j), term, Lanes::set(0.0f));
  }
  sum.add(Lanes::mul(term, Lanes::set(sweep.units.per_energy)));
}

// Updates all pixels of one colour. Returns, for a kept sweep, the sum of field * state (colour 1)
// or unary * state (colour 0) in energy units; the two together are minus the energy, since each
// coupling has one end of colour 1. Fields are float32 sums.
template <int kColour, bool kKept, bool kClamped>
int64_t gibbs_half_sweep(const GibbsSweep& sweep) {
  const Packed& p = sweep.packed;
  const PackedShape& s = p.shape;
  const int64_t sites = s.sites();
  const Lanes::Float rate = Lanes::set(sweep.log2_rate);
  Lanes::Sum sum;
  for (int64_t first = 0; first < s.height; first += sweep.draws.rows) {
    const int64_t left = s.height - first;
    const int64_t rows = left < sweep.draws.rows ? left : sweep.draws.rows;
    fill_draws(sweep.draws, s, kColour, sweep.stream, sweep.keys, sweep.number, first, rows);
    for (int64_t y = first; y < first + rows; ++y) {
      const GibbsRow row{field_row(p, kColour, y),    p.force[kColour] + p.row(y),
                         p.state[kColour] + p.row(y), sweep.counts[kColour] + p.row(y),
                         static_cast<uint32_t>(y),    static_cast<uint32_t>((y + kColour) & 1)};
      const uint32_t* draws = sweep.draws.words + (y - first) * sweep.draws.row_words;
      for (int64_t j = 0; j < sites; j += Lanes::width) {
        gibbs_vector<kColour, kKept, kClamped>(sweep, row, j, sites, rate, Lanes::load(draws + j),
                                               sum);
      }
      if (s.wraps_x) wrap_row(p, kColour, y);
    }
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

// Bytes of workspace that packed_gibbs needs: the packed grid, the draws and the counts.
inline int64_t packed_gibbs_bytes(const Grid& g) {
  const PackedShape s = packed_shape(g);
  return (s.floats() + DrawBuffer::size(s)) * static_cast<int64_t>(sizeof(float)) +
         2 * s.plane() * static_cast<int64_t>(sizeof(uint16_t));
}

inline void unpack_mask(const Packed& p, uint8_t* mask) {
  unpack_states(p, [mask](int64_t i, float state) { mask[i] = state > 0.0f; });
}

// Adds the 16-bit counts to the caller's and sets them to 0.
inline void drain_counts(const GibbsSweep& sweep, int32_t* counts) {
  const PackedShape& s = sweep.packed.shape;
  for_each_half_row(sweep.packed, s.height, s.width,
                    [&](int c, int64_t at, int64_t from, int64_t sites) {
                      const uint16_t* half = sweep.counts[c] + at;
                      for (int64_t j = 0; j < sites; ++j) counts[from + 2 * j] += half[j];
                    });
  memset(sweep.counts[0], 0, static_cast<size_t>(2 * s.plane()) * sizeof(uint16_t));
}

// One chain from out.mask, which holds its start, on a workspace of packed_gibbs_bytes(). Calls
// after_sweep(kept) for every kept sweep that needs the mask; the caller zeroes the counts.
inline void packed_gibbs(const Grid& g, const GibbsRun& run, const GibbsOutput& out, Poll poll,
                         void (*count_equal)(const Grid&, const GibbsOutput&)) {
  const PackedShape shape = packed_shape(g);
  float* floats = static_cast<float*>(out.workspace);
  GibbsSweep sweep{make_packed(shape, floats),
                   Stream{run.key, run.stream, run.chain},
                   round_keys(run.key),
                   0,
                   0.0f,
                   energy_units(g),
                   {},
                   {}};
  const Packed& p = sweep.packed;
  const bool clamped = pack_potentials(g, p);
  uint32_t* words = reinterpret_cast<uint32_t*>(floats + shape.floats());
  sweep.draws = make_draw_buffer(shape, words);
  sweep.counts[0] = reinterpret_cast<uint16_t*>(words + DrawBuffer::size(shape));
  sweep.counts[1] = sweep.counts[0] + shape.plane();
  memset(sweep.counts[0], 0, static_cast<size_t>(2 * shape.plane()) * sizeof(uint16_t));
  pack_states(p, [&out](int64_t i) { return out.mask[i] ? 1.0f : -1.0f; });
  double best = 0.0;
  for (int64_t i = 0; i < run.burn_in + run.sweeps; ++i) {
    sweep.number = run.sweep_offset + static_cast<uint32_t>(i);
    sweep.log2_rate = log2_odds_rate(run.beta[i]);
    poll();
    if (i < run.burn_in) {
      clamped ? gibbs_sweep<false, true>(sweep) : gibbs_sweep<false, false>(sweep);
      continue;
    }
    const int64_t kept = i - run.burn_in;
    const double energy =
        clamped ? gibbs_sweep<true, true>(sweep) : gibbs_sweep<true, false>(sweep);
    out.energies[kept] = energy;
    const bool better = out.best_mask && (kept == 0 || energy < best);
    if (better) {
      best = energy;
      unpack_mask(p, out.best_mask);
    }
    if (out.right_equal) {
      unpack_mask(p, out.mask);
      count_equal(g, out);
    }
    if (kept % 65535 == 65534) drain_counts(sweep, out.counts);
  }
  drain_counts(sweep, out.counts);
  unpack_mask(p, out.mask);
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
