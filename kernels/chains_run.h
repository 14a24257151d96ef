// A run of up to thirty-two chains of one image: start, sweeps, and what is kept of them.
#pragma once

#include "bit_counts.h"
#include "packed_chains.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// The workspace of a run, in this order.
struct ChainsWorkspace {
  PackedShape shape;

  int64_t words() const { return shape.elements(); }  // a multiple of BitCounts::kChunk
  int64_t line_words() const { return BitCounts::kPlanes * shape.width; }
  // The packed grid, states, best states, counts, thresholds, lines.
  int64_t bytes() const {
    const int64_t count_words = BitCounts::size(words());
    return (shape.floats() + 2 * words() + count_words + line_words()) * 4 +
           kTableSize * shape.elements() * 2;
  }
};

inline int64_t chains_bytes(const Grid& g) { return ChainsWorkspace{packed_shape(g)}.bytes(); }

// One row of pixels in their order: line[x] = word(number of the pixel's word).
template <typename Word>
void read_row(const PackedShape& shape, int64_t y, uint32_t* line, Word word) {
  for (int64_t parity = 0; parity < 2; ++parity) {
    const int64_t stripe = 2 * ((y + parity) & 1) + (y & 1);
    const int64_t first = stripe * shape.stripe() + shape.before() + y / 2 * shape.stride();
    for (int64_t j = 0; 2 * j + parity < shape.width; ++j) line[2 * j + parity] = word(first + j);
  }
}

// The states of every chain as masks; `line` has room for a row.
inline void unpack_chains(const PackedShape& shape, const uint32_t* words, int64_t chains,
                          uint32_t* line, uint8_t* masks) {
  for (int64_t y = 0; y < shape.height; ++y) {
    read_row(shape, y, line, [words](int64_t word) { return words[word]; });
    for (int64_t c = 0; c < chains; ++c) {
      uint8_t* mask = masks + (c * shape.height + y) * shape.width;
      for (int64_t x = 0; x < shape.width; ++x) mask[x] = line[x] >> c & 1u;
    }
  }
}

// Adds the counts to the caller's and sets them to 0; `lines` has room for a row a plane.
inline void drain_chains(const PackedShape& shape, BitCounts& counts, int64_t chains,
                         uint32_t* lines, int32_t* to) {
  counts.settle();
  for (int64_t y = 0; y < shape.height; ++y) {
    for (int64_t k = 0; k < BitCounts::kPlanes; ++k) {
      uint32_t* line = lines + k * shape.width;
      read_row(shape, y, line, [&](int64_t word) { return counts.plane(k, word); });
    }
    for (int64_t c = 0; c < chains; ++c) {
      int32_t* chain = to + (c * shape.height + y) * shape.width;
      for (int64_t x = 0; x < shape.width; ++x) {
        uint32_t count = 0;
        for (int64_t k = 0; k < BitCounts::kPlanes; ++k) {
          count |= (lines[k * shape.width + x] >> c & 1u) << k;
        }
        chain[x] += static_cast<int32_t>(count);
      }
    }
  }
  counts.clear();
}

// The starts of the chains: from `masks` or by coins (see gibbs_start), and clamped pixels as they
// are clamped.
inline void start_chains(const ChainSweep& sweep, const GibbsRun& run, const uint8_t* masks) {
  const PackedShape& shape = sweep.packed.shape;
  alignas(64) uint16_t draws[ChainLanes::chains * kBlock];
  for (int s = 0; s < kStripes && !run.start_given; ++s) {
    for_each_block(shape, s, 0, [&](uint32_t block, uint32_t step, int64_t first, int64_t sites) {
      ChainLanes::draw_block(block, step, sweep.stream, sweep.keys, kStart, draws);
      for (int64_t i = 0; i < sites; ++i) {
        sweep.states[s][first + i] = ChainLanes::coins(draws + ChainLanes::chains * i);
      }
    });
  }
  const auto half_row = [&](int s, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) {
      uint32_t& word = sweep.states[s][at + j];
      for (int64_t c = 0; run.start_given && c < run.chains; ++c) {
        const uint8_t on = masks[c * shape.height * shape.width + from + 2 * j];
        word |= static_cast<uint32_t>(on) << c;
      }
      const float force = sweep.packed.force[s][at + j];
      if (force != 0.0f) word = force > 0.0f ? ~0u : 0u;
    }
  };
  for_each_half_row(shape, shape.height, shape.width, half_row);
  for (int s = 0; s < kStripes; ++s) wrap(shape, s, sweep.states[s]);
}

// Adds, for every coupling, the number of chains whose two pixels are equal.
inline void count_equal_chains(const ChainSweep& sweep, int64_t chains, const Grid& g,
                               const GibbsOutput& out) {
  const uint32_t used = chains < 32 ? (1u << chains) - 1 : ~0u;
  const auto count = [used](uint32_t a, uint32_t b) { return __builtin_popcount(~(a ^ b) & used); };
  const PackedShape& shape = sweep.packed.shape;
  for_each_half_row(shape, g.height, right_columns(g),
                    [&](int s, int64_t at, int64_t from, int64_t sites) {
                      const ChainStripe stripe = chain_stripe(sweep, s);
                      for (int64_t j = at; j < at + sites; ++j, from += 2) {
                        out.right_equal[from] += count(stripe.state[j], stripe.right[j]);
                      }
                    });
  for_each_half_row(shape, down_rows(g), g.width,
                    [&](int s, int64_t at, int64_t from, int64_t sites) {
                      const ChainStripe stripe = chain_stripe(sweep, s);
                      for (int64_t j = at; j < at + sites; ++j, from += 2) {
                        out.down_equal[from] += count(stripe.state[j], stripe.down[j]);
                      }
                    });
}

// One sweep of all chains; energies without the constant if kKept.
template <bool kKept>
void chains_sweep(const ChainSweep& sweep, double* energies) {
  ChainLanes::Sums sums;
  const int64_t all = chains_half_sweep<0, kKept>(sweep, sums);
  chains_half_sweep<1, kKept>(sweep, sums);
  if (!kKept) return;
  int64_t terms[ChainLanes::chains];
  sums.store(terms);
  for (int64_t c = 0; c < ChainLanes::chains; ++c) {
    energies[c] = -static_cast<double>(terms[c] - all) * sweep.units.energy;
  }
}

// run.chains chains, on a workspace of chains_bytes(); the caller zeroes the counts.
inline void packed_chains(const Grid& g, const GibbsRun& run, const GibbsOutput& out, Poll poll) {
  const ChainsWorkspace space{packed_shape(g)};
  float* floats = static_cast<float*>(out.workspace);
  uint32_t* words = reinterpret_cast<uint32_t*>(floats + space.shape.floats());
  uint32_t* best_words = words + space.words();
  uint32_t* count_words = best_words + space.words();
  BitCounts counts = BitCounts::on(count_words, space.words());
  uint16_t* tables = reinterpret_cast<uint16_t*>(count_words + BitCounts::size(space.words()));
  uint32_t* lines = reinterpret_cast<uint32_t*>(tables + kTableSize * space.words());
  memset(words, 0, static_cast<size_t>(2 * space.words()) * sizeof *words);
  bool clamped;
  ChainSweep sweep{pack(g, floats, clamped), {}, {},    Stream{run.key, run.stream, run.chain},
                   round_keys(run.key),      0,  -1.0f, energy_units(g)};
  const Packed& p = sweep.packed;
  point_stripes(space.shape, words, sweep.states);
  for (int s = 0; s < kStripes; ++s) {
    sweep.tables[s] = tables + kTableSize * (s * space.shape.stripe() + space.shape.before());
  }
  start_chains(sweep, run, out.mask);
  double energies[ChainLanes::chains], best[ChainLanes::chains];
  for (int64_t i = 0; i < run.burn_in + run.sweeps; ++i) {
    poll();
    sweep.number = run.sweep_offset + static_cast<uint32_t>(i);
    const float rate = log2_odds_rate(run.beta[i]);
    if (rate != sweep.log2_rate) {
      sweep.log2_rate = rate;
      clamped ? fill_tables<true>(p, rate, sweep.tables)
              : fill_tables<false>(p, rate, sweep.tables);
    }
    if (i < run.burn_in) {
      chains_sweep<false>(sweep, nullptr);
      continue;
    }
    chains_sweep<true>(sweep, energies);
    const int64_t kept = i - run.burn_in;
    uint32_t better = 0;
    for (int64_t c = 0; c < run.chains; ++c) {
      out.energies[c * run.sweeps + kept] = energies[c];
      if (kept > 0 && energies[c] >= best[c]) continue;
      best[c] = energies[c];
      better |= 1u << c;
    }
    if (out.best_mask && better != 0) {
      for (int64_t w = 0; w < space.words(); ++w) {
        best_words[w] = (best_words[w] & ~better) | (words[w] & better);
      }
    }
    if (run.keep_pairs) count_equal_chains(sweep, run.chains, g, out);
    counts.add(words);
    if (kept % BitCounts::kMost == BitCounts::kMost - 1) {
      drain_chains(space.shape, counts, run.chains, lines, out.counts);
    }
  }
  drain_chains(space.shape, counts, run.chains, lines, out.counts);
  unpack_chains(space.shape, words, run.chains, lines, out.mask);
  if (out.best_mask) unpack_chains(space.shape, best_words, run.chains, lines, out.best_mask);
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
