// A grid of couplings as the kernels see it, and the one order in which a local field is summed.
#pragma once

#include "portable.h"

namespace mrfmask {

// One image. unary: height x width. right couples (y,x)-(y,x+1): height x (width-1), or height x
// width when periodic. down couples (y,x)-(y+1,x): (height-1) x width, or height x width when
// periodic. A periodic side of one pixel has no coupling along it (right: 0 columns, down: 0 rows).
struct Grid {
  const float* unary;
  const float* right;
  const float* down;
  int32_t height;
  int32_t width;
  bool periodic;
};

namespace MRFMASK_ISA {

MRFMASK_HD bool wraps_x(const Grid& g) { return g.periodic && g.width > 1; }
MRFMASK_HD bool wraps_y(const Grid& g) { return g.periodic && g.height > 1; }
MRFMASK_HD int32_t right_columns(const Grid& g) { return wraps_x(g) ? g.width : g.width - 1; }
MRFMASK_HD int32_t down_rows(const Grid& g) { return wraps_y(g) ? g.height : g.height - 1; }

// Pixels of one colour touch only other colours, so they may be updated in any order or at once.
// Two colours (a checkerboard) serve every grid but a torus with an odd side, which needs three:
// colour each ring 0101...2 and add the two ring colours modulo 3.
MRFMASK_HD int32_t num_colours(const Grid& g) {
  const bool odd = (wraps_x(g) && g.width % 2 == 1) || (wraps_y(g) && g.height % 2 == 1);
  return odd ? 3 : 2;
}

MRFMASK_HD int32_t colour(const Grid& g, int32_t y, int32_t x) {
  if (num_colours(g) == 2) return (y + x) & 1;
  const int32_t ring_x = (wraps_x(g) && g.width % 2 == 1 && x == g.width - 1) ? 2 : (x & 1);
  const int32_t ring_y = (wraps_y(g) && g.height % 2 == 1 && y == g.height - 1) ? 2 : (y & 1);
  return (ring_x + ring_y) % 3;
}

// Whether a unary is +-inf, a pixel that is given.
MRFMASK_HD bool is_clamp(float unary) { return magnitude(unary) > 0x1p126f; }

// unary + right + left + down + up, in this order everywhere; state(index) gives the neighbour's
// value (a spin of -1 or +1, or a mean in [-1, 1]). A missing neighbour is left out, and so is the
// unary of a clamped pixel.
template <typename State>
MRFMASK_HD float local_field(const Grid& g, int32_t y, int32_t x, State state) {
  const int64_t columns = right_columns(g);
  const int64_t row = static_cast<int64_t>(y) * g.width;
  const int64_t right_row = static_cast<int64_t>(y) * columns;
  const float unary = g.unary[row + x];
  float field = is_clamp(unary) ? 0.0f : flush(unary);
  if (x < columns) {
    const int32_t neighbour = x + 1 < g.width ? x + 1 : 0;
    field = fused(flush(g.right[right_row + x]), state(row + neighbour), field);
  }
  if (x > 0) {
    field = fused(flush(g.right[right_row + x - 1]), state(row + x - 1), field);
  } else if (wraps_x(g)) {
    field = fused(flush(g.right[right_row + g.width - 1]), state(row + g.width - 1), field);
  }
  if (y < down_rows(g)) {
    const int64_t neighbour = y + 1 < g.height ? row + g.width : 0;
    field = fused(flush(g.down[row + x]), state(neighbour + x), field);
  }
  if (y > 0) {
    field = fused(flush(g.down[row - g.width + x]), state(row - g.width + x), field);
  } else if (wraps_y(g)) {
    const int64_t last = static_cast<int64_t>(g.height - 1) * g.width;
    field = fused(flush(g.down[last + x]), state(last + x), field);
  }
  return field;
}

// Base-2 log odds of "on" from a local field: what decides a clamped pixel is its clamp.
MRFMASK_HD float log2_odds(const Grid& g, int32_t y, int32_t x, float log2_rate, float field) {
  const float unary = g.unary[static_cast<int64_t>(y) * g.width + x];
  return is_clamp(unary) ? unary : log2_rate * field;
}

// 2 * beta / ln 2: turns a local field into the base-2 log odds of "on". Limited, so that no
// product with a field overflows: beyond the limit every field but 0 decides.
MRFMASK_HD float log2_odds_rate(double beta) {
  const double rate = 2.0 * beta * 1.4426950408889634;
  return static_cast<float>(rate < 0x1p100 ? rate : 0x1p100);
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
