// A grid split by colour, so that the pixels of one colour in a row lie side by side.
//
// Pixel (y, x) is site x / 2 of row y of colour (y + x) % 2. Every array has, for each colour and
// row, kMargin floats and then the row's sites, filled up to whole vectors with sites without
// potentials. Updating a vector never reads or writes outside its own row and the margins. Grids
// whose colours are no checkerboard (a torus with an odd side) are not packed.
#pragma once

#include "grid.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// 16 floats: room for the neighbour of the first site, and rows that start on cache lines.
constexpr int64_t kMargin = 16;

struct PackedShape {
  int64_t height;
  int64_t width;
  bool wraps_x;
  bool wraps_y;

  int64_t sites() const { return (width + 1) / 2; }
  // Whole vectors, and behind them the margin of the next row.
  int64_t stride() const { return (sites() + kMargin - 1) / kMargin * kMargin + kMargin; }
  // One row more than the grid, without couplings: what lies above an open first row.
  int64_t plane() const { return (height + 1) * stride() + kMargin; }
  // Floats for unary, force, right, down and state of both colours.
  int64_t floats() const { return 10 * plane(); }
};

inline PackedShape packed_shape(const Grid& g) {
  return PackedShape{g.height, g.width, g.periodic && g.width > 1, g.periodic && g.height > 1};
}

inline bool can_pack(const Grid& g) {
  const PackedShape s = packed_shape(g);
  return !(s.wraps_x && s.width % 2 == 1) && !(s.wraps_y && s.height % 2 == 1);
}

// Pointers into a workspace of PackedShape::floats(), by colour. Row `height` is the empty one.
struct Packed {
  PackedShape shape;
  float* unary[2];  // 0 for a clamped pixel
  float* force[2];  // +inf or -inf for a clamped pixel, else 0
  float* right[2];
  float* down[2];
  float* state[2];  // spins -1, +1 or means

  int64_t row(int64_t y) const { return y * shape.stride() + kMargin; }
};

inline Packed make_packed(const PackedShape& shape, float* workspace) {
  Packed p{shape, {}, {}, {}, {}, {}};
  float** arrays[5] = {p.unary, p.force, p.right, p.down, p.state};
  for (int a = 0; a < 5; ++a) {
    for (int c = 0; c < 2; ++c) arrays[a][c] = workspace + (2 * a + c) * shape.plane();
  }
  return p;
}

// Calls visit(colour, index of the row's first site, first pixel, sites) for both colours of every
// row of `height` x `width` values: value x of the row belongs to site j where x = first + 2 j.
template <typename Visit>
void for_each_half_row(const Packed& p, int64_t height, int64_t width, Visit visit) {
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t parity = 0; parity < 2; ++parity) {
      visit(static_cast<int>((y + parity) & 1), p.row(y), y * width + parity,
            (width + 1 - parity) / 2);
    }
  }
}

// Flushed potentials of the grid; states are left 0. Returns whether a pixel is clamped.
inline bool pack_potentials(const Grid& g, const Packed& p) {
  const PackedShape& s = p.shape;
  memset(p.unary[0], 0, static_cast<size_t>(s.floats()) * sizeof(float));
  const int64_t columns = right_columns(g), rows = down_rows(g);
  uint32_t clamped = 0;
  for_each_half_row(p, s.height, s.width, [&](int c, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) {
      const float unary = g.unary[from + 2 * j];
      const bool clamp = is_clamp(unary);
      p.unary[c][at + j] = clamp ? 0.0f : flush(unary);
      p.force[c][at + j] = clamp ? unary : 0.0f;
      clamped |= clamp;
    }
  });
  for_each_half_row(p, s.height, columns, [&](int c, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) p.right[c][at + j] = flush(g.right[from + 2 * j]);
  });
  for_each_half_row(p, rows, s.width, [&](int c, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) p.down[c][at + j] = flush(g.down[from + 2 * j]);
  });
  if (s.wraps_x) {
    // The first pixel's left neighbour is the last pixel: its coupling in the margin.
    for (int64_t y = 0; y < s.height; ++y) {
      float* right = p.right[(y + s.width - 1) & 1] + p.row(y);
      right[-1] = right[s.sites() - 1];
    }
  }
  return clamped != 0;
}

// Copies the states that wrap around a row of one colour into its margins.
inline void wrap_row(const Packed& p, int colour, int64_t y) {
  float* state = p.state[colour] + p.row(y);
  state[-1] = state[p.shape.sites() - 1];
  state[p.shape.sites()] = state[0];
}

// Sets every state from value(pixel), pixels numbered row by row.
template <typename Value>
void pack_states(const Packed& p, Value value) {
  const PackedShape& s = p.shape;
  for_each_half_row(p, s.height, s.width, [&](int c, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) p.state[c][at + j] = value(from + 2 * j);
  });
  for (int64_t y = 0; s.wraps_x && y < s.height; ++y) {
    wrap_row(p, 0, y);
    wrap_row(p, 1, y);
  }
}

// Calls visit(pixel, state) for every pixel.
template <typename Visit>
void unpack_states(const Packed& p, Visit visit) {
  const PackedShape& s = p.shape;
  for_each_half_row(p, s.height, s.width, [&](int c, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) visit(from + 2 * j, p.state[c][at + j]);
  });
}

// The rows above and below row y: round the torus, or the empty row beyond an open boundary.
struct VerticalRows {
  int64_t above;
  int64_t below;
};

inline VerticalRows vertical_rows(const PackedShape& s, int64_t y) {
  return VerticalRows{y > 0       ? y - 1
                      : s.wraps_y ? s.height - 1
                                  : s.height,
                      y + 1 < s.height ? y + 1
                      : s.wraps_y      ? 0
                                       : s.height};
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
