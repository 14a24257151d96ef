// Diagonals on the four stripes of packed.h, which are the four colours: a pixel's diagonal
// neighbours all lie in the one stripe of the other row and column parity.
//
// Each of the four diagonal couplings of a pixel has an array of its own, so that only states wrap
// around. Tori with an odd side are not packed, as in packed.h.
#pragma once

#include "diagonal_grid.h"
#include "vector_math.h"

namespace mrfmask {
namespace MRFMASK_ISA {

constexpr int diagonal_to(int stripe) { return stripe ^ 1; }

// The stripes in the order of their colours (0, 0), (0, 1), (1, 0), (1, 1).
constexpr int kColourOrder[kStripes] = {0, 2, 3, 1};

struct PackedDiagonals {
  Packed packed;
  float* down_right[kStripes];
  float* up_left[kStripes];
  float* down_left[kStripes];
  float* up_right[kStripes];

  static int64_t floats(const PackedShape& shape) { return shape.floats() + 4 * shape.elements(); }
};

// Packs one kind of diagonal couplings of all pixels: values[y][x] goes to pixel (y + dy, x + dx),
// modulo the sides.
inline void pack_diagonal(const Grid& g, const PackedShape& shape, const float* values, int dy,
                          int dx, float* const to[kStripes]) {
  const int64_t columns = right_columns(g), rows = down_rows(g);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t y = row + dy < g.height ? row + dy : 0;
    const float* from = values + row * columns;
    for (int64_t parity = 0; parity < 2; ++parity) {
      const int stripe = static_cast<int>(2 * ((y + parity) & 1) + (y & 1));
      float* slots = to[stripe] + y / 2 * shape.stride();
      for (int64_t x = parity; x < g.width; x += 2) {
        const int64_t column = x - dx >= 0 ? x - dx : columns - (columns == g.width ? 1 : 0);
        if (column < columns) slots[x / 2] = flush(from[column]);
      }
    }
  }
}

inline PackedDiagonals pack_diagonals(const DiagonalGrid& d, float* workspace, bool& clamped) {
  PackedDiagonals p{pack(d.grid, workspace, clamped), {}, {}, {}, {}};
  const PackedShape& shape = p.packed.shape;
  float* memory = workspace + shape.floats();
  memset(memory, 0, static_cast<size_t>(4 * shape.elements()) * sizeof(float));
  float** const arrays[4] = {p.down_right, p.up_left, p.down_left, p.up_right};
  for (int a = 0; a < 4; ++a) point_stripes(shape, memory + a * shape.elements(), arrays[a]);
  pack_diagonal(d.grid, shape, d.down_right, 0, 0, p.down_right);
  pack_diagonal(d.grid, shape, d.down_right, 1, 1, p.up_left);
  pack_diagonal(d.grid, shape, d.down_left, 0, 1, p.down_left);
  pack_diagonal(d.grid, shape, d.down_left, 1, 0, p.up_right);
  return p;
}

// As wrap() of packed.h, and the corner: what lies both above or below and to the left or right.
// For the last pixel that slot is the last element of the stripe before, which is of no other use.
inline void wrap_with_corner(const PackedShape& shape, int stripe, float* states) {
  wrap(shape, stripe, states);
  if (!shape.wraps_x || !shape.wraps_y) return;
  const int64_t slots = shape.slots(stripe), last = slots - shape.stride(), sites = shape.sites();
  const bool even_row = row_parity(stripe) == 0;
  const int64_t copy = even_row ? slots : -shape.stride(), row = even_row ? 0 : last;
  if (column_parity(stripe) == 0) {
    states[copy + sites] = states[row];
  } else {
    states[copy - 1] = states[row + sites - 1];
  }
}

// The couplings and states of a stripe and their neighbours'.
struct DiagonalFields {
  Fields cross;
  const float *down_right, *up_left, *down_left, *up_right;
  const float *state_down_right, *state_up_left, *state_down_left, *state_up_right;

  // The local fields of the slots j .. j + width - 1, in the order of diagonal_field.
  MRFMASK_LANES Lanes::Float operator()(int64_t j) const {
    Lanes::Float f = cross(j);
    f = Lanes::fused(Lanes::load(down_right + j), Lanes::load(state_down_right + j), f);
    f = Lanes::fused(Lanes::load(up_left + j), Lanes::load(state_up_left + j), f);
    f = Lanes::fused(Lanes::load(down_left + j), Lanes::load(state_down_left + j), f);
    return Lanes::fused(Lanes::load(up_right + j), Lanes::load(state_up_right + j), f);
  }

  // What diagonal_energy_term multiplies by the state.
  MRFMASK_LANES Lanes::Float half(int64_t j) const {
    Lanes::Float f = Lanes::load(cross.unary + j);
    f = Lanes::fused(Lanes::load(cross.right + j), Lanes::load(cross.state_right + j), f);
    f = Lanes::fused(Lanes::load(cross.down + j), Lanes::load(cross.state_down + j), f);
    f = Lanes::fused(Lanes::load(down_right + j), Lanes::load(state_down_right + j), f);
    return Lanes::fused(Lanes::load(down_left + j), Lanes::load(state_down_left + j), f);
  }
};

inline DiagonalFields diagonal_fields_of(const PackedDiagonals& p, int stripe) {
  const Distances to = distances(p.packed.shape, stripe);
  const float* corner = p.packed.state[diagonal_to(stripe)];
  return DiagonalFields{
      fields_of(p.packed, stripe), p.down_right[stripe],       p.up_left[stripe],
      p.down_left[stripe],         p.up_right[stripe],         corner + to.down + to.right,
      corner + to.up + to.left,    corner + to.down + to.left, corner + to.up + to.right};
}

// Sets every state from value(pixel), as pack_states of packed.h.
template <typename Value>
void pack_diagonal_states(const PackedDiagonals& p, Value value) {
  pack_states(p.packed, value);
  for (int s = 0; s < kStripes; ++s) wrap_with_corner(p.packed.shape, s, p.packed.state[s]);
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
