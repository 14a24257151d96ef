// All masks that minimise E(x) + penalty * (pixels on) for some penalty, for one associative Ising
// image: from potentials to integers, the entry map (entry_map.h), and the path in order.
//
// With y = (x + 1) / 2: E = const - sum t_i y_i + sum c_ij |y_i - y_j|, t = 2 unary, c = 2
// pairwise. All t and c are multiplied by one power of two and rounded to int64; everything after
// that is exact. A cut multiplies by the number of pixels of its region, so the strongest pixel,
// |t| + 2 sum of its c, gets 61 - ceil(log2(pixels)) bits: 47 at 100x100, 42 at 375x1242, 37 at
// 4096x4096. Then no number in here passes 2^62.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "entry_map.h"
#include "graph_cut.h"

namespace mrfmask {

// Masks are numbered from 0 (only the pixels clamped on) by falling penalty. The first `masks` - 1
// places of penalty and drop are about masks 1, 2, ...; each array has a place for every pixel.
struct PathOutput {
  int32_t* order;   // by pixel: the first mask that has it on; `masks` if it is clamped off
  int32_t* block;   // by pixel: its connected component of equal penalty, -1 if it is clamped
  double* penalty;  // the largest penalty, times the scale, at which the mask is optimal
  int64_t* drop;    // scale * (energy of the mask before - energy of this one)
  int64_t masks;
  int64_t exponent;  // the scale is 2^exponent
  double rounding;   // sum of |rounded - exact| over all t and c, in units of 1 / scale
};

namespace path_detail {

// The free pixels of an image, couplings to clamped ones folded in.
template <typename Real>
RegionPixels free_pixels(const CutImage<Real>& image, const RowSums<Real>& couplings,
                         Rounder<int64_t>& rounded) {
  const int64_t h = image.height, w = image.width;
  std::vector<int32_t> place(static_cast<size_t>(h * w));
  int32_t free = 0;
  for (int64_t i = 0; i < h * w; ++i) place[i] = std::isinf(image.unary[i]) ? -1 : free++;
  RegionPixels pixels;
  pixels.weights.resize(static_cast<size_t>(free) + 1);
  pixels.links.resize(static_cast<size_t>(free) + 1, {{free, free, free, free}, 0, 0});
  for (int64_t i = 0; i < h * w; ++i) {
    if (place[i] < 0) continue;
    pixels.weights[place[i]] = {rounded(image.unary[i]), 0, 0, static_cast<int32_t>(i)};
  }
  // Labels of searches: never fresh.
  pixels.links[free].label = std::numeric_limits<int32_t>::max();
  const auto couple = [&](int64_t i, int64_t j, Real pairwise, int direction) {
    const int64_t capacity = rounded(pairwise);
    const int32_t a = place[i], b = place[j];
    if (capacity == 0) return;
    if (a >= 0 && b >= 0) {
      RegionPixels::Weights& own = pixels.weights[a];
      (direction == kRight ? own.right : own.down) = capacity;
      pixels.links[a].neighbour[direction] = b;
      pixels.links[b].neighbour[opposite(direction)] = a;
    } else if (a >= 0 || b >= 0) {
      const bool on = image.unary[a < 0 ? i : j] > 0;
      pixels.weights[std::max(a, b)].terminal += on ? capacity : -capacity;
    }
  };
  const int64_t columns = couplings.columns(), rows = couplings.rows();
  for (int64_t y = 0; y < h; ++y) {
    const int64_t below = y + 1 < h ? (y + 1) * w : 0;
    for (int64_t x = 0; x < w; ++x) {
      const int64_t i = y * w + x;
      if (x < columns) couple(i, x + 1 < w ? i + 1 : y * w, image.right[y * columns + x], kRight);
      if (y < rows) couple(i, below + x, image.down[i], kDown);
    }
  }
  return pixels;
}

// Numbers blocks anew in the order in which the image shows them.
inline void number_blocks(int64_t pixels, std::vector<Block>& blocks, int32_t* block) {
  std::vector<int32_t> number(blocks.size(), -1);
  std::vector<Block> ordered;
  ordered.reserve(blocks.size());
  for (int64_t i = 0; i < pixels; ++i) {
    if (block[i] < 0) continue;
    int32_t& n = number[block[i]];
    if (n < 0) {
      n = static_cast<int32_t>(ordered.size());
      ordered.push_back(blocks[block[i]]);
    }
    block[i] = n;
  }
  blocks = std::move(ordered);
}

}  // namespace path_detail

template <typename Real, typename Poll>
void budget_path_image(const CutImage<Real>& image, PathOutput& out, Poll&& poll) {
  constexpr int64_t kLargest = std::numeric_limits<int32_t>::max() / 2;
  if (image.height > kLargest / image.width) {
    throw std::length_error("an image for budget_path must have 1 to 2^30 - 1 pixels");
  }
  const int64_t size = image.height * image.width;
  int bits = 61;
  while (int64_t{1} << (61 - bits) < size) --bits;
  const RowSums<Real> couplings(image.right, image.down, image.height, image.width, image.periodic);
  const int exponent = scale_exponent(image, couplings, bits);
  Rounder<int64_t> rounded(exponent);
  std::fill(out.block, out.block + size, -1);
  EntryMap map(path_detail::free_pixels(image, couplings, rounded), out.block);
  std::vector<Block> blocks = map.find_blocks(poll);
  path_detail::number_blocks(size, blocks, out.block);

  std::vector<int32_t> by_penalty(blocks.size());
  std::iota(by_penalty.begin(), by_penalty.end(), 0);
  std::sort(by_penalty.begin(), by_penalty.end(),
            [&](int32_t a, int32_t b) { return leaves_later(blocks[a], blocks[b]); });
  std::vector<int32_t> order(blocks.size());
  int32_t mask = 0;
  for (size_t i = 0; i < by_penalty.size(); ++i) {
    const Block& block = blocks[by_penalty[i]];
    if (i == 0 || leaves_later(blocks[by_penalty[i - 1]], block)) {
      // Both roundings keep the order, if not strictly, unless long double is no more than double.
      const double penalty = static_cast<double>(static_cast<long double>(block.total) /
                                                 static_cast<long double>(block.count));
      out.penalty[mask] = i == 0 ? penalty : std::min(penalty, out.penalty[mask - 1]);
      out.drop[mask++] = 0;
    }
    out.drop[mask - 1] += block.total;
    order[by_penalty[i]] = mask;
  }
  out.masks = mask + 1;
  for (int64_t i = 0; i < size; ++i) {
    out.order[i] = out.block[i] >= 0 ? order[out.block[i]] : image.unary[i] > 0 ? 0 : mask + 1;
  }
  out.exponent = exponent;
  out.rounding = rounded.cost();
}

}  // namespace mrfmask
