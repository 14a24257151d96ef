// Gibbs sampling of many chains of an image at one inverse temperature: the lanes of a warp are 32
// chains, and a table says for every pixel and every one of the sixteen states of its neighbours
// which draws turn it on. The states of all 32 chains stay in shared memory for all sweeps of a
// launch; tables are read through the caches, 32 bytes a pixel for 32 chains.
//
// A warp updates octets (octets.h), a thread those of its chain; the eight states of an octet are
// the bits of a byte, so that a warp reads and writes 32 consecutive bytes. In a half-sweep a
// thread reads states of the other colour of its chain, which nobody writes, and writes octets that
// no other warp has: no race within a half-sweep, and a barrier between two. Sums of the energy,
// one a warp and a chain, go to two places in turn; what is read after a barrier is written again
// two barriers later.
//
// The states of kept sweeps go to global memory, a bit a pixel, where gibbs_count_chains counts
// them.
//
// Launch: images * ceil(chains / 32) blocks, shared memory and threads by launch.h.
#include "chain_tables.h"
#include "gibbs_octets.h"

namespace mrfmask {
namespace device {

constexpr int32_t kChainWarps = 16;  // at most

// 66 bytes an octet, and the sums. chains_shared_bytes() in launch.h says so too.
template <int kOctets>
struct ChainsMemory {
  int64_t partial[2][kChainWarps][32];
  uint8_t state[2][kOctets][32];  // by column parity, octet and chain: a bit a site, 1 on
  uint8_t given[2][kOctets];      // a bit a site: clamped
};

// What the updates of a block have in common.
template <int kOctets>
struct ChainsWindow {
  ChainsMemory<kOctets>& memory;
  Window window;
  Stream stream;
  ChainTables tables;  // of the image
  float log2_rate;
  float units_per_energy;
};

// Four bits a site: right, left, down and up neighbour on.
template <int kParity, int kOctets>
__device__ __forceinline__ uint32_t neighbours_of(const ChainsMemory<kOctets>& m, const Place& at) {
  const int32_t chain = lane();
  const uint32_t centre = m.state[1 - kParity][at.self][chain];
  const uint32_t down = m.state[kParity][at.down][chain], up = m.state[kParity][at.up][chain];
  uint32_t right = centre, left = centre;
  if (kParity == 0) {
    left = (centre << 1 | m.state[1][at.before][chain] >> 7) & 0xffu;
  } else {
    right = (centre | static_cast<uint32_t>(m.state[0][at.after][chain]) << 8) >> 1 & 0xffu;
  }
  return nibbles(right, left, down, up);
}

// About one thread in 8000: the rule of gibbs.h for the sites whose upper 16 bits do not decide.
__device__ __forceinline__ uint32_t settle_chain(const Octant& octant, const ChainTables& tables,
                                                 int64_t table, float log2_rate,
                                                 uint32_t neighbours, uint32_t on,
                                                 const Philox4& words) {
  const Philox4 lower = draw(octant.stream, octant.block, octant.step, kHeatBathLow);
#pragma unroll 1
  for (int32_t s = 0; s < 8; ++s) {
    const uint32_t word = word_of(words, static_cast<uint32_t>(s) & 3u);
    const uint32_t more = word_of(lower, static_cast<uint32_t>(s) & 3u);
    const uint32_t high = s < 4 ? word >> 16 : word & 0xffffu;
    if (high != tables.bar(table, s, neighbours)) continue;
    const HeatBath h = heat_bath(log2_rate * tables.field(table, s, neighbours));
    const uint32_t low = s < 4 ? more >> 16 : more & 0xffffu;
    on = (on & ~(1u << s)) | static_cast<uint32_t>(turns_on(h, high << 16 | low)) << s;
  }
  return on;
}

// Updates one octet of 32 chains; returns, for a kept sweep, its share of minus the energy.
template <int kParity, bool kKept, int kOctets>
__device__ __forceinline__ int64_t update_chains(const ChainsWindow<kOctets>& w, const Place& at,
                                                 uint32_t number, bool colour_one) {
  ChainsMemory<kOctets>& m = w.memory;
  const Octant octant{w.stream, at.draws, 2u * number + kParity};
  const Philox4 words = draw(octant.stream, octant.block, octant.step, kHeatBathHigh);
  const uint32_t neighbours = neighbours_of<kParity>(m, at);
  const int64_t table = w.tables.octet(kParity, at.self);
  uint32_t on = 0;
  bool decided = true;
#pragma unroll
  for (int32_t s = 7; s >= 0; --s) {
    const uint32_t bar = w.tables.warp_bar(table, s, neighbours);
    const uint32_t high = s < 4 ? words.word[s] >> 16 : words.word[s - 4] & 0xffffu;
    on = __funnelshift_l(high - bar, on, 1);
    decided = decided && high != bar;
  }
  if (!decided) on = settle_chain(octant, w.tables, table, w.log2_rate, neighbours, on, words);
  const uint32_t given = m.given[kParity][at.self];
  if (given != 0) on = (on & ~given) | (m.state[kParity][at.self][lane()] & given);
  m.state[kParity][at.self][lane()] = static_cast<uint8_t>(on);
  if constexpr (kKept) {
    Octet term;
#pragma unroll
    for (int32_t s = 0; s < 8; ++s) {
      term.site[s] =
          colour_one ? w.tables.warp_field(table, s, neighbours) : w.tables.unary(table, s);
    }
    return sum_in_units(term, w.units_per_energy, [on](int32_t s) { return ~on << (31 - s); });
  }
  return 0;
}

// Calls visit(place) for the octets of this warp, of both row parities.
template <typename Visit>
__device__ __forceinline__ void for_each_place_of_warp(const Window& w, Visit visit) {
  const int32_t places = w.half * w.blocks;
#pragma unroll 1
  for (int32_t i = warp(); i < 2 * places; i += warps()) {
    const int32_t odd = i >= places ? 1 : 0;
    visit(place_of(w, odd, i - odd * places));
  }
}

// Both half-sweeps, a barrier behind each.
template <bool kKept, int kOctets>
__device__ __forceinline__ void sweep_chains(const ChainsWindow<kOctets>& w, uint32_t number,
                                             uint8_t* history) {
  ChainsMemory<kOctets>& m = w.memory;
  int64_t sum = 0;
#pragma unroll 1
  for (int32_t colour = 0; colour < 2; ++colour) {
    for_each_place_of_warp(w.window, [&](const Place& at) {
      const bool even_columns = is_odd_row(w.window, at.self) == (colour == 1);
      sum += even_columns ? update_chains<0, kKept>(w, at, number, colour == 1)
                          : update_chains<1, kKept>(w, at, number, colour == 1);
      if (!kKept) return;
      const int32_t parity = even_columns ? 0 : 1;
      history[(parity * w.window.octets() + at.self) * 32 + lane()] =
          m.state[parity][at.self][lane()];
    });
    if (kKept && colour == 1) m.partial[number % 2][warp()][lane()] = sum;
    __syncthreads();
  }
}

// Calls visit(column parity, octet, site, pixel) for the pixels of this warp's octets.
template <typename Visit>
__device__ __forceinline__ void for_each_pixel_of_warp(const Grid& g, const Window& w,
                                                       Visit visit) {
  for_each_place_of_warp(w, [&](const Place& at) {
    const int32_t y = row_of(w, at.self), x0 = 16 * block_of(w, at.self);
    for (int32_t i = 0; i < 16 && y < g.height && x0 + i < g.width; ++i) {
      visit(i % 2, at.self, i / 2, static_cast<int64_t>(y) * g.width + x0 + i);
    }
  });
}

template <int kOctets>
__device__ __forceinline__ void chains_of_block(const Batch& batch, const Sweeps& sweeps,
                                                const int64_t* seed, const ChainTables& tables,
                                                const float* units_per_energy, uint8_t* mask,
                                                int64_t* energies, uint8_t* history) {
  auto& m = *reinterpret_cast<ChainsMemory<kOctets>*>(shared_memory);
  const int32_t groups = (batch.chains + 31) / 32;
  const int64_t image = blockIdx.x / static_cast<uint32_t>(groups);
  const int32_t first_chain = static_cast<int32_t>(blockIdx.x) % groups * 32;
  const bool exists = first_chain + lane() < batch.chains;
  // A lane without a chain does what the first one does, and writes nothing.
  const int64_t item = image * batch.chains + first_chain + (exists ? lane() : 0);
  const Grid g = batch.image(image);
  Stream stream = item_stream(batch, seed, image * batch.chains);
  stream.chain = static_cast<uint32_t>(first_chain + (exists ? lane() : 0));
  // One inverse temperature: that of the first sweep.
  const ChainsWindow<kOctets> w{m,
                                whole_image(g),
                                stream,
                                tables.of_image(image),
                                sweeps.log2_rates[image * sweeps.total],
                                units_per_energy[image]};
  mask += item * batch.pixels();
  for (int32_t i = warp(); i < 2 * w.window.octets(); i += warps()) {
    m.state[i & 1][i / 2][lane()] = 0;
    if (lane() == 0) m.given[i & 1][i / 2] = 0;
  }
  __syncthreads();
  for_each_pixel_of_warp(
      g, w.window, [&](int32_t parity, int32_t octet, int32_t site, int64_t pixel) {
        m.state[parity][octet][lane()] |= static_cast<uint8_t>((mask[pixel] ? 1u : 0u) << site);
        if (lane() == 0 && is_clamp(g.unary[pixel])) {
          m.given[parity][octet] |= static_cast<uint8_t>(1u << site);
        }
      });
  __syncthreads();

  const int32_t first_kept = max(sweeps.first, sweeps.burn_in);
  const int64_t all_kept = sweeps.first + sweeps.count - first_kept;
  const int64_t sweep_bytes = int64_t{64} * w.window.octets();
  if (all_kept > 0) history += blockIdx.x * all_kept * sweep_bytes;
  for (int32_t sweep = sweeps.first; sweep < sweeps.first + sweeps.count; ++sweep) {
    const uint32_t number = sweeps.number(sweep);
    if (sweep < sweeps.burn_in) {
      sweep_chains<false>(w, number, history);
      continue;
    }
    sweep_chains<true>(w, number, history + (sweep - first_kept) * sweep_bytes);
    if (warp() != sweep % warps()) continue;
    int64_t sum = 0;
    for (int32_t i = 0; i < warps(); ++i) sum += m.partial[number % 2][i][lane()];
    if (exists) energies[item * sweeps.kept() + sweep - sweeps.burn_in] = -sum;
  }
  for_each_pixel_of_warp(g, w.window,
                         [&](int32_t parity, int32_t octet, int32_t site, int64_t pixel) {
                           if (exists) mask[pixel] = m.state[parity][octet][lane()] >> site & 1u;
                         });
}

// counts += the kept sweeps in `history` (blocks of gibbs_chains x kept x 2 x octets x 32) in which
// a pixel was on. A warp an octet and parity of a group of chains, a thread a chain, at most 255
// kept sweeps.
extern "C" __global__ void gibbs_count_chains(const uint8_t* history, int32_t height, int32_t width,
                                              int32_t chains, int32_t images, int32_t kept,
                                              int32_t* counts) {
  const int32_t blocks = (width + 15) / 16, half = (height + 1) / 2;
  const int64_t octets = static_cast<int64_t>(2 * half + 2) * blocks;
  const int32_t groups = (chains + 31) / 32;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * warps() + warp();
  const int64_t group = i / (2 * octets);
  const int32_t parity = static_cast<int32_t>(i / octets % 2);
  const int32_t octet = static_cast<int32_t>(i % octets), slot = octet / blocks;
  const int32_t chain = static_cast<int32_t>(group % groups) * 32 + lane();
  const int32_t y = slot <= half ? 2 * slot - 1 : 2 * (slot - 1 - half);
  if (group >= static_cast<int64_t>(images) * groups || slot == 0 || slot > 2 * half ||
      y >= height || chain >= chains) {
    return;
  }
  uint32_t low = 0, high = 0;
  for (int32_t k = 0; k < kept; ++k) {
    const uint32_t on = history[(((group * kept + k) * 2 + parity) * octets + octet) * 32 + lane()];
    low += ((on & 15u) * 0x00204081u) & 0x01010101u;
    high += ((on >> 4 & 15u) * 0x00204081u) & 0x01010101u;
  }
  const int64_t image = group / groups;
  int32_t* row = counts + ((image * chains + chain) * height + y) * width;
#pragma unroll
  for (int32_t s = 0; s < 8; ++s) {
    const int32_t x = 16 * (octet % blocks) + 2 * s + parity;
    if (x < width) row[x] += static_cast<int32_t>((s < 4 ? low : high) >> (8 * (s % 4)) & 0xffu);
  }
}

// unaries, fields, bars: from chain_tables_build. mask: the states before the first sweep, then
// those after the last. history: blocks x kept sweeps of this launch x 2 x octets x 32.
#define MRFMASK_GIBBS_CHAINS(kOctets, kThreads, kBlocks)                                          \
  extern "C" __global__ void __launch_bounds__(kThreads, kBlocks) gibbs_chains_##kOctets(         \
      const float* unary, int32_t height, int32_t width, int32_t periodic, int32_t chains,        \
      const float* log2_rates, int32_t total_sweeps, const int64_t* seed,                         \
      const int64_t* sweep_offset, int32_t burn_in, int32_t first_sweep, int32_t sweeps,          \
      const float* unaries, const float* fields, const uint16_t* bars,                            \
      const float* units_per_energy, uint8_t* mask, int64_t* energies, uint8_t* history) {        \
    chains_of_block<kOctets>(                                                                     \
        Batch{unary, nullptr, nullptr, height, width, periodic, chains},                          \
        Sweeps{log2_rates, sweep_offset, total_sweeps, burn_in, first_sweep, sweeps}, seed,       \
        ChainTables{unaries, fields, bars, packed_octets(height, width)}, units_per_energy, mask, \
        energies, history);                                                                       \
  }

// Sizes: kChains in launch.h.
MRFMASK_GIBBS_CHAINS(1400, 320, 2)
#ifndef MRFMASK_SMALL_SHARED_MEMORY
MRFMASK_GIBBS_CHAINS(3392, 512, 1)
#endif

}  // namespace device
}  // namespace mrfmask
