// Maximum s-t flow / minimum cut of one image on an implicit 4-connected grid.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

namespace mrfmask {

template <typename Capacity>
class GridMaxFlow {
 public:
  GridMaxFlow(int64_t height, int64_t width, bool periodic);

  int64_t right_columns() const { return wraps_x_ ? width_ : width_ - 1; }
  int64_t down_rows() const { return wraps_y_ ? height_ : height_ - 1; }

  template <typename Poll>
  int64_t solve(const Capacity* terminal, const Capacity* right, const Capacity* down, Poll&& poll);

  void source_side(bool maximal, uint8_t* labels);
  void edge_flows(Capacity* right, Capacity* down) const;

  // Directions.
  static constexpr int kRight = 0, kLeft = 1, kDown = 2, kUp = 3;
  static constexpr uint8_t kRoot = 4, kNone = 5;
  static constexpr uint8_t kListed[2] = {1, 2};
  static constexpr uint8_t kPending = 4;

  struct Node {
    int32_t label;
    uint8_t open;
    uint8_t parent;
    uint8_t wrap;
    uint8_t state;
  };

  static int opposite(int k) { return k ^ 1; }
  int32_t neighbour(int32_t v, int k) const { return v + steps_[nodes_[v].wrap][k]; }
  const int32_t* steps(int32_t v) const { return steps_[nodes_[v].wrap]; }
  // Residual capacity of the arc from v to its neighbour u in direction k.
  Capacity& residual(int32_t v, int k, int32_t u) {
    return residual_[4 * static_cast<size_t>(k & 1 ? u : v) + k];
  }
  template <bool kSource>
  int32_t distance(int32_t v) const {
    return kSource ? nodes_[v].label : -nodes_[v].label;
  }
  // Directions in which the tree can grow from v, and in which v can find a parent.
  template <bool kSource>
  unsigned outward(int32_t v) const {
    return kSource ? nodes_[v].open & 15u : nodes_[v].open >> 4;
  }
  template <bool kSource>
  unsigned inward(int32_t v) const {
    return outward<!kSource>(v);
  }
  template <bool kSource>
  void list(int32_t v) {
    if (nodes_[v].state & kListed[kSource]) return;
    nodes_[v].state |= kListed[kSource];
    active_[kSource].push_back(v);
  }
  void put(int32_t distance, int32_t v) {
    buckets_[distance].push_back(v);
    lowest_ = std::min(lowest_, distance);
    highest_ = std::max(highest_, distance);
  }
  void push(int32_t v, int k, int32_t u, Capacity amount);
  void load(const Capacity* terminal, const Capacity* right, const Capacity* down);
  template <int kX, int kY, typename Poll>
  void diffuse(Poll& poll);
  void plant();
  template <bool kSource, typename Poll>
  void grow(Poll& poll);
  void augment(int32_t v, int k, int32_t u);
  template <bool kSource>
  void adopt();
  template <typename Poll>
  void count_work(int64_t units, Poll& poll) {
    work_ += units;
    if (work_ >= (1 << 16)) {
      work_ = 0;
      poll();
    }
  }

  int64_t height_, width_;
  bool wraps_x_, wraps_y_;
  int32_t size_;
  int32_t steps_[16][4];
  std::vector<Node> padded_nodes_;
  Node* nodes_;
  std::vector<Capacity> residual_;
  std::vector<Capacity> excess_;
  std::vector<int32_t> active_[2], scan_, pending_;
  std::vector<std::vector<int32_t>> buckets_;
  int32_t lowest_, highest_;
  int32_t depth_[2];
  int32_t limit_[2];
  int64_t flow_;
  int64_t work_;

  static constexpr int sweeps = 2;
};

template <typename Capacity>
GridMaxFlow<Capacity>::GridMaxFlow(int64_t height, int64_t width, bool periodic)
    : height_(height), width_(width), wraps_x_(periodic && width > 1), wraps_y_(periodic && height > 1) {
  if (height < 1 || width < 1 || height > std::numeric_limits<int32_t>::max() / 4 / width)
    throw std::length_error("grid too large");
  size_ = static_cast<int32_t>(height * width);
  const int32_t w = static_cast<int32_t>(width);
  const int32_t steps[2][4] = {{1, -1, w, -w}, {1 - w, w - 1, w - size_, size_ - w}};
  for (int i = 0; i < 16; ++i)
    for (int k = 0; k < 4; ++k) steps_[i][k] = steps[i >> k & 1][k];
  padded_nodes_.resize(size_ + 2 * width);
  nodes_ = padded_nodes_.data() + width;
  residual_.resize(4 * static_cast<size_t>(size_));
}

template <typename Capacity>
void GridMaxFlow<Capacity>::load(const Capacity* terminal, const Capacity* right,
                                 const Capacity* down) {
  excess_.assign(terminal, terminal + size_);
  const int64_t columns = right_columns(), rows = down_rows();
  for (int64_t y = 0; y < height_; ++y) {
    Capacity* r = &residual_[4 * y * width_];
    for (int64_t x = 0; x < columns; ++x) r[4 * x] = r[4 * x + 1] = right[y * columns + x];
    if (columns < width_) r[4 * (width_ - 1)] = r[4 * (width_ - 1) + 1] = 0;
    for (int64_t x = 0; x < width_; ++x)
      r[4 * x + 2] = r[4 * x + 3] = y < rows ? down[y * width_ + x] : 0;
  }
}

template <typename T>
inline T clamp(T value, T low, T high) {
  return std::min(std::max(value, low), high);
}

template <typename Capacity>
template <int kX, int kY, typename Poll>
void GridMaxFlow<Capacity>::diffuse(Poll& poll) {
  constexpr int kAhead = kX > 0 ? 0 : 1, kBelow = kY > 0 ? 2 : 3;
  const int64_t w = width_;
  for (int64_t i = 0; i < height_; ++i) {
    const int64_t y = kY > 0 ? i : height_ - 1 - i;
    const bool last = i + 1 == height_;
    Capacity* __restrict e = &excess_[y * w];
    Capacity* __restrict below = last ? e : e + kY * w;
    Capacity* __restrict right = &residual_[4 * y * w] - (kX > 0 ? 0 : 4);
    Capacity* __restrict down = last ? nullptr : &residual_[4 * (kY > 0 ? y : y - 1) * w];
    Capacity carry = 0;
    int64_t x = kX > 0 ? 0 : w - 1;
    if (last) {
      for (int64_t j = 0; j + 1 < w; ++j, x += kX) {
        const Capacity all = e[x] + carry;
        Capacity* r = right + 4 * x;
        carry = clamp<Capacity>(all, -r[kAhead ^ 1], r[kAhead]);
        r[kAhead] -= carry;
        r[kAhead ^ 1] += carry;
        e[x] = all - carry;
      }
      e[x] += carry;
    } else {
      for (int64_t j = 0; j + 1 < w; ++j, x += kX) {
        const Capacity all = e[x] + carry;
        Capacity* r = right + 4 * x;
        Capacity* d = down + 4 * x;
        const Capacity lo = -r[kAhead ^ 1], hi = r[kAhead];
        const Capacity v =
            clamp<Capacity>(all - clamp<Capacity>(all >> 1, lo, hi), -d[kBelow ^ 1], d[kBelow]);
        carry = clamp<Capacity>(all - v, lo, hi);
        d[kBelow] -= v;
        d[kBelow ^ 1] += v;
        below[x] += v;
        r[kAhead] -= carry;
        r[kAhead ^ 1] += carry;
        e[x] = all - v - carry;
      }
      const Capacity all = e[x] + carry;
      Capacity* d = down + 4 * x;
      const Capacity v = clamp<Capacity>(all, -d[kBelow ^ 1], d[kBelow]);
      d[kBelow] -= v;
      d[kBelow ^ 1] += v;
      below[x] += v;
      e[x] = all - v;
    }
    count_work(w, poll);
  }
}

template <typename Capacity>
void GridMaxFlow<Capacity>::plant() {
  active_[0].clear();
  active_[1].clear();
  const int64_t w = width_;
  for (int64_t y = 0; y < height_; ++y) {
    for (int64_t x = 0; x < w; ++x) {
      const int64_t v = y * w + x;
      const Capacity* own = &residual_[4 * v];
      const Capacity* left = &residual_[4 * (x > 0 ? v - 1 : v + w - 1)];
      const Capacity* up = &residual_[4 * (y > 0 ? v - w : v + size_ - w)];
      Node& n = nodes_[v];
      n.open = (own[0] > 0) | (left[1] > 0) << 1 | (own[2] > 0) << 2 | (up[3] > 0) << 3 |
               (own[1] > 0) << 4 | (left[0] > 0) << 5 | (own[3] > 0) << 6 | (up[2] > 0) << 7;
      n.label = (excess_[v] > 0) - (excess_[v] < 0);
      n.parent = n.label == 0 ? kNone : kRoot;
      n.wrap = (x + 1 == w) | (x == 0) << 1 | (y + 1 == height_) << 2 | (y == 0) << 3;
      n.state = 0;
    }
  }
  for (int32_t v = 0; v < size_; ++v) {
    const int32_t label = nodes_[v].label;
    const unsigned out = label > 0 ? nodes_[v].open : nodes_[v].open >> 4;
    bool useful = false;
    for (int k = 0; k < 4; ++k)
      useful |= (out >> k & 1) & (nodes_[neighbour(v, k)].label != label);
    if (useful & (label > 0)) list<true>(v);
    if (useful & (label < 0)) list<false>(v);
  }
  depth_[0] = depth_[1] = 1;
}

template <typename Capacity>
void GridMaxFlow<Capacity>::push(int32_t v, int k, int32_t u, Capacity amount) {
  Capacity* pair = &residual_[4 * static_cast<size_t>(k & 1 ? u : v) + (k & 2)];
  Capacity& forward = pair[k & 1];
  Capacity& backward = pair[~k & 1];
  forward -= amount;
  backward += amount;
  const int r = opposite(k);
  nodes_[v].open |= 16 << k;
  nodes_[u].open |= 1 << r;
  if (forward == 0) {
    nodes_[v].open &= ~(1 << k);
    nodes_[u].open &= ~(16 << r);
  }
}

template <typename Capacity>
template <bool kSource>
void GridMaxFlow<Capacity>::adopt() {
  const int32_t limit = limit_[kSource];
  pending_.clear();
  for (int32_t d = lowest_; d <= highest_; ++d) {
    const int32_t want = kSource ? d - 1 : 1 - d, below = kSource ? d + 1 : -d - 1;
    for (size_t i = 0; i < buckets_[d].size(); ++i) {
      const int32_t v = buckets_[d][i];
      Node& n = nodes_[v];
      const int32_t* step = steps(v);
      unsigned hit = 0;
      for (int k = 0; k < 4; ++k) hit |= (nodes_[v + step[k]].label == want) << k;
      hit &= inward<kSource>(v);
      if (hit && d > 1) {
        n.parent = __builtin_ctz(hit);
        continue;
      }
      n.parent = kNone;
      n.label = 0;
      n.state |= kPending;
      pending_.push_back(v);
      unsigned children = 0;
      for (int k = 0; k < 4; ++k) {
        const Node& u = nodes_[v + step[k]];
        children |= ((u.label == below) & (u.parent == opposite(k))) << k;
      }
      for (; children; children &= children - 1) put(d + 1, v + step[__builtin_ctz(children)]);
    }
    buckets_[d].clear();
  }
  work_ += pending_.size();
  lowest_ = std::numeric_limits<int32_t>::max();
  highest_ = 0;
  for (int32_t v : pending_) {
    const int32_t* step = steps(v);
    const unsigned in = inward<kSource>(v);
    uint32_t best = std::numeric_limits<uint32_t>::max();
    for (int k = 0; k < 4; ++k) {
      const int32_t label = nodes_[v + step[k]].label;
      const uint32_t d = (in >> k & 1) ? uint32_t((kSource ? label : -label) - 1) : best;
      nodes_[v].parent = d < best ? k : nodes_[v].parent;
      best = std::min(best, d);
    }
    // best + 1 is the distance of the closest neighbour
    if (best < uint32_t(limit - 1)) put(best + 2, v);
    else nodes_[v].parent = kNone;
  }
  for (int32_t d = lowest_; d <= highest_; ++d) {
    for (const int32_t v : buckets_[d])
      if (nodes_[v].label == 0) nodes_[v].label = kSource ? d : -d;
    for (const int32_t v : buckets_[d]) {
      if (distance<kSource>(v) != d) continue;
      if (d == limit) list<kSource>(v);
      if (d == limit) continue;
      const int32_t* step = steps(v);
      unsigned todo = 0;
      for (int k = 0; k < 4; ++k) {
        const Node& u = nodes_[v + step[k]];
        todo |= ((u.label == 0) & ((u.state & kPending) != 0)) << k;
      }
      for (todo &= outward<kSource>(v); todo; todo &= todo - 1) {
        const int k = __builtin_ctz(todo);
        const int32_t u = v + step[k];
        nodes_[u].label = kSource ? d + 1 : -d - 1;
        nodes_[u].parent = opposite(k);
        put(d + 1, u);
      }
    }
    buckets_[d].clear();
  }
  for (int32_t v : pending_) {
    Node& n = nodes_[v];
    n.state &= ~kPending;
    if (n.label != 0) continue;
    n.parent = kNone;
    for (unsigned m = inward<kSource>(v); m; m &= m - 1) {
      const int32_t u = neighbour(v, __builtin_ctz(m));
      if (distance<kSource>(u) == depth_[kSource]) list<kSource>(u);
    }
  }
}

template <typename Capacity>
void GridMaxFlow<Capacity>::augment(int32_t v, int k, int32_t u) {
  Capacity amount = residual(v, k, u);
  int32_t i = v;
  while (nodes_[i].parent != kRoot) {
    const int d = nodes_[i].parent;
    const int32_t p = neighbour(i, d);
    amount = std::min(amount, residual(p, opposite(d), i));
    i = p;
  }
  amount = std::min(amount, excess_[i]);
  int32_t j = u;
  while (nodes_[j].parent != kRoot) {
    const int d = nodes_[j].parent;
    const int32_t p = neighbour(j, d);
    amount = std::min(amount, residual(j, d, p));
    j = p;
  }
  amount = std::min<Capacity>(amount, -excess_[j]);
  work_ += nodes_[v].label - nodes_[u].label;
  flow_ += amount;

  push(v, k, u, amount);
  lowest_ = std::numeric_limits<int32_t>::max();
  highest_ = 0;
  for (i = v; nodes_[i].parent != kRoot;) {
    const int d = nodes_[i].parent;
    const int32_t p = neighbour(i, d);
    push(p, opposite(d), i, amount);
    if (!(inward<true>(i) >> d & 1)) put(nodes_[i].label, i);
    i = p;
  }
  excess_[i] -= amount;
  if (excess_[i] == 0) put(1, i);
  if (highest_ > 0) adopt<true>();
  lowest_ = std::numeric_limits<int32_t>::max();
  highest_ = 0;
  for (j = u; nodes_[j].parent != kRoot;) {
    const int d = nodes_[j].parent;
    const int32_t p = neighbour(j, d);
    push(j, d, p, amount);
    if (!(inward<false>(j) >> d & 1)) put(-nodes_[j].label, j);
    j = p;
  }
  excess_[j] += amount;
  if (excess_[j] == 0) put(1, j);
  if (highest_ > 0) adopt<false>();
}

template <typename Capacity>
template <bool kSource, typename Poll>
void GridMaxFlow<Capacity>::grow(Poll& poll) {
  const int32_t depth = depth_[kSource];
  limit_[kSource] = depth + 1;
  limit_[!kSource] = depth_[!kSource];
  const size_t need = std::max(depth_[0], depth_[1]) + 3;
  if (buckets_.size() < need) buckets_.resize(2 * need);
  scan_.swap(active_[kSource]);
  active_[kSource].clear();
  for (const int32_t v : scan_) {
    count_work(1, poll);
    nodes_[v].state &= ~kListed[kSource];
    if (distance<kSource>(v) == depth + 1) list<kSource>(v);
    if (distance<kSource>(v) != depth) continue;
    for (unsigned m = outward<kSource>(v); m; m &= m - 1) {
      const int k = __builtin_ctz(m);
      const int32_t u = neighbour(v, k);
      while (distance<kSource>(u) < 0 && (outward<kSource>(v) >> k & 1) &&
             distance<kSource>(v) == depth) {
        if (kSource) augment(v, k, u);
        else augment(u, opposite(k), v);
      }
      if (distance<kSource>(v) != depth) break;
      if (nodes_[u].label == 0 && (outward<kSource>(v) >> k & 1)) {
        nodes_[u].label = kSource ? depth + 1 : -depth - 1;
        nodes_[u].parent = opposite(k);
        list<kSource>(u);
      }
    }
  }
  ++depth_[kSource];
}

template <typename Capacity>
template <typename Poll>
int64_t GridMaxFlow<Capacity>::solve(const Capacity* terminal, const Capacity* right,
                                     const Capacity* down, Poll&& poll) {
  work_ = 0;
  load(terminal, right, down);
  for (int round = 0; round < sweeps; ++round) {
    diffuse<1, 1>(poll);
    diffuse<-1, -1>(poll);
    diffuse<-1, 1>(poll);
    diffuse<1, -1>(poll);
  }
  flow_ = 0;
  for (int32_t i = 0; i < size_; ++i)
    flow_ += std::max<Capacity>(terminal[i], 0) - std::max<Capacity>(excess_[i], 0);
  plant();
  while (!active_[0].empty() && !active_[1].empty()) {
    if (active_[1].size() <= active_[0].size()) grow<true>(poll);
    else grow<false>(poll);
  }
  return flow_;
}

template <typename Capacity>
void GridMaxFlow<Capacity>::source_side(bool maximal, uint8_t* labels) {
  auto nothing = [] {};
  while (!active_[!maximal].empty()) {
    if (maximal) grow<false>(nothing);
    else grow<true>(nothing);
  }
  for (int32_t v = 0; v < size_; ++v) labels[v] = maximal ? nodes_[v].label >= 0 : nodes_[v].label > 0;
}

template <typename Capacity>
void GridMaxFlow<Capacity>::edge_flows(Capacity* right, Capacity* down) const {
  const int64_t columns = right_columns(), rows = down_rows();
  for (int64_t y = 0; y < height_; ++y) {
    for (int64_t x = 0; x < width_; ++x) {
      const Capacity* r = &residual_[4 * (y * width_ + x)];
      if (x < columns) right[y * columns + x] = (r[1] - r[0]) / 2;
      if (y < rows) down[y * width_ + x] = (r[3] - r[2]) / 2;
    }
  }
}

}  // namespace mrfmask
