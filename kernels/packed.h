// A grid cut into four stripes, so that a sweep is four passes over long arrays without rows.
//
// Pixel (y, x) lies in the stripe of its colour (y + x) % 2 and row parity y % 2, at slot
// (y / 2) * stride + x / 2. The four neighbours of a stripe's pixels are then at four fixed
// distances: beside them in the stripe of the other colour (one slot to a side), above and below
// in the stripe of the other colour and parity (one stride to a side). Rows are filled up to whole
// blocks of draws, eight slots, by slots without potentials: they are updated like all others, but
// no coupling lets them touch anything. A row of margin lies before and behind every stripe. Grids
// whose colours are no checkerboard (a torus with an odd side) are not packed.
#pragma once

#include "grid.h"

namespace mrfmask {
namespace MRFMASK_ISA {

constexpr int64_t kBlock = 8;    // slots of a row that share a block of draws
constexpr int64_t kVector = 16;  // slots of the longest vector: a pass may go that far beyond
constexpr int kStripes = 4;      // number: 2 * colour + row parity

constexpr int beside(int stripe) { return stripe ^ 2; }
constexpr int across(int stripe) { return stripe ^ 3; }
constexpr int row_parity(int stripe) { return stripe & 1; }
constexpr int column_parity(int stripe) { return (stripe >> 1 ^ stripe) & 1; }

constexpr int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

struct PackedShape {
  int64_t height;
  int64_t width;
  bool wraps_x;
  bool wraps_y;

  // Slots of a row that are pixels (at most), and all of them. On a torus there is room for one
  // more, and no pass goes beyond the last row, where margins have couplings.
  int64_t sites() const { return (width + 1) / 2; }
  int64_t stride() const { return round_up(sites() + wraps_x, wraps_y ? kVector : kBlock); }
  int64_t rows(int stripe) const { return (height + 1 - row_parity(stripe)) / 2; }
  int64_t slots(int stripe) const { return rows(stripe) * stride(); }
  // Array elements of a stripe, margins included, and before slot 0.
  int64_t stripe() const { return before() + round_up(slots(0) + stride() + kVector, kVector); }
  int64_t before() const { return round_up(stride(), kVector); }
  // Elements of an array, of all stripes.
  int64_t elements() const { return kStripes * stripe(); }
  // Floats for unary, force, right, down, state and, on a torus, left.
  int64_t floats() const { return (wraps_x ? 6 : 5) * elements(); }
};

inline PackedShape packed_shape(const Grid& g) {
  return PackedShape{g.height, g.width, g.periodic && g.width > 1, g.periodic && g.height > 1};
}

inline bool can_pack(const Grid& g) {
  const PackedShape s = packed_shape(g);
  return !(s.wraps_x && s.width % 2 == 1) && !(s.wraps_y && s.height % 2 == 1);
}

// Pointers to slot 0 of every stripe, in a workspace of PackedShape::floats().
struct Packed {
  PackedShape shape;
  float* unary[kStripes];  // 0 for a clamped pixel
  float* force[kStripes];  // +inf or -inf for a clamped pixel, else 0
  float* right[kStripes];
  float* down[kStripes];
  float* state[kStripes];       // spins -1, +1 or means
  const float* left[kStripes];  // couplings to the left
};

// Points every stripe of an array that starts at `memory` to its slot 0.
template <typename Value>
void point_stripes(const PackedShape& shape, Value* memory, Value* stripes[kStripes]) {
  for (int s = 0; s < kStripes; ++s) stripes[s] = memory + s * shape.stripe() + shape.before();
}

// Calls visit(stripe, first slot, first pixel, sites) for both stripes of every row of `height` x
// `width` values: value first + 2 j of the row belongs to slot + j.
template <typename Visit>
void for_each_half_row(const PackedShape& shape, int64_t height, int64_t width, Visit visit) {
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t parity = 0; parity < 2; ++parity) {
      const int stripe = static_cast<int>(2 * ((y + parity) & 1) + (y & 1));
      visit(stripe, y / 2 * shape.stride(), y * width + parity, (width + 1 - parity) / 2);
    }
  }
}

// Copies the last row of a stripe before the first one, or the first behind the last, for the rows
// of the stripe across that wrap around.
template <typename Value>
void wrap_ends(const PackedShape& shape, int stripe, Value* values) {
  if (!shape.wraps_y) return;
  const int64_t stride = shape.stride(), slots = shape.slots(stripe);
  const bool even = row_parity(stripe) == 0;
  memcpy(even ? values + slots : values - stride, even ? values : values + slots - stride,
         static_cast<size_t>(stride) * sizeof(Value));
}

// Copies states that wrap around to where their neighbours look for them.
template <typename Value>
void wrap(const PackedShape& shape, int stripe, Value* states) {
  const int64_t sites = shape.sites();
  // Before the rows, because the slot before the first row is one of the margin, too.
  wrap_ends(shape, stripe, states);
  for (int64_t row = 0; shape.wraps_x && row < shape.slots(stripe); row += shape.stride()) {
    // The first even column is the right neighbour of the last odd one.
    if (column_parity(stripe) == 0) {
      states[row + sites] = states[row];
    } else {
      states[row - 1] = states[row + sites - 1];
    }
  }
}

// Packs the flushed potentials; states are left 0. Sets `clamped` if a pixel is.
inline Packed pack(const Grid& g, float* workspace, bool& clamped) {
  const PackedShape shape = packed_shape(g);
  memset(workspace, 0, static_cast<size_t>(shape.floats()) * sizeof(float));
  Packed p{shape, {}, {}, {}, {}, {}, {}};
  float* left[kStripes];
  float** const arrays[6] = {p.unary, p.force, p.right, p.down, p.state, left};
  for (int a = 0; a < (shape.wraps_x ? 6 : 5); ++a) {
    point_stripes(shape, workspace + a * shape.elements(), arrays[a]);
  }
  const int64_t columns = right_columns(g), rows = down_rows(g);
  uint32_t found = 0;
  for_each_half_row(shape, g.height, g.width, [&](int s, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) {
      const float unary = g.unary[from + 2 * j];
      const bool clamp = is_clamp(unary);
      p.unary[s][at + j] = clamp ? 0.0f : flush(unary);
      p.force[s][at + j] = clamp ? unary : 0.0f;
      found |= clamp;
    }
  });
  for_each_half_row(shape, g.height, columns, [&](int s, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) p.right[s][at + j] = flush(g.right[from + 2 * j]);
  });
  for_each_half_row(shape, rows, g.width, [&](int s, int64_t at, int64_t from, int64_t sites) {
    for (int64_t j = 0; j < sites; ++j) p.down[s][at + j] = flush(g.down[from + 2 * j]);
  });
  for (int s = 0; s < kStripes; ++s) {
    // The coupling to the left belongs to the left neighbour.
    const int64_t step = column_parity(s) - 1;
    p.left[s] = p.right[beside(s)] + step;
    wrap_ends(shape, s, p.down[s]);
    if (!shape.wraps_x) continue;
    for (int64_t row = 0; row < shape.slots(s); row += shape.stride()) {
      const float* right = p.right[beside(s)] + row;
      for (int64_t j = 0; j < shape.sites(); ++j) {
        left[s][row + j] = right[j + step < 0 ? shape.sites() - 1 : j + step];
      }
    }
    p.left[s] = left[s];
  }
  clamped = found != 0;
  return p;
}

// Sets every state from value(pixel), pixels numbered row by row.
template <typename Value>
void pack_states(const Packed& p, Value value) {
  const PackedShape& shape = p.shape;
  for_each_half_row(shape, shape.height, shape.width,
                    [&](int s, int64_t at, int64_t from, int64_t sites) {
                      for (int64_t j = 0; j < sites; ++j) p.state[s][at + j] = value(from + 2 * j);
                    });
  for (int s = 0; s < kStripes; ++s) wrap(shape, s, p.state[s]);
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
