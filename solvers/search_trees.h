// Two search trees that find the augmenting paths left in a residual network, and prove when none
// is: the last stage of max_flow.h and of graph_max_flow.h.
//
// Incremental breadth-first search: Goldberg, Hed, Kaplan, Tarjan and Werneck, "Maximum flows by
// incremental breadth-first search", ESA 2011. Like Boykov and Kolmogorov's algorithm (PAMI 2004)
// it repairs its trees after an augmentation instead of growing new ones, but keeps them
// shortest-path trees, so its time is polynomial whatever the capacities.
//
// A Network (arc_grid.h, arc_graph.h) has nodes_ with label, parent and state, excess_, and names
// the arcs of a node by Links: neighbour(v, link), back(link) (the same arc seen from there),
// residual(v, link), push(v, link, amount), is_open<kOut>(v, link) (kOut: from v, else to v) and
// sets of links to go through: all_links(v, test), open_links<kOut>(v) and
// open_links<kOut>(v, test) with test(link, neighbour's node). work(v): what it costs to look at v.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace mrfmask {

template <typename Network>
class SearchTrees : public Network {
 protected:
  using Capacity = typename Network::Capacity;
  using Link = typename Network::Link;
  using Node = typename Network::Node;
  using Network::back;
  using Network::excess_;
  using Network::neighbour;
  using Network::Network;
  using Network::nodes_;
  using Network::push;
  using Network::residual;
  using Network::size_;

  // Augments along shortest paths from excess to deficits. True if it found the maximum; false if
  // it gave up because paths and repaired parts of the trees came to more than `effort` pixels.
  template <typename Poll>
  bool search(int64_t effort, Poll& poll);

  // After a search that found the maximum: the source side of a minimum cut, 1 or 0 per pixel, the
  // smallest or the largest one.
  void source_side(bool maximal, uint8_t* labels);

  // Pixels whose excess lies on the wrong side of an old cut.
  int64_t disturbed(const uint8_t* source_side) const;

 private:
  // Completes a tree after a search that found the maximum.
  template <bool kSource>
  void complete() {
    const auto no_poll = [](int64_t) {};
    // No path is left, so this only takes in free pixels, each once.
    while (!active_[kSource].empty()) grow<kSource>(no_poll);
  }

  // Two trees, of all pixels reached from the source and of all from which the sink was reached.
  // A pixel of the source tree has label d > 0, of the sink tree -d < 0, where d counts the arcs on
  // a shortest residual path to its terminal (the terminal's own among them); a free pixel has 0.
  // Node::parent is the link to the next pixel on that path, or one of these:
  static constexpr Link kTerminal = Network::kTerminal, kNone = Network::kNone;
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
  // The source tree grows along open arcs out of its pixels and finds parents along those into
  // them; the sink tree the other way round.
  template <bool kSource>
  bool is_outward(int32_t v, Link link) const {
    return this->template is_open<kSource>(v, link);
  }
  template <bool kSource>
  bool is_inward(int32_t v, Link link) const {
    return this->template is_open<!kSource>(v, link);
  }
  template <bool kSource, typename... Test>
  auto outward(int32_t v, Test... test) const {
    return this->template open_links<kSource>(v, test...);
  }
  template <bool kSource, typename... Test>
  auto inward(int32_t v, Test... test) const {
    return this->template open_links<!kSource>(v, test...);
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
  void augment(int32_t v, Link link);
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

template <typename Network>
template <typename Poll>
bool SearchTrees<Network>::search(int64_t effort, Poll& poll) {
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

// Label > 0 means reached from the source, < 0 that the sink can be reached.
template <typename Network>
void SearchTrees<Network>::source_side(bool maximal, uint8_t* labels) {
  if (maximal) {
    complete<false>();
  } else {
    complete<true>();
  }
  for (int32_t v = 0; v < size_; ++v) {
    const int32_t label = nodes_[v].label;
    labels[v] = maximal ? label >= 0 : label > 0;
  }
}

template <typename Network>
int64_t SearchTrees<Network>::disturbed(const uint8_t* source_side) const {
  int64_t count = 0;
  for (int32_t v = 0; v < size_; ++v) {
    count += source_side[v] ? excess_[v] < 0 : excess_[v] > 0;
  }
  return count;
}

// Pixels with excess are the first level of the source tree, with a deficit of the sink tree. Only
// those with an open arc out of their own kind need a scan; many have none.
template <typename Network>
void SearchTrees<Network>::plant() {
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
    const auto other = [label](Link, const Node& node) { return node.label != label; };
    if (label > 0 && outward<true>(v, other).any()) list<true>(v);
    if (label < 0 && outward<false>(v, other).any()) list<false>(v);
  }
  depth_[false] = depth_[true] = 1;
}

// Adds one level to a tree; every open arc found between the trees is used for augmenting paths
// until it is closed or one of its ends has left its level.
template <typename Network>
template <bool kSource, typename Poll>
void SearchTrees<Network>::grow(Poll& poll) {
  const int32_t depth = depth_[kSource];
  limit_[kSource] = depth + 1;
  limit_[!kSource] = depth_[!kSource];
  const size_t levels = static_cast<size_t>(std::max(limit_[false], limit_[true])) + 1;
  if (buckets_.size() < levels) buckets_.resize(2 * levels);
  scan_.clear();
  scan_.swap(active_[kSource]);
  for (const int32_t v : scan_) {
    poll(this->work(v));
    nodes_[v].state &= ~kListed[kSource];
    // An orphan may have moved to the next level since it was listed.
    if (distance<kSource>(v) == depth + 1) list<kSource>(v);
    for (const Link k : outward<kSource>(v)) {
      const int32_t u = neighbour(v, k);
      const auto grows_to_u = [&] {
        return distance<kSource>(v) == depth && is_outward<kSource>(v, k);
      };
      while (grows_to_u() && distance<kSource>(u) < 0) {
        const int64_t before = effort_;
        kSource ? augment(v, k) : augment(u, back(k));
        poll(before - effort_);
        if (effort_ < 0) return;
      }
      if (grows_to_u() && nodes_[u].label == 0) {
        nodes_[u].label = as_label<kSource>(depth + 1);
        nodes_[u].parent = back(k);
        list<kSource>(u);
      }
    }
  }
  ++depth_[kSource];
}

// Sends as much as possible along the path source ... v -> neighbour ... sink.
template <typename Network>
void SearchTrees<Network>::augment(int32_t v, Link link) {
  const int32_t u = neighbour(v, link);
  const Capacity amount =
      std::min(residual(v, link), std::min(path_capacity<true>(v), path_capacity<false>(u)));
  effort_ -= nodes_[v].label - nodes_[u].label;
  push(v, link, amount);
  push_along_path<true>(v, amount);
  adopt<true>();
  push_along_path<false>(u, amount);
  adopt<false>();
}

template <typename Network>
template <bool kSource>
typename Network::Capacity SearchTrees<Network>::path_capacity(int32_t v) {
  Capacity amount = std::numeric_limits<Capacity>::max();
  while (nodes_[v].parent != kTerminal) {
    const Link k = nodes_[v].parent;
    const int32_t parent = neighbour(v, k);
    amount = std::min(amount, kSource ? residual(parent, back(k)) : residual(v, k));
    v = parent;
  }
  return std::min<Capacity>(amount, kSource ? excess_[v] : -excess_[v]);
}

// Leaves the pixels whose way to the terminal is now closed in the buckets.
template <typename Network>
template <bool kSource>
void SearchTrees<Network>::push_along_path(int32_t v, Capacity amount) {
  start_buckets();
  while (nodes_[v].parent != kTerminal) {
    const Link k = nodes_[v].parent;
    const int32_t parent = neighbour(v, k);
    kSource ? push(parent, back(k), amount) : push(v, k, amount);
    if (!is_inward<kSource>(v, k)) put(distance<kSource>(v), v);
    v = parent;
  }
  excess_[v] -= as_label<kSource>(1) * amount;
  if (excess_[v] == 0) put(1, v);
}

// Gives the orphans in the buckets a parent on a shortest path again, or sets them free. Distances
// only grow. A repair of a breadth-first tree that looks at every pixel a bounded number of times:
// relabelling orphans one by one would let a subtree climb level by level instead.
template <typename Network>
template <bool kSource>
void SearchTrees<Network>::adopt() {
  if (highest_ == 0) return;
  keep_levels<kSource>();
  find_levels<kSource>();
  for (const int32_t v : pending_) {
    Node& node = nodes_[v];
    node.state &= ~kPending;
    if (node.label != 0) continue;
    node.parent = kNone;
    // Free now: those that may grow to it at their next turn must have one.
    for (const Link k : inward<kSource>(v)) {
      const int32_t u = neighbour(v, k);
      if (distance<kSource>(u) == depth_[kSource]) list<kSource>(u);
    }
  }
}

// Orphans that find another parent one level up stay where they are, and so does all below them.
// The others are pending, without a label, and their children orphans.
template <typename Network>
template <bool kSource>
void SearchTrees<Network>::keep_levels() {
  pending_.clear();
  for (int32_t d = lowest_; d <= highest_; ++d) {
    for (const int32_t v : buckets_[d]) {
      Node& node = nodes_[v];
      // On a path whose arcs all closed, the path and the parent both bring a pixel here.
      if (node.state & kPending) continue;
      const auto parents = inward<kSource>(
          v, [label = as_label<kSource>(d - 1)](Link, const Node& n) { return n.label == label; });
      if (d > 1 && parents.any()) {
        node.parent = parents.first();
        continue;
      }
      node.label = 0;
      node.parent = kNone;
      node.state |= kPending;
      pending_.push_back(v);
      effort_ -= this->work(v);
      const auto children =
          this->all_links(v, [this, label = as_label<kSource>(d + 1)](Link k, const Node& n) {
            return (n.label == label) & (n.parent == back(k));
          });
      for (const Link k : children) put(d + 1, neighbour(v, k));
    }
    buckets_[d].clear();
  }
}

// Breadth-first search into the pending pixels from all others of the tree, level by level.
template <typename Network>
template <bool kSource>
void SearchTrees<Network>::find_levels() {
  const int32_t limit = limit_[kSource];
  start_buckets();
  for (const int32_t v : pending_) {
    // Distance - 1 unsigned: pixels outside the tree are the farthest.
    uint32_t nearest = std::numeric_limits<uint32_t>::max();
    Link parent = kNone;
    this->for_links(v, [&](Link k, const Node& n) {
      const uint32_t other = static_cast<uint32_t>(as_label<kSource>(n.label)) - 1;
      const bool nearer = is_inward<kSource>(v, k) & (other < nearest);
      nearest = nearer ? other : nearest;
      parent = nearer ? k : parent;
    });
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
      const auto orphans = outward<kSource>(
          v, [](Link, const Node& n) { return (n.label == 0) & ((n.state & kPending) != 0); });
      for (const Link k : orphans) {
        const int32_t u = neighbour(v, k);
        nodes_[u].label = as_label<kSource>(d + 1);
        nodes_[u].parent = back(k);
        put(d + 1, u);
      }
    }
    buckets_[d].clear();
  }
}

}  // namespace mrfmask
