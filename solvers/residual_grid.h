// The residual network of a 4-connected grid, and cheap passes that route most of a flow.
//
// A flow is kept as what it leaves: an *excess* per pixel (> 0: still to be sent towards the sink,
// < 0: room left there) and two residual capacities per edge. Excess may pass through any pixel, so
// this is a pseudoflow. Its value, the source capacity that is no longer excess, never exceeds the
// minimum cut, and a pseudoflow is maximum once no residual path leads from excess > 0 to < 0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

namespace mrfmask {

// Directions; opposite ones differ in the last bit.
constexpr int kRight = 0, kLeft = 1, kDown = 2, kUp = 3;
constexpr int opposite(int direction) { return direction ^ 1; }

template <typename Capacity>
class ResidualGrid {
 public:
  ResidualGrid(int64_t height, int64_t width, bool periodic);

  int64_t right_columns() const { return wraps_x_ ? width_ : width_ - 1; }
  int64_t down_rows() const { return wraps_y_ ? height_ : height_ - 1; }

  // Starts from the given flow (laid out like the capacities and within them), or from none at all
  // if the pointers are null. What it sends beyond a terminal is excess like any other.
  void load(const Capacity* terminal, const Capacity* right, const Capacity* down,
            const Capacity* flow_right, const Capacity* flow_down);

  // Two passes over all pixels: from the upper left corner and from the lower right one or, if
  // mirrored, from the other two. Calls poll(steps).
  template <typename Poll>
  void spread_pair(bool mirrored, Poll& poll) {
    if (mirrored) {
      spread<-1, 1>(poll);
      spread<1, -1>(poll);
    } else {
      spread<1, 1>(poll);
      spread<-1, -1>(poll);
    }
  }

  // The sum of positive excess.
  int64_t surplus() const {
    int64_t sum = 0;
    for (const Capacity e : excess_) sum += std::max<Capacity>(e, 0);
    return sum;
  }

  void edge_flows(Capacity* right, Capacity* down) const;

 protected:
  template <int kX, int kY>
  struct RowPass;
  template <int kX, int kY, typename Poll>
  void spread(Poll& poll);

  int64_t height_, width_;
  bool wraps_x_, wraps_y_;
  int32_t size_;
  std::vector<Capacity> excess_;
  // Four to a pixel, 16 bytes at 32 bits: the edge to the right one forward and backward, the edge
  // to the one below down and up. So residual_[4 v + k] belongs to direction k, from v for right
  // and down, *to* v for left and up.
  std::vector<Capacity> residual_;
};

template <typename Capacity>
ResidualGrid<Capacity>::ResidualGrid(int64_t height, int64_t width, bool periodic)
    : height_(height),
      width_(width),
      wraps_x_(periodic && width > 1),
      wraps_y_(periodic && height > 1) {
  // Sums of two pixel numbers fit in 32 bits.
  constexpr int64_t kLargest = std::numeric_limits<int32_t>::max() / 2;
  if (height < 1 || width < 1 || height > kLargest / width) {
    throw std::length_error("an image for graph_cut must have 1 to 2^30 - 1 pixels");
  }
  size_ = static_cast<int32_t>(height * width);
  residual_.resize(4 * static_cast<size_t>(size_));
}

template <typename Capacity>
void ResidualGrid<Capacity>::load(const Capacity* terminal, const Capacity* right,
                                  const Capacity* down, const Capacity* flow_right,
                                  const Capacity* flow_down) {
  excess_.assign(terminal, terminal + size_);
  const int64_t columns = right_columns(), rows = down_rows();
  for (int64_t y = 0; y < height_; ++y) {
    Capacity* r = &residual_[4 * y * width_];
    for (int64_t x = 0; x < width_; ++x, r += 4) {
      r[kRight] = r[kLeft] = x < columns ? right[y * columns + x] : 0;
      r[kDown] = r[kUp] = y < rows ? down[y * width_ + x] : 0;
    }
  }
  if (!flow_right) return;
  const auto send = [this](int64_t from, int64_t to, int direction, Capacity amount) {
    excess_[from] -= amount;
    excess_[to] += amount;
    residual_[4 * from + direction] -= amount;
    residual_[4 * from + opposite(direction)] += amount;
  };
  for (int64_t y = 0; y < height_; ++y) {
    const int64_t row = y * width_, below = y + 1 < height_ ? row + width_ : 0;
    for (int64_t x = 0; x < columns; ++x) {
      const int64_t beside = x + 1 < width_ ? row + x + 1 : row;
      send(row + x, beside, kRight, flow_right[y * columns + x]);
    }
    for (int64_t x = 0; y < rows && x < width_; ++x) {
      send(row + x, below + x, kDown, flow_down[row + x]);
    }
  }
}

// One row of a pass in raster order (kX, kY = -1: mirrored). Each pixel sends all it holds, excess
// or deficit alike, to the next pixel and the next row: half ahead, what it can below, the rest
// ahead. Excess and deficit travel any distance in one pass and cancel where they meet; splitting
// them spreads them over all paths, as the weights of sequential tree-reweighted message passing
// do. Reference: Kolmogorov, "Convergent tree-reweighted message passing", PAMI 2006.
template <typename Capacity>
template <int kX, int kY>
struct ResidualGrid<Capacity>::RowPass {
  static constexpr int kAhead = kX > 0 ? kRight : kLeft, kBelow = kY > 0 ? kDown : kUp;
  Capacity* excess;
  Capacity* below;        // excess of the next row; null for the last one
  Capacity* ahead_edges;  // of this row
  Capacity* below_edges;  // of the row that the edges to the next one belong to
  Capacity carry = 0;

  RowPass(ResidualGrid& g, int64_t i) {
    const int64_t y = kY > 0 ? i : g.height_ - 1 - i, w = g.width_;
    excess = &g.excess_[y * w];
    below = i + 1 < g.height_ ? excess + kY * w : nullptr;
    ahead_edges = g.residual_.data() + 4 * y * w;
    below_edges = kY > 0 || !below ? ahead_edges : ahead_edges - 4 * w;
  }

  static Capacity bounded(Capacity value, const Capacity* edge, int direction) {
    Capacity amount =
        std::min(std::max<Capacity>(value, -edge[opposite(direction)]), edge[direction]);
    // Which bound holds is anybody's guess: hide it, lest the compiler branches on it.
    __asm__("" : "+r"(amount));
    return amount;
  }
  static void move(Capacity* edge, int direction, Capacity amount) {
    edge[direction] -= amount;
    edge[opposite(direction)] += amount;
  }

  // The pixel x, not the last one of the row. kOn: whether there is a next row.
  template <bool kOn>
  void pixel(int64_t x) {
    Capacity* ahead = ahead_edges + 4 * (kX > 0 ? x : x - 1);
    Capacity held = excess[x] + carry;
    if (kOn) {
      Capacity* down = below_edges + 4 * x;
      const Capacity sent = bounded(held - bounded(held >> 1, ahead, kAhead), down, kBelow);
      move(down, kBelow, sent);
      below[x] += sent;
      held -= sent;
    }
    carry = bounded(held, ahead, kAhead);
    move(ahead, kAhead, carry);
    excess[x] = held - carry;
  }

  // The last pixel of the row.
  void end(int64_t x) {
    excess[x] += carry;
    if (!below) return;
    Capacity* down = below_edges + 4 * x;
    const Capacity sent = bounded(excess[x], down, kBelow);
    move(down, kBelow, sent);
    below[x] += sent;
    excess[x] -= sent;
  }
};

// A pass over all rows. Each pixel waits for the one before it, a chain of ten operations; so two
// rows go at once, the second one pixel behind the first, which is all that it waits for.
// Alternating the four corners matters: with two of them a diagonal stays closed, and at strong
// couplings twice as much is left over.
template <typename Capacity>
template <int kX, int kY, typename Poll>
void ResidualGrid<Capacity>::spread(Poll& poll) {
  const int64_t first = kX > 0 ? 0 : width_ - 1, last = width_ - 1 - first;
  int64_t i = 0;
  for (; i + 2 < height_; i += 2) {
    RowPass<kX, kY> upper(*this, i), lower(*this, i + 1);
    if (width_ > 1) {
      upper.template pixel<true>(first);
      for (int64_t x = first + kX; x != last; x += kX) {
        upper.template pixel<true>(x);
        lower.template pixel<true>(x - kX);
      }
      upper.end(last);
      lower.template pixel<true>(last - kX);
    } else {
      upper.end(last);
    }
    lower.end(last);
    poll(2 * width_);
  }
  for (; i < height_; ++i) {
    RowPass<kX, kY> row(*this, i);
    for (int64_t x = first; x != last; x += kX) {
      row.below ? row.template pixel<true>(x) : row.template pixel<false>(x);
    }
    row.end(last);
    poll(width_);
  }
}

template <typename Capacity>
void ResidualGrid<Capacity>::edge_flows(Capacity* right, Capacity* down) const {
  const int64_t columns = right_columns(), rows = down_rows();
  for (int64_t y = 0; y < height_; ++y) {
    const Capacity* r = &residual_[4 * y * width_];
    for (int64_t x = 0; x < width_; ++x, r += 4) {
      // Both started at the capacity, so their difference is twice the flow.
      if (x < columns) right[y * columns + x] = (r[kLeft] - r[kRight]) / 2;
      if (y < rows) down[y * width_ + x] = (r[kUp] - r[kDown]) / 2;
    }
  }
}

}  // namespace mrfmask
