// A residual grid whose open arcs are kept as bits, and waves: the middle stage of max_flow.h.
//
// A wave measures the breadth-first distance of every pixel to the nearest deficit; then, farthest
// first, all excess moves on to pixels one step closer. That is push-relabel (Goldberg and Tarjan,
// "A new approach to the maximum-flow problem", 1988) with exact labels and all pushes in one
// sweep.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "residual_grid.h"

namespace mrfmask {

// The searches read nodes (8 bytes a pixel) only; excess and residuals are touched where flow
// moves.
struct GridNode {
  int32_t label;   // a distance: < 0 to the sink, > 0 from the source, 0 unknown
  uint8_t open;    // bit k: residual > 0 in direction k; bit 4 + k: from the neighbour there to us
  uint8_t border;  // bit k: the step in direction k wraps around
  uint8_t parent;  // for search_trees.h, like the next
  uint8_t state;
};

// A set of directions, to go through from the first to the last.
class Directions {
 public:
  class Iterator {
   public:
    explicit Iterator(unsigned bits) : bits_(bits) {}
    uint8_t operator*() const { return static_cast<uint8_t>(__builtin_ctz(bits_)); }
    void operator++() { bits_ &= bits_ - 1; }
    bool operator!=(const Iterator& other) const { return bits_ != other.bits_; }

   private:
    unsigned bits_;
  };

  explicit Directions(unsigned bits) : bits_(bits) {}
  Iterator begin() const { return Iterator(bits_); }
  Iterator end() const { return Iterator(0); }
  bool any() const { return bits_ != 0; }
  uint8_t first() const { return *begin(); }

 private:
  unsigned bits_;
};

template <typename Scalar>
class ArcGrid : public ResidualGrid<Scalar> {
 public:
  ArcGrid(int64_t height, int64_t width, bool periodic);

 protected:
  // For search_trees.h: links are directions.
  using Capacity = Scalar;
  using Link = uint8_t;
  using Node = GridNode;
  static constexpr Link kTerminal = 4, kNone = 5;

  using Grid = ResidualGrid<Capacity>;
  using Grid::excess_;
  using Grid::height_;
  using Grid::residual_;
  using Grid::size_;
  using Grid::width_;

  // Steps of a closed arc may lead to any pixel of the image: look at `open` as well.
  const int32_t* steps(int32_t v) const { return steps_[nodes_[v].border]; }
  int32_t neighbour(int32_t v, int direction) const { return v + steps(v)[direction]; }

  Capacity& residual(int32_t v, int direction) {
    const int32_t owner = direction & 1 ? neighbour(v, direction) : v;
    return residual_[4 * static_cast<size_t>(owner) + direction];
  }

  static Link back(Link direction) { return static_cast<Link>(opposite(direction)); }

  template <bool kOut>
  bool is_open(int32_t v, Link direction) const {
    return nodes_[v].open >> (kOut ? direction : 4 + direction) & 1;
  }

  // Free of branches: every test is made.
  template <typename Test>
  unsigned bits_where(int32_t v, Test test) const {
    const int32_t* step = steps(v);
    unsigned bits = 0;
    for (Link k = 0; k < 4; ++k) bits |= static_cast<unsigned>(test(k, nodes_[v + step[k]])) << k;
    return bits;
  }
  template <typename Test>
  Directions all_links(int32_t v, Test test) const {
    return Directions(bits_where(v, test));
  }
  template <bool kOut>
  Directions open_links(int32_t v) const {
    return Directions(kOut ? nodes_[v].open & 15u : nodes_[v].open >> 4);
  }
  template <bool kOut, typename Test>
  Directions open_links(int32_t v, Test test) const {
    return Directions(bits_where(v, test) & (kOut ? nodes_[v].open : nodes_[v].open >> 4));
  }
  template <typename Visit>
  void for_links(int32_t v, Visit visit) const {
    const int32_t* step = steps(v);
    for (Link k = 0; k < 4; ++k) visit(k, nodes_[v + step[k]]);
  }
  static constexpr int64_t work(int32_t) { return 1; }

  // Sends flow (amount > 0, at most the residual) over one arc; the excesses are the caller's.
  void push(int32_t v, int direction, Capacity amount);

  // Reads the bits off the residuals.
  void open_arcs();

  // At most so many waves in every tile of the given side. Labels are left undefined.
  template <typename Poll>
  void run_waves(int32_t side, int most, Poll& poll);

  // Whether waves are likely to pay.
  bool thinly_spread() const;

  std::vector<Node> nodes_;

 private:
  static constexpr int32_t kOutside = 1;    // label of the pixels of all other tiles
  static constexpr int32_t kFewMoves = 64;  // not worth another wave

  struct Tile {
    int32_t top, bottom, left, right;
  };
  int32_t measure_distances(const Tile& tile);
  int32_t move_down(int32_t reached);

  int32_t steps_[16][4];        // by border
  std::vector<int32_t> order_;  // pixels by distance; four more places than a tile has pixels
};

template <typename Scalar>
ArcGrid<Scalar>::ArcGrid(int64_t height, int64_t width, bool periodic)
    : Grid(height, width, periodic), nodes_(static_cast<size_t>(size_)) {
  const int32_t w = static_cast<int32_t>(width);
  const int32_t inside[4] = {1, -1, w, -w};
  const int32_t around[4] = {1 - w, w - 1, w - size_, size_ - w};
  for (int border = 0; border < 16; ++border) {
    for (int k = 0; k < 4; ++k) steps_[border][k] = border >> k & 1 ? around[k] : inside[k];
  }
}

template <typename Scalar>
void ArcGrid<Scalar>::push(int32_t v, int direction, Capacity amount) {
  const int32_t u = neighbour(v, direction);
  const int back = opposite(direction);
  Capacity* edge = &residual_[4 * static_cast<size_t>(direction & 1 ? u : v)];
  edge[direction] -= amount;
  edge[back] += amount;
  nodes_[v].open |= 16 << direction;
  nodes_[u].open |= 1 << back;
  if (edge[direction] == 0) {
    nodes_[v].open &= ~(1 << direction);
    nodes_[u].open &= ~(16 << back);
  }
}

template <typename Scalar>
void ArcGrid<Scalar>::open_arcs() {
  const int64_t w = width_;
  for (int64_t y = 0; y < height_; ++y) {
    for (int64_t x = 0; x < w; ++x) {
      const int64_t v = y * w + x;
      const Capacity* own = &residual_[4 * v];
      const Capacity* left = &residual_[4 * (x > 0 ? v - 1 : v + w - 1)];
      const Capacity* above = &residual_[4 * (y > 0 ? v - w : v + size_ - w)];
      const int out = (own[kRight] > 0) | (left[kLeft] > 0) << kLeft | (own[kDown] > 0) << kDown |
                      (above[kUp] > 0) << kUp;
      const int in = (own[kLeft] > 0) | (left[kRight] > 0) << kLeft | (own[kUp] > 0) << kDown |
                     (above[kDown] > 0) << kUp;
      nodes_[v].open = static_cast<uint8_t>(out | in << 4);
      nodes_[v].border = static_cast<uint8_t>((x + 1 == w) | (x == 0) << kLeft |
                                              (y + 1 == height_) << kDown | (y == 0) << kUp);
    }
  }
}

// Where excess and deficits are dense, paths are short and the search is cheap; where
// there is hardly any, nothing is left to do. Waves pay in between.
template <typename Scalar>
bool ArcGrid<Scalar>::thinly_spread() const {
  int32_t sources = 0, sinks = 0;
  for (const Capacity e : excess_) {
    sources += e > 0;
    sinks += e < 0;
  }
  return std::max(sources, sinks) < size_ / 12 && std::min(sources, sinks) > size_ / 256;
}

template <typename Scalar>
template <typename Poll>
void ArcGrid<Scalar>::run_waves(int32_t side, int most, Poll& poll) {
  for (Node& node : nodes_) node.label = kOutside;
  order_.resize(static_cast<size_t>(std::min<int64_t>(size_, int64_t{side} * side)) + 4);
  const int32_t h = static_cast<int32_t>(height_), w = static_cast<int32_t>(width_);
  for (int32_t y = 0; y < h; y += std::min(side, h - y)) {
    for (int32_t x = 0; x < w; x += std::min(side, w - x)) {
      const Tile tile{y, y + std::min(side, h - y), x, x + std::min(side, w - x)};
      for (int wave = 0; wave < most; ++wave) {
        const int32_t reached = measure_distances(tile);
        const int32_t moved = move_down(reached);
        poll(reached);
        if (moved <= kFewMoves) break;
      }
      for (int32_t row = tile.top; row < tile.bottom; ++row) {
        for (int32_t v = row * w + x; v < row * w + tile.right; ++v) nodes_[v].label = kOutside;
      }
    }
  }
}

// Breadth-first search against the open arcs from the pixels with a deficit (label -1), within the
// tile. Returns how many pixels it reached; they stand in order_ by distance. Free of branches on
// data: every neighbour is written to the end of the queue, which moves on only past new ones.
template <typename Scalar>
int32_t ArcGrid<Scalar>::measure_distances(const Tile& tile) {
  int32_t* queue = order_.data();
  int32_t end = 0;
  for (int32_t y = tile.top; y < tile.bottom; ++y) {
    const int32_t row = y * static_cast<int32_t>(width_);
    for (int32_t v = row + tile.left; v < row + tile.right; ++v) {
      const bool deficit = excess_[v] < 0;
      nodes_[v].label = -static_cast<int32_t>(deficit);
      queue[end] = v;
      end += deficit;
    }
  }
  for (int32_t i = 0; i < end; ++i) {
    const int32_t v = queue[i];
    const int32_t* step = steps(v);
    const int into = nodes_[v].open >> 4;
    const int32_t label = nodes_[v].label - 1;
    for (int k = 0; k < 4; ++k) {
      const int32_t u = v + step[k];
      const bool fresh = (into >> k & 1) & (nodes_[u].label == 0);
      nodes_[u].label = fresh ? label : nodes_[u].label;
      queue[end] = u;
      end += fresh;
    }
  }
  return end;
}

// Farthest first, every pixel gives its excess to neighbours one step closer to a deficit. Returns
// how many pixels gave.
template <typename Scalar>
int32_t ArcGrid<Scalar>::move_down(int32_t reached) {
  int32_t moved = 0;
  for (int32_t i = reached; i-- > 0;) {
    const int32_t v = order_[i];
    const int32_t label = nodes_[v].label;
    Capacity held = excess_[v];
    if (held <= 0 || label == -1) continue;
    ++moved;
    const int32_t* step = steps(v);
    const auto closer = [label](Link, const Node& node) { return node.label == label + 1; };
    for (const Link k : open_links<true>(v, closer)) {
      const Capacity amount = std::min(held, residual(v, k));
      push(v, k, amount);
      held -= amount;
      excess_[v + step[k]] += amount;
      if (held == 0) break;
    }
    excess_[v] = held;
  }
  return moved;
}

}  // namespace mrfmask
