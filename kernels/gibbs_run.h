// A run of one chain of one image: start, sweeps, and what is kept of them.
#pragma once

#include "bit_counts.h"
#include "packed_gibbs.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// What is noted of a kept sweep, a bit a slot: the pixels that are on, and where asked for the
// pairs to the right and down that are equal; stripe after stripe, in whole chunks of words.
struct KeptBits {
  PackedShape shape;
  bool pairs;

  int64_t stripe_words() const {
    return round_up((shape.slots(0) + shape.stride()) / 32 + 2, BitCounts::kChunk);
  }
  int64_t mask_words() const { return kStripes * stripe_words(); }
  int64_t words() const { return (pairs ? 3 : 1) * mask_words(); }
};

inline bool bit_at(const uint32_t* words, int64_t slot) {
  return words[slot / 32] >> (slot % 32) & 1u;
}

// Bytes of workspace: the packed grid, draws, kept bits, their counts, the best mask.
inline int64_t packed_gibbs_bytes(const Grid& g) {
  const PackedShape shape = packed_shape(g);
  const KeptBits kept{shape, true};
  return 4 * (shape.floats() + round_up(Draws::size(shape), kVector) + kept.words() +
              BitCounts::size(kept.words()) + kept.mask_words());
}

// Fills in the bits of the pairs. A bit of padding takes the part of what wraps around to it.
inline void note_equal(const KeptBits& kept, uint32_t* bits) {
  const PackedShape& shape = kept.shape;
  const int64_t stride = shape.stride(), sites = shape.sites(), words = kept.stripe_words();
  for (int s = 0; s < kStripes; ++s) {
    uint8_t* bytes = reinterpret_cast<uint8_t*>(bits + s * words);
    for (int64_t row = 0; shape.wraps_x && row < shape.slots(s); row += stride) {
      const uint8_t mask = static_cast<uint8_t>(1u << (sites % 8));
      uint8_t& copy = bytes[(row + sites) / 8];
      copy = static_cast<uint8_t>(bytes[row / 8] & 1u ? copy | mask : copy & ~mask);
    }
    if (shape.wraps_y && row_parity(s) == 0) {
      memcpy(bytes + shape.slots(s) / 8, bytes, static_cast<size_t>(stride / 8));
    }
  }
  for (int s = 0; s < kStripes; ++s) {
    const uint32_t* here = bits + s * words;
    const uint32_t* right = bits + beside(s) * words;
    const uint8_t* down =
        reinterpret_cast<const uint8_t*>(bits + across(s) * words) + row_parity(s) * stride / 8;
    uint32_t* right_equal = bits + kept.mask_words() + s * words;
    uint32_t* down_equal = right_equal + kept.mask_words();
    for (int64_t w = 0; w * 32 < shape.slots(s); ++w) {
      uint32_t below;
      memcpy(&below, down + 4 * w, sizeof below);
      const uint32_t next = column_parity(s) ? right[w] >> 1 | right[w + 1] << 31 : right[w];
      right_equal[w] = ~(here[w] ^ next);
      down_equal[w] = ~(here[w] ^ below);
    }
  }
}

// Calls visit(pixel or coupling, slot's bit number in `bits`) for `height` x `width` values.
template <typename Visit>
void for_each_bit(const KeptBits& kept, int64_t height, int64_t width, Visit visit) {
  const auto half_row = [&](int s, int64_t at, int64_t from, int64_t sites) {
    const int64_t first = 32 * kept.stripe_words() * s + at;
    for (int64_t j = 0; j < sites; ++j) visit(from + 2 * j, first + j);
  };
  for_each_half_row(kept.shape, height, width, half_row);
}

inline void unpack_mask(const KeptBits& kept, const uint32_t* bits, uint8_t* mask) {
  for_each_bit(kept, kept.shape.height, kept.shape.width,
               [=](int64_t i, int64_t bit) { mask[i] = bit_at(bits, bit); });
}

// Adds the counts to the caller's and sets them to 0.
inline void drain(const KeptBits& kept, BitCounts& counts, const Grid& g, const GibbsOutput& out) {
  counts.settle();
  for_each_bit(kept, g.height, g.width,
               [&](int64_t i, int64_t bit) { out.counts[i] += counts.count(bit); });
  if (kept.pairs) {
    const int64_t right = 32 * kept.mask_words(), down = 2 * right;
    for_each_bit(kept, g.height, right_columns(g),
                 [&](int64_t i, int64_t bit) { out.right_equal[i] += counts.count(right + bit); });
    for_each_bit(kept, down_rows(g), g.width,
                 [&](int64_t i, int64_t bit) { out.down_equal[i] += counts.count(down + bit); });
  }
  counts.clear();
}

// One chain from out.mask, which holds its start, on a workspace of packed_gibbs_bytes(); the
// caller zeroes the counts.
inline void packed_gibbs(const Grid& g, const GibbsRun& run, const GibbsOutput& out, Poll poll) {
  bool clamped;
  float* floats = static_cast<float*>(out.workspace);
  const Packed p = pack(g, floats, clamped);
  pack_states(p, [&out](int64_t i) { return out.mask[i] ? 1.0f : -1.0f; });
  const KeptBits kept{p.shape, run.keep_pairs};
  uint32_t* words = reinterpret_cast<uint32_t*>(floats + p.shape.floats());
  uint32_t* bits = words + round_up(Draws::size(p.shape), kVector);
  uint32_t* best_bits = bits + kept.words();
  BitCounts counts = BitCounts::on(best_bits + kept.mask_words(), kept.words());
  memset(bits, 0, static_cast<size_t>(kept.words()) * sizeof *bits);
  GibbsSweep sweep{
      p,  Stream{run.key, run.stream, run.chain}, round_keys(run.key), 0, 0.0f, energy_units(g),
      {}, number_blocks(p.shape, words)};
  for (int s = 0; s < kStripes; ++s) sweep.on[s] = bits + s * kept.stripe_words();
  double best = 0.0;
  for (int64_t i = 0; i < run.burn_in + run.sweeps; ++i) {
    sweep.number = run.sweep_offset + static_cast<uint32_t>(i);
    sweep.log2_rate = log2_odds_rate(run.beta[i]);
    poll();
    if (i < run.burn_in) {
      clamped ? gibbs_sweep<false, true>(sweep) : gibbs_sweep<false, false>(sweep);
      continue;
    }
    const int64_t number = i - run.burn_in;
    const double energy =
        clamped ? gibbs_sweep<true, true>(sweep) : gibbs_sweep<true, false>(sweep);
    out.energies[number] = energy;
    if (out.best_mask && (number == 0 || energy < best)) {
      best = energy;
      memcpy(best_bits, bits, static_cast<size_t>(kept.mask_words()) * sizeof *bits);
    }
    if (kept.pairs) note_equal(kept, bits);
    counts.add(bits);
    if (number % BitCounts::kMost == BitCounts::kMost - 1) drain(kept, counts, g, out);
  }
  drain(kept, counts, g, out);
  unpack_mask(kept, bits, out.mask);
  if (out.best_mask) unpack_mask(kept, best_bits, out.best_mask);
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
