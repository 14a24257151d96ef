// The functions of portable.h and gibbs.h on whole vectors: operation for operation the same, so
// every lane gets the bits of the scalar code.
#pragma once

#if defined(__AVX512F__)
#include "chain_lanes_avx512.h"
#else
#include "chain_lanes_avx2.h"
#endif
#include "packed.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// 2^-|value|.
MRFMASK_LANES Lanes::Float exp2_negative_lanes(Lanes::Float value) {
  const Lanes::Float x = Lanes::max(Lanes::negative(value), Lanes::set(-100.0f));
  const Lanes::Float big = Lanes::set(12582912.0f), three = Lanes::set(3.0f);
  const Lanes::Float shifted = Lanes::add(x, big);
  Lanes::Float fraction = Lanes::sub(x, Lanes::sub(shifted, big));
  fraction = Lanes::sub(Lanes::add(fraction, three), three);
  Lanes::Float p = Lanes::set(0x1.41fbbcp-13f);
  p = Lanes::fused(p, fraction, Lanes::set(0x1.5f3e54p-10f));
  p = Lanes::fused(p, fraction, Lanes::set(0x1.3b2d4cp-7f));
  p = Lanes::fused(p, fraction, Lanes::set(0x1.c6aee8p-5f));
  p = Lanes::fused(p, fraction, Lanes::set(0x1.ebfbdcp-3f));
  p = Lanes::fused(p, fraction, Lanes::set(0x1.62e43p-1f));
  p = Lanes::fused(p, fraction, Lanes::set(1.0f));
  return Lanes::scale(p, shifted);
}

// The local fields of the slots j .. j + width - 1 of a stripe, in the order unary, right, left,
// down, up.
struct Fields {
  const float *unary, *right, *left, *down, *up;
  const float *state_right, *state_left, *state_down, *state_up;

  MRFMASK_LANES Lanes::Float operator()(int64_t j) const {
    Lanes::Float f = Lanes::load(unary + j);
    f = Lanes::fused(Lanes::load(right + j), Lanes::load(state_right + j), f);
    f = Lanes::fused(Lanes::load(left + j), Lanes::load(state_left + j), f);
    f = Lanes::fused(Lanes::load(down + j), Lanes::load(state_down + j), f);
    return Lanes::fused(Lanes::load(up + j), Lanes::load(state_up + j), f);
  }
};

// Distances from a pixel's slot to those of its neighbours, in the stripes beside and across.
struct Distances {
  int64_t right, left, down, up;
};

inline Distances distances(const PackedShape& shape, int stripe) {
  // Even columns have their left neighbour one slot back, odd ones their right one slot on; even
  // rows have the row above one stride back, odd ones the row below one stride on.
  const int64_t right = column_parity(stripe), down = row_parity(stripe) * shape.stride();
  return Distances{right, right - 1, down, down - shape.stride()};
}

inline Fields fields_of(const Packed& p, int stripe) {
  const Distances to = distances(p.shape, stripe);
  const float *near = p.state[beside(stripe)], *far = p.state[across(stripe)];
  return Fields{p.unary[stripe],
                p.right[stripe],
                p.left[stripe],
                p.down[stripe],
                p.down[across(stripe)] + to.up,
                near + to.right,
                near + to.left,
                far + to.down,
                far + to.up};
}

// Base-2 log odds from fields; force: 0, or +inf or -inf for a clamped pixel.
template <bool kClamped>
MRFMASK_LANES Lanes::Float log2_odds_lanes(const float* force, Lanes::Float rate,
                                           Lanes::Float field) {
  const Lanes::Float odds = Lanes::mul(rate, field);
  if (!kClamped) return odds;
  const Lanes::Float clamp = Lanes::load(force);
  const Lanes::Mask given = Lanes::less(Lanes::set(0.0f), Lanes::magnitude(clamp));
  return Lanes::select(given, clamp, odds);
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
