// A grid of eight neighbours: a grid.h with diagonal couplings, its colours, and the one order in
// which a local field is summed.
#pragma once

#include "grid.h"

namespace mrfmask {

// down_right couples (y,x)-(y+1,x+1), down_left couples (y,x+1)-(y+1,x). Both have down_rows(grid)
// rows and right_columns(grid) columns; what leaves a torus on one side comes back on the other.
struct DiagonalGrid {
  Grid grid;
  const float* down_right;
  const float* down_left;
};

namespace MRFMASK_ISA {

// Colours are pairs of a class of the row and one of the column, in this fixed order: (0, 0),
// (0, 1), (1, 0), (1, 1). A class is the parity; where an odd side wraps around, its first and last
// line touch, so the last one is a class 2 of its own, and there are six or nine colours. Pixels of
// one colour never touch.
MRFMASK_HD int32_t row_classes(const Grid& g) { return wraps_y(g) && g.height % 2 == 1 ? 3 : 2; }
MRFMASK_HD int32_t column_classes(const Grid& g) { return wraps_x(g) && g.width % 2 == 1 ? 3 : 2; }
MRFMASK_HD int32_t num_diagonal_colours(const Grid& g) {
  return row_classes(g) * column_classes(g);
}

MRFMASK_HD int32_t diagonal_colour(const Grid& g, int32_t y, int32_t x) {
  const int32_t row = row_classes(g) == 3 && y == g.height - 1 ? 2 : (y & 1);
  const int32_t column = column_classes(g) == 3 && x == g.width - 1 ? 2 : (x & 1);
  return row * column_classes(g) + column;
}

// The neighbouring row or column at distance +1 or -1; -1 where there is none.
MRFMASK_HD int32_t next_line(int32_t at, int32_t side, bool wraps) {
  return at + 1 < side ? at + 1 : wraps ? 0 : -1;
}
MRFMASK_HD int32_t previous_line(int32_t at, int32_t side, bool wraps) {
  return at > 0 ? at - 1 : wraps ? side - 1 : -1;
}

// local_field of grid.h, then + down right + up left + down left + up right, in this order
// everywhere. A missing neighbour is left out.
template <typename State>
MRFMASK_HD float diagonal_field(const DiagonalGrid& d, int32_t y, int32_t x, State state) {
  const Grid& g = d.grid;
  const int64_t width = g.width, columns = right_columns(g);
  const int32_t below = next_line(y, g.height, wraps_y(g));
  const int32_t above = previous_line(y, g.height, wraps_y(g));
  const int32_t right = next_line(x, g.width, wraps_x(g));
  const int32_t left = previous_line(x, g.width, wraps_x(g));
  float field = local_field(g, y, x, state);
  if (below >= 0 && right >= 0) {
    field = fused(flush(d.down_right[y * columns + x]), state(below * width + right), field);
  }
  if (above >= 0 && left >= 0) {
    field = fused(flush(d.down_right[above * columns + left]), state(above * width + left), field);
  }
  if (below >= 0 && left >= 0) {
    field = fused(flush(d.down_left[y * columns + left]), state(below * width + left), field);
  }
  if (above >= 0 && right >= 0) {
    field = fused(flush(d.down_left[above * columns + x]), state(above * width + right), field);
  }
  return field;
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
