// The heat-bath update of eight pixels by one thread, the bits of gibbs.h.
//
// Nearly every update is decided by a rough probability: with f the 32 bits that begin with the
// site's sixteen and E = 2^-odds to within 2^-20, on iff f (1 + E) < 2^32, unless the two sides are
// closer than 1 1/16 * 2^16 (1 + E). The rule of gibbs.h has f's upper 16 bits and lower ones of
// its own, a change of less than 2^16; the errors of E (at most 2^30 * 2^-20 on the threshold), of
// rounding f, 1 + E and their product (2^8 each) and of the rule itself (2^10) add up to less than
// 2^12. So beyond that distance both say the same, and within it, about once in 31000 updates, the
// rule of gibbs.h is asked. The comparison is written so that NaN (E = inf) asks it too.
#pragma once

#include "energy.h"
#include "octets.h"

namespace mrfmask {
namespace device {

constexpr float kUnsure = 69632.0f;  // 1 1/16 * 2^16

// The draws of the eight sites: site s has the upper half of word s, or the lower one of word s
// - 4. The 32 bits that begin with them.
__device__ __forceinline__ uint32_t site_bits(const Philox4& words, int32_t s) {
  return s < 4 ? words.word[s] : words.word[s - 4] << 16;
}

struct Octant {
  Stream stream;
  uint32_t block;  // of random bits
  uint32_t step;
};

// Below 0: on, above 0: off, by at least kUnsure (1 + E) in size if the rough rule is sure.
__device__ __forceinline__ float rough_side(float log2_odds, uint32_t bits, bool& sure) {
  const float q = exp2_roughly(-log2_odds) + 1.0f;
  const float side = fused(static_cast<float>(bits), q, -4294967296.0f);
  sure = fabsf(side) >= kUnsure * q;
  return side;
}

// Asks the rule of gibbs.h about the sites that the rough one is not sure of: about one thread in
// 3900. Not unrolled, and without arrays that an index would send through memory.
__device__ __forceinline__ void settle(const Octant& octant, float log2_rate, const Octet& field,
                                       const Philox4& words, Octet& side) {
#pragma unroll 1
  for (int32_t wanted = 0; wanted < 8; ++wanted) {
    float odds = 0.0f;
    uint32_t bits = 0;
#pragma unroll
    for (int32_t s = 0; s < 8; ++s) {
      if (s == wanted) {
        odds = log2_rate * field.site[s];
        bits = site_bits(words, s);
      }
    }
    bool sure;
    rough_side(odds, bits, sure);
    if (sure) continue;
    const HeatBath h = heat_bath(odds);
    const uint32_t high = bits & 0xffff0000u;
    bool on = turns_on(h, high);
    if (on != turns_on(h, high | 0xffffu)) {
      const Philox4 lower = draw(octant.stream, octant.block, octant.step, kHeatBathLow);
      const uint32_t word = word_of(lower, static_cast<uint32_t>(wanted) & 3u);
      on = turns_on(h, high | (wanted < 4 ? word >> 16 : word & 0xffffu));
    }
#pragma unroll
    for (int32_t s = 0; s < 8; ++s) {
      if (s == wanted) side.site[s] = on ? -1.0f : 1.0f;
    }
  }
}

// New states from fields: the sign bit of a site is set where it is on.
__device__ __forceinline__ Octet heat_bath_sides(const Octant& octant, float log2_rate,
                                                 const Octet& field) {
  const Philox4 words = draw(octant.stream, octant.block, octant.step, kHeatBathHigh);
  Octet side;
  bool all_sure = true;
#pragma unroll
  for (int32_t s = 0; s < 8; ++s) {
    bool sure;
    side.site[s] = rough_side(log2_rate * field.site[s], site_bits(words, s), sure);
    all_sure = all_sure && sure;
  }
  if (!all_sure) settle(octant, log2_rate, field, words, side);
  return side;
}

// States in shared memory are bytes, the first of the float +1 (0x3f) or -1 (0xbf): one byte
// permutation makes a float of one.
constexpr uint32_t kAllOn = 0x3f3f3f3fu;

__device__ __forceinline__ float spin_of_byte(uint32_t word, int32_t byte) {
  return __uint_as_float(
      __byte_perm(word, 0x00800000u, 0x0644u | static_cast<uint32_t>(byte) << 12));
}

__device__ __forceinline__ Octet spins_of_bytes(uint2 bytes) {
  Octet spins;
#pragma unroll
  for (int32_t s = 0; s < 8; ++s) {
    spins.site[s] = spin_of_byte(s < 4 ? bytes.x : bytes.y, s % 4);
  }
  return spins;
}

// The top bytes of four floats.
__device__ __forceinline__ uint32_t top_bytes(const Octet& o, int32_t first) {
  const uint32_t low =
      __byte_perm(__float_as_uint(o.site[first]), __float_as_uint(o.site[first + 1]), 0x0073u);
  const uint32_t high =
      __byte_perm(__float_as_uint(o.site[first + 2]), __float_as_uint(o.site[first + 3]), 0x0073u);
  return __byte_perm(low, high, 0x5410u);
}

__device__ __forceinline__ uint32_t spin_bytes(uint32_t sides) {
  return (~sides & 0x80808080u) | kAllOn;
}

__device__ __forceinline__ uint32_t bytes_on(uint32_t sides) { return (sides >> 7) & 0x01010101u; }

// A window of a chain: 226 bytes an octet, and the sums. gibbs_shared_bytes() in launch.h says so
// too.
template <int kOctets>
struct GibbsMemory {
  Potentials<kOctets> potentials;
  uint2 state[2][kOctets];    // by column parity
  uint2 tally[2][kOctets];    // a byte a site: kept sweeps on since the last flush
  int64_t partial[2][32];     // a sum a warp, for two sweeps in turn
  uint8_t given[2][kOctets];  // a bit a site: clamped
};

// Kept sweeps after which a byte of the tally is full.
constexpr int32_t kTallyLimit = 255;

// What the updates of a window have in common.
template <int kOctets>
struct GibbsWindow {
  GibbsMemory<kOctets>& memory;
  Window window;
  Stream stream;
  float units_per_energy;
};

// The sum of term * state, in units; `off` has the sign bit of a site set where it is off.
template <typename Off>
__device__ __forceinline__ int64_t sum_in_units(const Octet& term, float units_per_energy,
                                                Off off) {
  int64_t sum = 0;
#pragma unroll
  for (int32_t s = 0; s < 8; ++s) {
    const uint32_t sign = off(s) & 0x80000000u;
    sum += whole(term.site[s] * __uint_as_float(__float_as_uint(units_per_energy) ^ sign));
  }
  return sum;
}

// The terms of the energy that belong to the octets of a colour (energy.h).
__device__ __forceinline__ Octet energy_terms(bool colour_one, const Octet& field,
                                              const Octet& unary) {
  Octet term;
#pragma unroll
  for (int32_t s = 0; s < 8; ++s) term.site[s] = colour_one ? field.site[s] : unary.site[s];
  return term;
}

// Updates one octet; returns, for a kept sweep, its share of minus the energy.
template <int kParity, bool kKept, int kOctets>
__device__ __forceinline__ int64_t update_octet(const GibbsWindow<kOctets>& w, const Place& at,
                                                uint32_t number, float log2_rate, bool colour_one) {
  GibbsMemory<kOctets>& m = w.memory;
  const Octet field = octet_field<kParity>(
      m.potentials, at, [&m](int32_t p, int32_t i) { return spins_of_bytes(m.state[p][i]); },
      [&m](int32_t p, int32_t i) {
        const uint8_t* bytes = reinterpret_cast<const uint8_t*>(&m.state[p][i]);
        return spin_of_byte(bytes[p == 0 ? 0 : 7], 0);
      });
  Octet side = heat_bath_sides(Octant{w.stream, at.draws, 2u * number + kParity}, log2_rate, field);
  const uint32_t given = m.given[kParity][at.self];
  if (given != 0) {
    const Octet old = spins_of_bytes(m.state[kParity][at.self]);
#pragma unroll
    for (int32_t s = 0; s < 8; ++s) {
      if (given >> s & 1u) side.site[s] = -old.site[s];
    }
  }
  const uint32_t low = top_bytes(side, 0), high = top_bytes(side, 4);
  m.state[kParity][at.self] = uint2{spin_bytes(low), spin_bytes(high)};
  if (!kKept) return 0;
  uint2 tally = m.tally[kParity][at.self];
  tally.x += bytes_on(low);
  tally.y += bytes_on(high);
  m.tally[kParity][at.self] = tally;
  const Octet unary = octet_of(m.potentials.unary[kParity], at.self);
  return sum_in_units(energy_terms(colour_one, field, unary), w.units_per_energy,
                      [&side](int32_t s) { return ~__float_as_uint(side.site[s]); });
}

// Calls visit(octet, column parity, site, pixel) for the pixels of this thread's places.
template <int kPlaces, typename Visit>
__device__ __forceinline__ void for_each_pixel_of(const OwnPlaces<kPlaces>& own, const Window& w,
                                                  int32_t width, Visit visit) {
#pragma unroll
  for (const Place& at : own.place) {
    if (at.self < 0) continue;
    const int32_t y = image_row(w, row_of(w, at.self));
    const int32_t x0 = 16 * image_block(w, block_of(w, at.self));
    if (y < 0 || x0 < 0) continue;
#pragma unroll 1
    for (int32_t i = 0; i < 16 && x0 + i < width; ++i) {
      visit(at.self, i % 2, i / 2, static_cast<int64_t>(y) * width + x0 + i);
    }
  }
}

template <int kOctets>
__device__ __forceinline__ uint8_t& byte_of(uint2 (&octets)[kOctets], int32_t octet, int32_t site) {
  return reinterpret_cast<uint8_t*>(octets)[8 * octet + site];
}

// Reads the states of a window; what lies outside the image is on.
template <int kOctets>
__device__ __forceinline__ void load_states(const Grid& g, const Window& w, const uint8_t* mask,
                                            GibbsMemory<kOctets>& m) {
  for_each_site(w, [&](int32_t octet, int32_t site, int32_t y, int32_t x0) {
#pragma unroll
    for (int32_t parity = 0; parity < 2; ++parity) {
      const int32_t x = x0 + parity;
      const bool inside = octet >= 0 && y >= 0 && x >= 0 && x < g.width;
      const int64_t pixel = static_cast<int64_t>(y) * g.width + x;
      const uint32_t clamped = __ballot_sync(kAllLanes, inside && is_clamp(g.unary[pixel]));
      if (octet < 0) continue;
      byte_of(m.state[parity], octet, site) = !inside || mask[pixel] ? 0x3f : 0xbf;
      byte_of(m.tally[parity], octet, site) = 0;
      if (site == 0) m.given[parity][octet] = static_cast<uint8_t>(clamped >> (lane() & 24));
    }
  });
}

// Writes the states of this thread's places.
template <int kOctets, int kPlaces>
__device__ __forceinline__ void store_states(const OwnPlaces<kPlaces>& own, const Window& w,
                                             int32_t width, GibbsMemory<kOctets>& m,
                                             uint8_t* mask) {
  for_each_pixel_of(own, w, width, [&](int32_t octet, int32_t parity, int32_t site, int64_t pixel) {
    mask[pixel] = byte_of(m.state[parity], octet, site) < 0x80u;
  });
}

// Adds the tallies of this thread's places to the counts and sets them to 0.
template <int kOctets, int kPlaces>
__device__ __forceinline__ void flush_tally(const OwnPlaces<kPlaces>& own, const Window& w,
                                            int32_t width, GibbsMemory<kOctets>& m,
                                            int32_t* counts) {
  for_each_pixel_of(own, w, width, [&](int32_t octet, int32_t parity, int32_t site, int64_t pixel) {
    uint8_t& tally = byte_of(m.tally[parity], octet, site);
    counts[pixel] += tally;
    tally = 0;
  });
}

}  // namespace device
}  // namespace mrfmask
