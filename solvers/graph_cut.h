// The MAP of one associative Ising image by a minimum cut, on integers, with its proof.
//
// With y = (x + 1) / 2: E = const + sum u_i y_i + sum c_ij |y_i - y_j|, u = -2 unary, c = 2
// pairwise. All u and c are multiplied by one power of two and rounded; the cut is exact on these
// integers. The scale follows from the strongest pixel, not from the sum over the image, which
// would cost a large image most of its digits. Reference: Greig, Porteous and Seheult, "Exact
// maximum a posteriori estimation for binary images", 1989.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "cut_integers.h"
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

// What an earlier cut of an image of the same size left, to start from; right null: nothing.
struct CutStart {
  const void* right;  // flows like those of CutOutput, int64_t if wide, else int32_t
  const void* down;
  bool wide;
  const uint8_t* mask;
  int64_t exponent;
};

template <typename Capacity>
struct CutOutput {
  uint8_t* mask;         // height x width
  Capacity* flow_right;  // like right: net flow from left to right
  Capacity* flow_down;   // like down
  int64_t exponent;      // the scale is 2^exponent
  double bound;          // no mask has a lower energy, the model's constant left out
  double rounding;       // sum of |rounded - exact| over all u and c: what `bound` loses by it
};

// The constant of the cut form, unary - pairwise over all but clamps, row by row.
template <typename Real>
double cut_constant(const CutImage<Real>& image, int64_t columns, int64_t rows) {
  double total = 0.0;
  for (int64_t y = 0; y < image.height; ++y) {
    total += sum_finite(image.unary + y * image.width, image.width);
    total -= sum_finite(image.right + y * columns, columns);
    if (y < rows) total -= sum_finite(image.down + y * image.width, image.width);
  }
  return total;
}

// Sums over the couplings of each pixel of one row. Real: of the image, or of integers.
template <typename Real>
class RowSums {
 public:
  RowSums(const Real* right, const Real* down, int64_t height, int64_t width, bool periodic)
      : right_(right),
        down_(down),
        height_(height),
        width_(width),
        columns_(periodic && width > 1 ? width : width - 1),
        rows_(periodic && height > 1 ? height : height - 1) {}

  template <typename Sum>
  void add_up(int64_t y, Sum factor, std::vector<Sum>& sums) const {
    const int64_t w = width_;
    std::fill(sums.begin(), sums.end(), Sum(0));
    const Real* right = right_ + y * columns_;
    for (int64_t x = 0; x < columns_; ++x) sums[x] += factor * right[x];
    for (int64_t x = 1; x < w; ++x) sums[x] += factor * right[x - 1];
    if (columns_ == w) sums[0] += factor * right[w - 1];
    for (const int64_t row : {y, y > 0 ? y - 1 : height_ - 1}) {
      if (row >= rows_) continue;
      for (int64_t x = 0; x < w; ++x) sums[x] += factor * down_[row * w + x];
    }
  }

  int64_t columns() const { return columns_; }
  int64_t rows() const { return rows_; }
  int64_t right_size() const { return height_ * columns_; }
  int64_t down_size() const { return rows_ * width_; }

 private:
  const Real* right_;
  const Real* down_;
  int64_t height_, width_, columns_, rows_;
};

// The exponent of the scale: the largest that keeps every pixel with its couplings taken twice
// below 2^pixel_bits, and the sum over all below 2^62. 0 for an image of zeros.
template <typename Real>
int scale_exponent(const CutImage<Real>& image, const RowSums<Real>& couplings, int pixel_bits) {
  const double shrink = std::ldexp(1.0, -kShrink);
  std::vector<double> sums(static_cast<size_t>(image.width));
  double strongest = 0.0, total = 0.0;
  for (int64_t y = 0; y < image.height; ++y) {
    couplings.add_up(y, shrink, sums);
    const Real* unary = image.unary + y * image.width;
    for (int64_t x = 0; x < image.width; ++x) {
      // A clamp will be as strong as all couplings of its pixel together.
      const double own =
          std::isinf(unary[x]) ? sums[x] : std::abs(shrink * static_cast<double>(unary[x]));
      strongest = std::max(strongest, own + 2.0 * sums[x]);
      total += own + sums[x];
    }
  }
  return exponent_for(strongest, total, pixel_bits);
}

template <typename Real, typename Capacity, typename Poll>
void graph_cut_image(const CutImage<Real>& image, const CutStart& start, bool tie_max,
                     CutOutput<Capacity>& out, Poll&& poll) {
  const int64_t h = image.height, w = image.width;
  const RowSums<Real> couplings(image.right, image.down, h, w, image.periodic);
  const int exponent = scale_exponent(image, couplings, sizeof(Capacity) == 4 ? 30 : 61);
  Rounder<Capacity> rounded(exponent);
  std::vector<Capacity> terminal(static_cast<size_t>(h * w));
  std::vector<Capacity> right(static_cast<size_t>(couplings.right_size()));
  std::vector<Capacity> down(static_cast<size_t>(couplings.down_size()));
  std::transform(image.right, image.right + right.size(), right.begin(), std::ref(rounded));
  std::transform(image.down, image.down + down.size(), down.begin(), std::ref(rounded));

  // terminal = -u > 0, from the source: the pixel likes to be on.
  const RowSums<Capacity> strengths(right.data(), down.data(), h, w, image.periodic);
  std::vector<Capacity> sums(static_cast<size_t>(w));
  int64_t wanted = 0;  // sum of what unclamped pixels gain by being on
  for (int64_t y = 0; y < h; ++y) {
    const Real* unary = image.unary + y * w;
    Capacity* row = terminal.data() + y * w;
    bool clamps = false;
    for (int64_t x = 0; x < w; ++x) {
      const bool clamped = std::isinf(unary[x]);
      row[x] = rounded(clamped ? 0.0 : static_cast<double>(unary[x]));
      wanted += std::max<Capacity>(row[x], 0);
      clamps |= clamped;
    }
    if (!clamps) continue;
    // One more than all couplings of the pixel together, so it always has its way.
    strengths.add_up(y, Capacity(1), sums);
    for (int64_t x = 0; x < w; ++x) {
      if (std::isinf(unary[x])) row[x] = unary[x] > 0 ? sums[x] + 1 : -sums[x] - 1;
    }
  }

  GridMaxFlow<Capacity> solver(h, w, image.periodic);
  const auto fit = [&](const void* flow, const std::vector<Capacity>& capacities) {
    const int64_t shift = exponent - start.exponent;
    return start.wide ? fit_flow(static_cast<const int64_t*>(flow), shift, capacities)
                      : fit_flow(static_cast<const int32_t*>(flow), shift, capacities);
  };
  int64_t flow;
  if (start.right) {
    const std::vector<Capacity> flow_right = fit(start.right, right);
    const std::vector<Capacity> flow_down = fit(start.down, down);
    const FlowStart<Capacity> from{flow_right.data(), flow_down.data(), start.mask};
    flow = solver.solve(terminal.data(), right.data(), down.data(), poll, &from);
  } else {
    flow = solver.solve(terminal.data(), right.data(), down.data(), poll);
  }
  solver.source_side(tie_max, out.mask);
  solver.edge_flows(out.flow_right, out.flow_down);
  // The cut is sum u y + sum c |y - y'| + all source capacities. A clamped pixel, on its side, pays
  // nothing, so only the source capacities of the others are taken off.
  out.exponent = exponent;
  out.rounding = std::ldexp(rounded.cost(), -exponent);
  out.bound = cut_constant(image, couplings.columns(), couplings.rows()) +
              (std::ldexp(static_cast<double>(flow - wanted), -exponent) - out.rounding);
}

}  // namespace mrfmask
