// Reads a mask off the tables of the strips, the last pass having gone to the left.
//
// Column by column: given the columns before, every state of the next one costs what its strips say
// of it and of what lies right of it. The strips of a column are a chain, joined by the pixels that
// they share, so its best state is exact. Where the bound is the minimum, this mask has it, but for
// ties.
#pragma once

#include "strip_bound.h"

namespace mrfmask {

inline void StripBound::decode(uint8_t* mask) const {
  constexpr double kMost = std::numeric_limits<double>::infinity();
  const int64_t width = image_.width, count = strip_count();
  const bool around = image_.periodic && image_.height > 1;
  std::vector<double> column(front_.size());
  // best[n][f][b]: strips 0..n, their first row in state f, the last in state b.
  std::vector<double> best(4 * strips_.size());
  const auto at = [&](int64_t n, int64_t f, int64_t b) -> double& {
    return best[static_cast<size_t>(4 * n + 2 * f + b)];
  };
  const auto is_on = [&](const Strip& s, int64_t k, int64_t x) {
    return mask[pixel(s, k, x)] != 0;
  };
  for (int64_t x = 0; x < width; ++x) {
    std::fill(best.begin(), best.end(), kMost);
    for (int64_t n = 0; n < count; ++n) {
      const Strip& s = strips_[static_cast<size_t>(n)];
      const int64_t states = int64_t{1} << s.height;
      double* table = &column[static_cast<size_t>(s.front)];
      const double* ahead = &kept_[static_cast<size_t>(s.kept + x * s.states)];
      int64_t origin = 0;
      for (int64_t k = 0; k < s.height; ++k) origin |= int64_t{x > 0 && is_on(s, k, 0)} << k;
      for (int64_t i = 0; i < states; ++i) {
        table[i] = ahead[ring_ ? ((x > 0 ? origin : i) << s.height) + i : i];
      }
      // Only the entries of this column: the rest of a ring's table is not looked at.
      Strip flat = s;
      flat.states = states;
      add_column(flat, x, table);
      for (int64_t k = 0; x > 0 && k < s.height; ++k) {
        const double coupling = right_[cell(s, k, x - 1)];
        strip_tables::add_to_unary(table, states, k, is_on(s, k, x - 1) ? coupling : -coupling);
      }
      for (int64_t i = 0; i < states; ++i) {
        const int64_t top = i & 1, bottom = i >> (s.height - 1);
        for (int64_t f = 0; f < 2; ++f) {
          const double above = n > 0 ? at(n - 1, f, top) : f == top ? 0.0 : kMost;
          at(n, f, bottom) = std::min(at(n, f, bottom), above + table[i]);
        }
      }
    }
    int64_t first = 0, below = 0;
    for (int64_t f = 0; f < 2; ++f) {
      for (int64_t b = 0; b < 2; ++b) {
        if (around && b != f) continue;
        if (at(count - 1, f, b) < at(count - 1, first, below)) first = f, below = b;
      }
    }
    for (int64_t n = count - 1; n >= 0; --n) {
      const Strip& s = strips_[static_cast<size_t>(n)];
      const double* table = &column[static_cast<size_t>(s.front)];
      int64_t chosen = -1;
      double least = kMost;
      for (int64_t i = 0; i < int64_t{1} << s.height; ++i) {
        const int64_t top = i & 1;
        if (i >> (s.height - 1) != below || (n == 0 && top != first)) continue;
        const double cost = table[i] + (n > 0 ? at(n - 1, first, top) : 0.0);
        if (cost < least) least = cost, chosen = i;
      }
      for (int64_t k = 0; k < s.height; ++k) {
        mask[pixel(s, k, x)] = static_cast<uint8_t>((chosen >> k) & 1);
      }
      below = chosen & 1;
    }
  }
}

}  // namespace mrfmask
