// The heat-bath update of one pixel: the one acceptance rule of the project.
//
// A pixel with local field f turns on with probability 1 / (1 + exp(-2 beta f)). The rule reads a
// 32-bit draw r and says on iff r < T, where T is 2^32 times that probability (T = 0: never,
// T = 2^32: always, which is what a clamp of +-inf gives). It is written for the less likely of
// the two states, E / (1 + E) <= 1/2 with E = exp(-2 beta |f|), so rare events keep nearly 24
// significant bits and turning all signs round exchanges the two states exactly.
// Without a division: r + 1/2 < 2^32 E / (1 + E)  <=>  (r + 1/2) E + (r + 1/2) < 2^32 E.
#pragma once

#include "grid.h"
#include "philox.h"

namespace mrfmask {
namespace MRFMASK_ISA {

struct HeatBath {
  bool likely;  // whether "on" is the likely state
  float e;      // exp(-2 beta |field|)
};

// log2_odds: field times log2_odds_rate(beta).
MRFMASK_HD HeatBath heat_bath(float log2_odds) {
  log2_odds = flush(log2_odds);
  return HeatBath{log2_odds >= 0.0f, exp2_negative(magnitude(log2_odds))};
}

MRFMASK_HD bool turns_on(HeatBath h, uint32_t r) {
  const uint32_t toward_rare = r ^ (0u - static_cast<uint32_t>(h.likely));
  // float(toward_rare + 1/2), rounded once.
  const float u = fused(static_cast<float>(toward_rare >> 16), 65536.0f,
                        static_cast<float>(toward_rare & 0xffffu) + 0.5f);
  const bool rare = fused(u, h.e, u) < h.e * 4294967296.0f;
  return rare != h.likely;
}

// The rule is monotone in r, so 16 bits decide unless both ends of their interval disagree; only
// then, about once in 2^16 updates, is the second draw made.
MRFMASK_HD bool heat_bath_on(float log2_odds, Stream s, DrawAddress at, LastBlock& last) {
  const HeatBath h = heat_bath(log2_odds);
  const uint32_t high = draw16(s, at, kHeatBathHigh, last) << 16;
  const bool least = turns_on(h, high);
  if (least == turns_on(h, high | 0xffffu)) return least;
  return turns_on(h, high | draw16(s, at, kHeatBathLow));
}

// +1 for on (1), -1 for off (0), without a branch that nobody could predict.
MRFMASK_HD float spin(uint8_t on) { return static_cast<float>(2 * on - 1); }

// New state of pixel (y, x) given its neighbours; writes only `last`.
MRFMASK_HD bool gibbs_update(const Grid& g, const uint8_t* mask, int32_t y, int32_t x,
                             float log2_rate, uint32_t sweep, Stream s, LastBlock& last) {
  const float field = local_field(g, y, x, [mask](int64_t i) { return spin(mask[i]); });
  const DrawAddress at = draw_address(y, x, g.width, sweep);
  return heat_bath_on(log2_odds(g, y, x, log2_rate, field), s, at, last);
}

// State before the first sweep: a clamped pixel as it is clamped, any other a fair coin.
MRFMASK_HD bool gibbs_start(const Grid& g, int32_t y, int32_t x, Stream s, LastBlock& last) {
  const float unary = g.unary[static_cast<int64_t>(y) * g.width + x];
  if (is_clamp(unary)) return unary > 0.0f;
  const DrawAddress at = draw_address(y, x, g.width, 0);
  return draw16(s, at, kStart, last) >> 15;
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
