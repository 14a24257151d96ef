// Kawasaki dynamics: masks with a given number of pixels on, by exchanges of two pixels.
//
// A move picks a free pixel i that is on and a free pixel j that is off, each uniformly, and lets
// the heat bath (gibbs.h) decide which of the two is on from now on: j rather than i with
// probability 1 / (1 + exp(beta (E after - E before))). With f_i, f_j the local fields without the
// coupling between i and j, which the exchange leaves as it is, E after - E before = 2 (f_i - f_j),
// so the rule is that of one pixel in the field f_j - f_i. Detailed balance: both lists keep their
// lengths, so a move and its reverse are picked equally often; the fields of the reverse are the
// same two numbers, and the rule gives odds f and -f exactly opposite probabilities. The chance to
// stay is never 0, so no chain is periodic, and exchanges connect all masks of the count.
//
// A sweep is as many moves as there are free pixels. It starts with both lists in the order of the
// pixels: the mask is the whole state of a chain, which can be continued from it.
//
// Kawasaki, "Diffusion constants near the critical point for time-dependent Ising models", 1966;
// here the two pixels need not be neighbours. Lemire, "Fast random integer generation in an
// interval", 2019, for the picks: a move that his test refuses is one that stays.
#pragma once

#include "energy_units.h"
#include "gibbs.h"
#include "loops.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// What a move reads of a pixel, together in half a cache line; 0 where there is no neighbour.
struct alignas(32) Site {
  float unary, right, left, down, up;
  uint32_t wraps;  // 1, 2, 4, 8: the neighbour in this direction lies across the torus
};

// Moves whose draws are made together, which keeps the processor busier than one by one.
constexpr int64_t kMoves = 128;
// Pixels on their way from memory while others are looked at.
constexpr int64_t kAhead = 8;

struct MoveDraws {
  uint32_t on[kMoves], off[kMoves], heat[kMoves], unused[kMoves];
};

// The draws of `moves` moves from `first` of a sweep: draw(stream, move, sweep, kExchange).
inline void fill_draws(Stream s, uint32_t sweep, uint32_t first, int64_t moves, MoveDraws& draws) {
  const int64_t made = (moves + 15) / 16 * 16;  // whole vectors
  uint32_t key0 = static_cast<uint32_t>(s.key), key1 = static_cast<uint32_t>(s.key >> 32);
  for (int64_t m = 0; m < made; ++m) {
    draws.on[m] = first + static_cast<uint32_t>(m);
    draws.off[m] = sweep;
    draws.heat[m] = s.stream;
    draws.unused[m] = s.chain * 8u + kExchange;
  }
  for (int round = 0; round < 10; ++round) {
    for (int64_t m = 0; m < made; ++m) {
      const uint64_t a = wide_product(0xD2511F53u, draws.on[m]);
      const uint64_t b = wide_product(0xCD9E8D57u, draws.heat[m]);
      draws.on[m] = static_cast<uint32_t>(b >> 32) ^ draws.off[m] ^ key0;
      draws.heat[m] = static_cast<uint32_t>(a >> 32) ^ draws.unused[m] ^ key1;
      draws.off[m] = static_cast<uint32_t>(b);
      draws.unused[m] = static_cast<uint32_t>(a);
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// A list of pixels, of which a draw picks one. Fewer than 2^32, as all pixels are.
struct PixelList {
  uint32_t* pixels;
  uint32_t size;
  uint32_t unfair;  // 2^32 modulo size: so many draws would make some picks likelier than others

  void resize(uint32_t pixels_now) {
    size = pixels_now;
    unfair = size > 0 ? (0u - size) % size : 0;
  }
  uint32_t& pick(uint32_t draw) const { return pixels[wide_product(draw, size) >> 32]; }
  bool fair(uint32_t draw) const { return draw * size >= unfair; }
};

// One chain's state and what its moves read, in a workspace of kawasaki_bytes().
struct Exchange {
  Site* sites;
  MoveDraws* draws;
  uint32_t* free;  // the pixels that are not clamped, in order
  int8_t* spins;   // -1 or 1; a row of margin lies before and behind, so all may be looked at
  PixelList on, off;
  int64_t pixels, width, frees;
  float log2_rate;
};

inline int64_t kawasaki_bytes(const Grid& g) {
  const int64_t width = g.width, pixels = g.height * width;
  return static_cast<int64_t>(sizeof(MoveDraws)) + pixels * static_cast<int64_t>(sizeof(Site)) +
         3 * (pixels + 1) * 4 + pixels + 2 * width;
}

inline Exchange make_exchange(const Grid& g, double beta, const uint8_t* mask, void* workspace) {
  const int64_t width = g.width, pixels = g.height * width, columns = right_columns(g);
  Exchange e{};
  e.draws = static_cast<MoveDraws*>(workspace);
  e.sites = reinterpret_cast<Site*>(e.draws + 1);
  e.free = reinterpret_cast<uint32_t*>(e.sites + pixels);
  e.on.pixels = e.free + pixels + 1;
  e.off.pixels = e.on.pixels + pixels + 1;
  e.spins = reinterpret_cast<int8_t*>(e.off.pixels + pixels + 1) + width;
  e.pixels = pixels;
  e.width = width;
  e.log2_rate = log2_odds_rate(beta);
  memset(e.spins - width, 0, static_cast<size_t>(pixels + 2 * width));
  for (int64_t y = 0, i = 0; y < g.height; ++y) {
    const float* right = g.right + y * columns;
    const float* down = g.down + y * width;
    const float* up = y > 0 ? down - width : g.down + (g.height - 1) * width;
    for (int64_t x = 0; x < width; ++x, ++i) {
      Site& site = e.sites[i];
      const bool clamped = is_clamp(g.unary[i]);
      site.unary = clamped ? 0.0f : flush(g.unary[i]);
      site.right = x < columns ? flush(right[x]) : 0.0f;
      site.left = x > 0 ? flush(right[x - 1]) : wraps_x(g) ? flush(right[width - 1]) : 0.0f;
      site.down = y < down_rows(g) ? flush(down[x]) : 0.0f;
      site.up = y > 0 || wraps_y(g) ? flush(up[x]) : 0.0f;
      site.wraps = wraps_x(g) * ((x + 1 == width) + 2u * (x == 0)) +
                   wraps_y(g) * (4u * (y + 1 == g.height) + 8u * (y == 0));
      e.spins[i] = static_cast<int8_t>(2 * mask[i] - 1);
      if (!clamped) e.free[e.frees++] = static_cast<uint32_t>(i);
    }
  }
  return e;
}

// Both lists from the spins, in the order of the pixels.
inline void list_pixels(Exchange& e) {
  uint32_t on = 0, off = 0;
  for (int64_t f = 0; f < e.frees; ++f) {
    const uint32_t i = e.free[f];
    const bool is_on = e.spins[i] > 0;
    e.on.pixels[on] = i;
    e.off.pixels[off] = i;
    on += is_on;
    off += !is_on;
  }
  e.on.resize(on);
  e.off.resize(off);
}

// unary + right + left + down + up, as local_field sums them.
template <bool torus>
inline float field_of(const Exchange& e, uint32_t pixel) {
  const Site& site = e.sites[pixel];
  const int8_t* at = e.spins + pixel;
  const auto across = [&](int bit, int64_t back) {
    return torus ? back & -static_cast<int64_t>(site.wraps >> bit & 1u) : 0;
  };
  float field = site.unary;
  field = fused(site.right, static_cast<float>(at[1 + across(0, -e.width)]), field);
  field = fused(site.left, static_cast<float>(at[-1 + across(1, e.width)]), field);
  field = fused(site.down, static_cast<float>(at[e.width + across(2, -e.pixels)]), field);
  return fused(site.up, static_cast<float>(at[-e.width + across(3, e.pixels)]), field);
}

// One move; true if it exchanged two pixels. Without a branch that nobody could predict.
template <bool torus>
inline bool exchange(const Exchange& e, uint32_t on_draw, uint32_t off_draw, uint32_t heat) {
  uint32_t& from = e.on.pick(on_draw);
  uint32_t& to = e.off.pick(off_draw);
  const uint32_t i = from, j = to;
  // A spin of 0 takes the coupling of the two out of both fields.
  e.spins[i] = e.spins[j] = 0;
  const float odds = e.log2_rate * (field_of<torus>(e, j) - field_of<torus>(e, i));
  const bool moves = turns_on(heat_bath(odds), heat) & e.on.fair(on_draw) & e.off.fair(off_draw);
  e.spins[i] = static_cast<int8_t>(1 - 2 * moves);
  e.spins[j] = static_cast<int8_t>(2 * moves - 1);
  from = moves ? j : i;
  to = moves ? i : j;
  return moves;
}

// One sweep; how many of its moves exchanged two pixels.
template <bool torus>
inline int64_t exchange_sweep(const Exchange& e, Stream s, uint32_t sweep, Poll poll) {
  if (e.on.size == 0 || e.off.size == 0) return 0;
  const MoveDraws& draws = *e.draws;
  int64_t exchanges = 0;
  for (int64_t first = 0; first < e.frees; first += kMoves) {
    poll();
    const int64_t moves = e.frees - first < kMoves ? e.frees - first : kMoves;
    fill_draws(s, sweep, static_cast<uint32_t>(first), moves, *e.draws);
    for (int64_t m = 0; m < moves; ++m) __builtin_prefetch(&e.off.pick(draws.off[m]));
    for (int64_t m = 0; m < moves; ++m) {
      const int64_t later = m + kAhead < moves ? m + kAhead : m;
      __builtin_prefetch(&e.sites[e.off.pick(draws.off[later])]);
      __builtin_prefetch(&e.sites[e.on.pick(draws.on[later])]);
      exchanges += exchange<torus>(e, draws.on[m], draws.off[m], draws.heat[m]);
    }
  }
  return exchanges;
}

// The energy without the constant, every term rounded by itself. Clamped unaries count 0.
inline double energy_of(const Grid& g, const EnergyUnits& units, const int8_t* spins) {
  const int64_t width = g.width, columns = right_columns(g);
  const auto in_units = [&units](float potential, int32_t state) {
    return whole(flush(potential) * static_cast<float>(state) * units.per_energy);
  };
  int64_t total = 0;
  for (int64_t y = 0; y < g.height; ++y) {
    const int8_t* here = spins + y * width;
    const int8_t* below = spins + (y + 1 < g.height ? y + 1 : 0) * width;
    const float* unary = g.unary + y * width;
    const float* right = g.right + y * columns;
    const float* down = g.down + y * width;
    for (int64_t x = 0; x < width; ++x) {
      total += in_units(is_clamp(unary[x]) ? 0.0f : unary[x], here[x]);
    }
    for (int64_t x = 0; x + 1 < width; ++x) total += in_units(right[x], here[x] * here[x + 1]);
    if (wraps_x(g)) total += in_units(right[width - 1], here[width - 1] * here[0]);
    if (y >= down_rows(g)) continue;
    for (int64_t x = 0; x < width; ++x) total += in_units(down[x], here[x] * below[x]);
  }
  return -static_cast<double>(total) * units.energy;
}

// A uniformly random mask of run.count pixels on, clamped ones included: the first pixels of a
// shuffle of the free ones.
inline void start_at_random(Exchange& e, const KawasakiRun& run, Stream s) {
  int64_t wanted = run.count;
  for (int64_t i = 0; i < e.pixels; ++i) wanted -= e.spins[i] > 0;
  uint32_t* shuffled = e.on.pixels;
  memcpy(shuffled, e.free, static_cast<size_t>(e.frees) * sizeof *shuffled);
  for (int64_t t = 0; t < wanted; ++t) {
    // Of 64 bits, none of 2^32 places is noticeably likelier than another.
    const Philox4 words = draw(s, static_cast<uint32_t>(t), 0, kStart);
    const uint32_t left = static_cast<uint32_t>(e.frees - t);
    const uint64_t low = wide_product(words.word[1], left) >> 32;
    const int64_t other = t + static_cast<int64_t>((wide_product(words.word[0], left) + low) >> 32);
    const uint32_t pixel = shuffled[other];
    shuffled[other] = shuffled[t];
    e.spins[pixel] = 1;
  }
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
