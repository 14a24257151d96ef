// The mean-field update of one pixel: m = tanh(beta (unary + sum pairwise m_neighbour)).
//
// Pixels of one colour do not touch, so updating them together is coordinate ascent on the
// evidence lower bound, which therefore never falls (up to rounding). Reference: Wainwright and
// Jordan, "Graphical models, exponential families, and variational inference", 2008, section 5.3.
#pragma once

#include "grid.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// tanh from the base-2 log odds x = 2 beta f / ln 2: (1 - 2^-|x|) / (1 + 2^-|x|) with the sign of
// x. Exactly +-1 for a clamped pixel, exactly odd, absolute error below 2e-7.
MRFMASK_HD float mean_from_log2_odds(float log2_odds) {
  const float e = exp2_negative(magnitude(log2_odds));
  const float mean = (1.0f - e) / (1.0f + e);
  return log2_odds < 0.0f ? -mean : mean;
}

MRFMASK_HD float mean_field_update(const Grid& g, const float* mean, int32_t y, int32_t x,
                                   float log2_rate) {
  const float field = local_field(g, y, x, [mean](int64_t i) { return mean[i]; });
  return mean_from_log2_odds(log2_odds(g, y, x, log2_rate, field));
}

// A start given by the user, brought to the form that updates give: 0 or at least 2^-25.
MRFMASK_HD float mean_field_start(float mean) { return magnitude(mean) < 0x1p-25f ? 0.0f : mean; }

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
