// The MAP of one associative Ising image by a minimum cut, on integers, with its proof.
//
// With y = (x + 1) / 2: E = const + sum u_i y_i + sum c_ij |y_i - y_j|, u = -2 unary, c = 2
// pairwise. All u and c are multiplied by one power of two and rounded; the cut is exact on these
// integers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "max_flow.h"

namespace mrfmask {

// One image; pairwise values are not negative. Layout as in kernels/grid.h.
template <typename Real>
struct CutImage {
  const Real* unary;
  const Real* right;
  const Real* down;
  int64_t height;
  int64_t width;
  bool periodic;
};

template <typename Capacity>
struct CutOutput {
  uint8_t* mask;         // height x width
  Capacity* flow_right;  // like right: net flow from left to right
  Capacity* flow_down;   // like down
  int64_t exponent;      // the scale is 2^exponent
  int64_t minimum;       // of sum u y + sum c |y - y'| in integers, clamped pixels counting 0
  double rounding;       // sum of |rounded - exact| over all u and c, in units of 1 / scale
};

// Integers of magnitude below these: a pixel's terminal plus twice its couplings must not overflow
// a residual, and the sum of all must fit int64.
template <typename Capacity>
constexpr double largest_capacity() {
  return sizeof(Capacity) == 4 ? 0x1p30 : 0x1p60;
}

template <typename Real, typename Capacity, typename Poll>
void graph_cut_image(const CutImage<Real>& image, bool tie_max, CutOutput<Capacity>& out,
                     Poll&& poll) {
  const int64_t h = image.height, w = image.width, pixels = h * w;
  const int64_t columns = image.periodic && w > 1 ? w : w - 1;
  const int64_t rows = image.periodic && h > 1 ? h : h - 1;

  // Visits the two pixels of every coupling.
  const auto for_each_pair = [&](auto visit_right, auto visit_down) {
    for (int64_t y = 0; y < h; ++y) {
      for (int64_t x = 0; x < columns; ++x) {
        visit_right(y * columns + x, y * w + x, y * w + (x + 1 < w ? x + 1 : 0));
      }
    }
    for (int64_t y = 0; y < rows; ++y) {
      const int64_t below = (y + 1 < h ? y + 1 : 0) * w;
      for (int64_t x = 0; x < w; ++x) visit_down(y * w + x, y * w + x, below + x);
    }
  };

  std::vector<double> around(static_cast<size_t>(pixels), 0.0);
  const auto add_around = [&](double c, int64_t i, int64_t j) {
    around[i] += c;
    around[j] += c;
  };
  for_each_pair([&](int64_t e, int64_t i, int64_t j) { add_around(2.0 * image.right[e], i, j); },
                [&](int64_t e, int64_t i, int64_t j) { add_around(2.0 * image.down[e], i, j); });
  double strongest = 0.0, total = 0.0;
  for (int64_t i = 0; i < pixels; ++i) {
    const double u = std::isinf(image.unary[i]) ? around[i] : std::abs(2.0 * image.unary[i]);
    strongest = std::max(strongest, u + 2.0 * around[i]);
    total += u + around[i];
  }
  // frexp: value = fraction * 2^power with fraction in [0.5, 1).
  int power = 0, total_power = 0;
  std::frexp(strongest, &power);
  std::frexp(total, &total_power);
  const int limit = std::ilogb(largest_capacity<Capacity>());
  // Rounding up adds at most 1/2 to each of nine terms: one bit of room.
  const int exponent = strongest > 0.0 ? std::min(limit - 1 - power, 61 - total_power) : 0;
  out.exponent = exponent;
  out.rounding = 0.0;

  const auto rounded = [&](double value) {
    const double scaled = std::ldexp(value, exponent);
    const double integer = std::nearbyint(scaled);
    out.rounding += std::abs(integer - scaled);
    return static_cast<Capacity>(integer);
  };
  std::vector<Capacity> right(static_cast<size_t>(h * columns));
  std::vector<Capacity> down(static_cast<size_t>(rows * w));
  std::vector<Capacity> strength(static_cast<size_t>(pixels), 0);
  const auto add_strength = [&](Capacity c, int64_t i, int64_t j) {
    strength[i] += c;
    strength[j] += c;
  };
  for_each_pair(
      [&](int64_t e, int64_t i, int64_t j) {
        right[e] = rounded(2.0 * image.right[e]);
        add_strength(right[e], i, j);
      },
      [&](int64_t e, int64_t i, int64_t j) {
        down[e] = rounded(2.0 * image.down[e]);
        add_strength(down[e], i, j);
      });

  // Positive: capacity from the source (the pixel likes to be on), -u in the cut form.
  std::vector<Capacity> terminal(static_cast<size_t>(pixels));
  int64_t gain = 0;  // sum of the unclamped pixels' negative u, the cost of "on" where it is wanted
  for (int64_t i = 0; i < pixels; ++i) {
    if (std::isinf(image.unary[i])) {
      // Stronger than all couplings of the pixel together, so it always has its way.
      const Capacity force = strength[i] + 1;
      terminal[i] = image.unary[i] > 0 ? force : -force;
      continue;
    }
    terminal[i] = rounded(2.0 * image.unary[i]);
    if (terminal[i] > 0) gain += terminal[i];
  }

  GridMaxFlow<Capacity> solver(h, w, image.periodic);
  const int64_t flow = solver.solve(terminal.data(), right.data(), down.data(), poll);
  solver.source_side(tie_max, out.mask);
  solver.edge_flows(out.flow_right, out.flow_down);
  // Cut = sum u y + sum c |y - y'| + (sum of source capacities). A clamped pixel on its side pays
  // nothing in the cut, so only the unclamped source capacities are taken off.
  out.minimum = flow - gain;
}

}  // namespace mrfmask
