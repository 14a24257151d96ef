// Two search trees that find the augmenting paths left in a residual grid, and prove when none is:
// the last stage of max_flow.h.
//
// Incremental breadth-first search: Goldberg, Hed, Kaplan, Tarjan and Werneck, "Maximum flows by
// incremental breadth-first search", ESA 2011. Like Boykov and Kolmogorov's algorithm (PAMI 2004)
// it repairs its trees after an augmentation instead of growing new ones, but keeps them
// shortest-path trees, so its time is polynomial whatever the capacities.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "arc_grid.h"

namespace mrfmask {

template <typename Capacity>
class SearchTrees : public ArcGrid<Capacity> {
 protected:
  using Base = ArcGrid<Capacity>;
  using Base::excess_;
  using Base::first_bit;
  using Base::neighbour;
  using Base::nodes_;
  using Base::push;
  using Base::residual;
  using Base::size_;
  using Base::steps;

  SearchTrees(int64_t height, int64_t width, bool periodic)
      : ArcGrid<Capacity>(height, width, periodic) {}

  // Augments along shortest paths from excess to deficits. True if it found the maximum; false if
  // it gave up because paths and repaired parts of the trees came to more than `effort` pixels.
  template <typename Poll>
  bool search(int64_t effort, Poll& poll);

  // After a search that found the maximum: completes a tree as well. Label > 0 then means reached
  // from the source, < 0 that the sink can be reached.
  template <bool kSource>
  void complete() {
    const auto no_poll = [](int64_t) {};
    // No path is left, so this only takes in free pixels, each once.
    while (!active_[kSource].empty()) grow<kSource>(no_poll);
  }

 private:
  // Two trees, of all pixels reached from the source and of all from which the sink was reached.
  // A pixel of the source tree has label d > 0, of the sink tree -d < 0, where d counts the arcs on
  // a shortest residual path to its terminal (the terminal's own among them); a free pixel has 0.
  // Node::parent is the direction of the next pixel on that path, or one of these:
  static constexpr uint8_t kTerminal = 4, kNone = 5;
  // Bits of Node::state: stands in active_[tree]; is in pending_.
  static constexpr uint8_t kListed[2] = {1, 2};
  static constexpr uint8_t kPending = 4;

  // What follows is written once for both trees: the sink tree is a source tree of the network with
  // all arcs reversed and all labels negated.
  template <bool kSource>
  static int32_t as_label(int32_t distance) {
    return kSource ? distance : -distance;
  }
  template <bool kSource>
  int32_t distance(int32_t v) const {
    return as_label<kSource>(nodes_[v].label);
  }
  // Bits of the directions in which the tree can grow from v, and in which v can find a parent.
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

  void plant();
  template <bool kSource, typename Poll>
  void grow(Poll& poll);
  void augment(int32_t v, int direction);
  template <bool kSource>
  Capacity path_capacity(int32_t v);
  template <bool kSource>
  void push_along_path(int32_t v, Capacity amount);
  template <bool kSource>
  void adopt();
  template <bool kSource>
  void keep_levels();
  template <bool kSource>
  void find_levels();

  void put(int32_t distance, int32_t v) {
    buckets_[distance].push_back(v);
    lowest_ = std::min(lowest_, distance);
    highest_ = std::max(highest_, distance);
  }
  void start_buckets() {
    lowest_ = std::numeric_limits<int32_t>::max();
    highest_ = 0;
  }

  // Per tree (sink, source): the level to grow from, its pixels that may have something to grow to,
  // and the deepest level an orphan may take at the moment.
  int32_t depth_[2], limit_[2];
  std::vector<int32_t> active_[2];
  std::vector<int32_t> scan_;
  std::vector<int32_t> pending_;               // orphans that found no parent at their old level
  std::vector<std::vector<int32_t>> buckets_;  // orphans by distance
  int32_t lowest_, highest_;                   // buckets in use
  int64_t effort_;                             // left for this search
};

template <typename Capacity>
template <typename Poll>
bool SearchTrees<Capacity>::search(int64_t effort, Poll& poll) {
  plant();
  effort_ = effort;
  // A complete tree proves that no path is left.
  while (!active_[false].empty() && !active_[true].empty()) {
    if (active_[true].size() <= active_[false].size()) {
      grow<true>(poll);
    } else {
      grow<false>(poll);
    }
    if (effort_ < 0) return false;
  }
  return true;
}

// Pixels with excess are the first level of the source tree, with a deficit of the sink tree. Only
// those with an open arc out of their own kind need a scan; many have none.
template <typename Capacity>
void SearchTrees<Capacity>::plant() {
  for (int32_t v = 0; v < size_; ++v) {
    Node& node = nodes_[v];
    node.label = (excess_[v] > 0) - (excess_[v] < 0);
    node.parent = node.label == 0 ? kNone : kTerminal;
    node.state = 0;
  }
  active_[false].clear();
  active_[true].clear();
  for (int32_t v = 0; v < size_; ++v) {
    const int32_t label = nodes_[v].label;
    const int32_t* step = steps(v);
    unsigned others = 0;
    for (int k = 0; k < 4; ++k) others |= (nodes_[v + step[k]].label != label) << k;
    if (label > 0 && (others & outward<true>(v))) list<true>(v);
    if (label < 0 && (others & outward<false>(v))) list<false>(v);
  }
  depth_[false] = depth_[true] = 1;
}

// Adds one level to a tree; every open arc found between the trees is used for augmenting paths
// until it is closed or one of its ends has left its level.
template <typename Capacity>
template <bool kSource, typename Poll>
void SearchTrees<Capacity>::grow(Poll& poll) {
  const int32_t depth = depth_[kSource];
  limit_[kSource] = depth + 1;
  limit_[!kSource] = depth_[!kSource];
  const size_t levels = static_cast<size_t>(std::max(limit_[false], limit_[true])) + 1;
  if (buckets_.size() < levels) buckets_.resize(2 * levels);
  scan_.clear();
  scan_.swap(active_[kSource]);
  for (const int32_t v : scan_) {
    poll(1);
    nodes_[v].state &= ~kListed[kSource];
    // An orphan may have moved to the next level since it was listed.
    if (distance<kSource>(v) == depth + 1) list<kSource>(v);
    for (unsigned todo = outward<kSource>(v); todo != 0; todo &= todo - 1) {
      const int k = first_bit(todo);
      const int32_t u = neighbour(v, k);
      const auto grows_to_u = [&] {
        return distance<kSource>(v) == depth && (outward<kSource>(v) >> k & 1);
      };
      while (grows_to_u() && distance<kSource>(u) < 0) {
        const int64_t before = effort_;
        kSource ? augment(v, k) : augment(u, opposite(k));
        poll(before - effort_);
        if (effort_ < 0) return;
      }
      if (grows_to_u() && nodes_[u].label == 0) {
        nodes_[u].label = as_label<kSource>(depth + 1);
        nodes_[u].parent = static_cast<uint8_t>(opposite(k));
        list<kSource>(u);
      }
    }
  }
  ++depth_[kSource];
}

// Sends as much as possible along the path source ... v -> neighbour ... sink.
template <typename Capacity>
void SearchTrees<Capacity>::augment(int32_t v, int direction) {
  const int32_t u = neighbour(v, direction);
  const Capacity amount =
      std::min(residual(v, direction), std::min(path_capacity<true>(v), path_capacity<false>(u)));
  effort_ -= nodes_[v].label - nodes_[u].label;
  push(v, direction, amount);
  push_along_path<true>(v, amount);
  adopt<true>();
  push_along_path<false>(u, amount);
  adopt<false>();
}

template <typename Capacity>
template <bool kSource>
Capacity SearchTrees<Capacity>::path_capacity(int32_t v) {
  Capacity amount = std::numeric_limits<Capacity>::max();
  while (nodes_[v].parent != kTerminal) {
    const int k = nodes_[v].parent;
    const int32_t parent = neighbour(v, k);
    amount = std::min(amount, kSource ? residual(parent, opposite(k)) : residual(v, k));
    v = parent;
  }
  return std::min<Capacity>(amount, kSource ? excess_[v] : -excess_[v]);
}

// Leaves the pixels whose way to the terminal is now closed in the buckets.
template <typename Capacity>
template <bool kSource>
void SearchTrees<Capacity>::push_along_path(int32_t v, Capacity amount) {
  start_buckets();
  while (nodes_[v].parent != kTerminal) {
    const int k = nodes_[v].parent;
    const int32_t parent = neighbour(v, k);
    kSource ? push(parent, opposite(k), amount) : push(v, k, amount);
    if (!(inward<kSource>(v) >> k & 1)) put(distance<kSource>(v), v);
    v = parent;
  }
  excess_[v] -= as_label<kSource>(1) * amount;
  if (excess_[v] == 0) put(1, v);
}

// Gives the orphans in the buckets a parent on a shortest path again, or sets them free. Distances
// only grow. A repair of a breadth-first tree that looks at every pixel a bounded number of times:
// relabelling orphans one by one would let a subtree climb level by level instead.
template <typename Capacity>
template <bool kSource>
void SearchTrees<Capacity>::adopt() {
  if (highest_ == 0) return;
  keep_levels<kSource>();
  find_levels<kSource>();
  for (const int32_t v : pending_) {
    Node& node = nodes_[v];
    node.state &= ~kPending;
    if (node.label != 0) continue;
    node.parent = kNone;
    // Free now: those that may grow to it at their next turn must have one.
    for (unsigned todo = inward<kSource>(v); todo != 0; todo &= todo - 1) {
      const int32_t u = neighbour(v, first_bit(todo));
      if (distance<kSource>(u) == depth_[kSource]) list<kSource>(u);
    }
  }
  effort_ -= static_cast<int64_t>(pending_.size());
}

// Orphans that find another parent one level up stay where they are, and so does all below them.
// The others are pending, without a label, and their children orphans.
template <typename Capacity>
template <bool kSource>
void SearchTrees<Capacity>::keep_levels() {
  pending_.clear();
  for (int32_t d = lowest_; d <= highest_; ++d) {
    for (const int32_t v : buckets_[d]) {
      Node& node = nodes_[v];
      // On a path whose arcs all closed, the path and the parent both bring a pixel here.
      if (node.state & kPending) continue;
      const int32_t* step = steps(v);
      unsigned parents = 0, children = 0;
      for (int k = 0; k < 4; ++k) {
        const Node& other = nodes_[v + step[k]];
        parents |= (other.label == as_label<kSource>(d - 1)) << k;
        children |= ((other.label == as_label<kSource>(d + 1)) & (other.parent == opposite(k)))
                    << k;
      }
      parents &= inward<kSource>(v);
      if (d > 1 && parents != 0) {
        node.parent = static_cast<uint8_t>(first_bit(parents));
        continue;
      }
      node.label = 0;
      node.parent = kNone;
      node.state |= kPending;
      pending_.push_back(v);
      for (; children != 0; children &= children - 1) put(d + 1, v + step[first_bit(children)]);
    }
    buckets_[d].clear();
  }
}

// Breadth-first search into the pending pixels from all others of the tree, level by level.
template <typename Capacity>
template <bool kSource>
void SearchTrees<Capacity>::find_levels() {
  const int32_t limit = limit_[kSource];
  start_buckets();
  for (const int32_t v : pending_) {
    const int32_t* step = steps(v);
    const unsigned in = inward<kSource>(v);
    // Distance - 1 unsigned: pixels outside the tree are the farthest.
    uint32_t nearest = std::numeric_limits<uint32_t>::max();
    uint8_t parent = kNone;
    for (int k = 0; k < 4; ++k) {
      const uint32_t other = static_cast<uint32_t>(distance<kSource>(v + step[k])) - 1;
      const bool nearer = (in >> k & 1) & (other < nearest);
      nearest = nearer ? other : nearest;
      parent = nearer ? static_cast<uint8_t>(k) : parent;
    }
    nodes_[v].parent = parent;
    if (nearest < static_cast<uint32_t>(limit - 1)) put(static_cast<int32_t>(nearest) + 2, v);
  }
  for (int32_t d = lowest_; d <= highest_; ++d) {
    const int32_t label = as_label<kSource>(d);
    // Unless the search below came by earlier.
    for (const int32_t v : buckets_[d]) {
      if (nodes_[v].label == 0) nodes_[v].label = label;
    }
    for (const int32_t v : buckets_[d]) {
      if (nodes_[v].label != label) continue;
      if (d == limit) {
        list<kSource>(v);
        continue;
      }
      const int32_t* step = steps(v);
      unsigned todo = 0;
      for (int k = 0; k < 4; ++k) {
        const Node& other = nodes_[v + step[k]];
        todo |= ((other.label == 0) & ((other.state & kPending) != 0)) << k;
      }
      for (todo &= outward<kSource>(v); todo != 0; todo &= todo - 1) {
        const int k = first_bit(todo);
        const int32_t u = v + step[k];
        nodes_[u].label = as_label<kSource>(d + 1);
        nodes_[u].parent = static_cast<uint8_t>(opposite(k));
        put(d + 1, u);
      }
    }
    buckets_[d].clear();
  }
}

}  // namespace mrfmask
