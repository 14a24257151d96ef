// A run of up to thirty-two chains of one image: start, sweeps, and what is kept of them.
#pragma once

#include "bit_counts.h"
#include "packed_chains.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// The workspace of a run, in this order.
struct ChainsWorkspace {
  PackedShape shape;

  // Words of both colours, in whole chunks of BitCounts.
  int64_t words() const {
    return (2 * shape.plane() + BitCounts::kChunk - 1) / BitCounts::kChunk * BitCounts::kChunk;
  }
  int64_t table_numbers() const { return kTableSize * 2 * shape.plane(); }
  int64_t line_words() const { return BitCounts::kPlanes * shape.width; }
  // The packed grid, states, best states, counts, thresholds, lines.
  int64_t bytes() const {
    const int64_t count_words = BitCounts::size(words());
    return (shape.floats() + 2 * words() + count_words + line_words()) * 4 + table_numbers() * 2;
  }
};

inline int64_t chains_bytes(const Grid& g) { return ChainsWorkspace{packed_shape(g)}.bytes(); }

// Calls visit(word, pixel) for every pixel, words numbered from the first of colour 0.
template <typename Visit>
void for_each_word(const Packed& p, Visit visit) {
  const PackedShape& s = p.shape;
  for_each_half_row(p, s.height, s.width, [&](int c, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) visit(c * s.plane() + at + j, from + 2 * j);
  });
}

// One row of pixels in their order: line[x] = word(number of the pixel's word).
template <typename Word>
void read_row(const PackedShape& s, int64_t y, uint32_t* line, Word word) {
  for (int64_t parity = 0; parity < 2; ++parity) {
    const int64_t first = ((y + parity) & 1) * s.plane() + y * s.stride() + kMargin;
    for (int64_t j = 0; 2 * j + parity < s.width; ++j) line[2 * j + parity] = word(first + j);
  }
}

// The states of every chain as masks; `line` has room for a row.
inline void unpack_chains(const PackedShape& s, const uint32_t* words, int64_t chains,
                          uint32_t* line, uint8_t* masks) {
  for (int64_t y = 0; y < s.height; ++y) {
    read_row(s, y, line, [words](int64_t word) { return words[word]; });
    for (int64_t c = 0; c < chains; ++c) {
      uint8_t* mask = masks + (c * s.height + y) * s.width;
      for (int64_t x = 0; x < s.width; ++x) mask[x] = line[x] >> c & 1u;
    }
  }
}

// Adds the counts to the caller's and sets them to 0; `lines` has room for a row a plane.
inline void drain_chains(const PackedShape& s, BitCounts& counts, int64_t chains, uint32_t* lines,
                         int32_t* to) {
  counts.settle();
  for (int64_t y = 0; y < s.height; ++y) {
    for (int64_t k = 0; k < BitCounts::kPlanes; ++k) {
      read_row(s, y, lines + k * s.width, [&](int64_t word) { return counts.plane(k, word); });
    }
    for (int64_t c = 0; c < chains; ++c) {
      int32_t* chain = to + (c * s.height + y) * s.width;
      for (int64_t x = 0; x < s.width; ++x) {
        uint32_t count = 0;
        for (int64_t k = 0; k < BitCounts::kPlanes; ++k) {
          count |= (lines[k * s.width + x] >> c & 1u) << k;
        }
        chain[x] += static_cast<int32_t>(count);
      }
    }
  }
  counts.clear();
}

// Coins for every pixel of every chain, see gibbs_start().
inline void toss_starts(const ChainSweep& sweep) {
  const PackedShape& s = sweep.packed.shape;
  const int64_t blocks_per_row = (s.width + 15) / 16;
  alignas(64) uint16_t draws[ChainLanes::chains * ChainLanes::block_sites];
  for (int64_t y = 0; y < s.height; ++y) {
    for (int64_t parity = 0; parity < 2; ++parity) {
      uint32_t* row = sweep.states[(y + parity) & 1] + sweep.packed.row(y);
      for (int64_t block = 0; block < blocks_per_row; ++block) {
        ChainLanes::draw_block(static_cast<uint32_t>(y * blocks_per_row + block),
                               static_cast<uint32_t>(parity), sweep.stream, sweep.keys, kStart,
                               draws);
        for (int64_t j = 0; j < 8 && 8 * block + j < s.sites(); ++j) {
          row[8 * block + j] = ChainLanes::coins(draws + ChainLanes::chains * j);
        }
      }
    }
  }
}

// The starts of the chains: from `masks` or by coins, and clamped pixels as they are clamped.
inline void start_chains(const ChainSweep& sweep, const GibbsRun& run, const uint8_t* masks) {
  const Packed& p = sweep.packed;
  const PackedShape& s = p.shape;
  uint32_t* words = sweep.states[0];
  if (!run.start_given) toss_starts(sweep);
  for (int64_t c = 0; run.start_given && c < run.chains; ++c) {
    const uint8_t* mask = masks + c * s.height * s.width;
    for_each_word(
        p, [=](int64_t word, int64_t i) { words[word] |= static_cast<uint32_t>(mask[i]) << c; });
  }
  for_each_word(p, [&](int64_t word, int64_t) {
    const float force = p.force[0][word];
    words[word] = force > 0.0f ? ~0u : force < 0.0f ? 0u : words[word];
  });
  for (int64_t y = 0; s.wraps_x && y < s.height; ++y) {
    wrap_row(sweep, 0, y);
    wrap_row(sweep, 1, y);
  }
}

// Adds, for every coupling, the number of chains whose two pixels are equal.
inline void count_equal_chains(const ChainSweep& sweep, int64_t chains, const Grid& g,
                               const GibbsOutput& out) {
  const PackedShape& s = sweep.packed.shape;
  const uint32_t used = chains < 32 ? (1u << chains) - 1 : ~0u;
  const auto count = [used](uint32_t a, uint32_t b) { return __builtin_popcount(~(a ^ b) & used); };
  const int64_t columns = right_columns(g);
  for (int64_t y = 0; y < s.height; ++y) {
    for (int colour = 0; colour < 2; ++colour) {
      const ChainRow row = chain_row(sweep, colour, y);
      int64_t* right = out.right_equal + y * columns + row.parity;
      for (int64_t j = 0; 2 * j + row.parity < columns; ++j) {
        right[2 * j] += count(row.state[j], row.right[j]);
      }
      if (y >= down_rows(g)) continue;
      int64_t* down = out.down_equal + y * s.width + row.parity;
      for (int64_t j = 0; 2 * j + row.parity < s.width; ++j) {
        down[2 * j] += count(row.state[j], row.down[j]);
      }
    }
  }
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
  uint32_t* lines = reinterpret_cast<uint32_t*>(tables + space.table_numbers());
  memset(words, 0, static_cast<size_t>(2 * space.words()) * sizeof *words);
  ChainSweep sweep{make_packed(space.shape, floats),
                   {words, words + space.shape.plane()},
                   {tables, tables + space.table_numbers() / 2},
                   Stream{run.key, run.stream, run.chain},
                   round_keys(run.key),
                   0,
                   -1.0f,
                   energy_units(g)};
  const Packed& p = sweep.packed;
  const bool clamped = pack_potentials(g, p);
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
    if (out.right_equal) count_equal_chains(sweep, run.chains, g, out);
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
