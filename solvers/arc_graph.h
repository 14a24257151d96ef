// The residual network of any graph with symmetric capacities, the passes and waves that route most
// of a flow through it: what residual_grid.h and arc_grid.h are for grids.
//
// Excess and deficits are kept per node as in residual_grid.h. The arcs of a node lie side by side;
// an arc knows the residuals of both its directions, so that a search over the arcs of a node reads
// nothing else of the network but the nodes at their heads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

namespace mrfmask {

struct GraphNode {
  int32_t label;   // a distance: < 0 to the sink, > 0 from the source, 0 unknown
  int32_t parent;  // for search_trees.h, like state
  int32_t first;   // its first arc; the next node has the end
  uint8_t state;
};

template <typename Scalar>
struct GraphArc {
  int32_t head;
  int32_t back;  // the same edge among the arcs of `head`
  Scalar out;    // residual towards `head`
  Scalar in;     // residual from there
};

// The arcs from `first` to before `end` that pass a test, each tested when its turn comes.
template <typename Test>
class ArcsWhere {
 public:
  class Iterator {
   public:
    Iterator(int32_t at, const ArcsWhere& arcs) : at_(at), arcs_(arcs) { skip(); }
    int32_t operator*() const { return at_; }
    void operator++() {
      ++at_;
      skip();
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    void skip() {
      while (at_ != arcs_.end_ && !arcs_.test_(at_)) ++at_;
    }
    int32_t at_;
    const ArcsWhere& arcs_;
  };

  ArcsWhere(int32_t first, int32_t end, Test test) : first_(first), end_(end), test_(test) {}
  Iterator begin() const { return Iterator(first_, *this); }
  Iterator end() const { return Iterator(end_, *this); }
  bool any() const { return begin() != end(); }
  int32_t first() const { return *begin(); }

 private:
  int32_t first_, end_;
  Test test_;
};

template <typename Scalar>
class ArcGraph {
 public:
  // Edge e joins the nodes first[e] and second[e], which differ; parallel edges add up.
  ArcGraph(int64_t nodes, int64_t edges, const int64_t* first, const int64_t* second);

  // Net flow of every edge, > 0 from its first node to its second.
  void edge_flows(Scalar* flow) const;

 protected:
  // For search_trees.h: links are the numbers of arcs.
  using Capacity = Scalar;
  using Link = int32_t;
  using Node = GraphNode;
  static constexpr Link kTerminal = -1, kNone = -2;

  int32_t neighbour(int32_t, Link arc) const { return arcs_[arc].head; }
  Link back(Link arc) const { return arcs_[arc].back; }
  Capacity residual(Link arc) const { return arcs_[arc].out; }
  Capacity residual(int32_t, Link arc) const { return residual(arc); }
  template <bool kOut>
  bool is_open(int32_t, Link arc) const {
    return (kOut ? arcs_[arc].out : arcs_[arc].in) > 0;
  }

  template <typename Test>
  auto all_links(int32_t v, Test test) const {
    return arcs_where(v, [this, test](Link a) { return test(a, nodes_[arcs_[a].head]); });
  }
  template <bool kOut>
  auto open_links(int32_t v) const {
    return arcs_where(v, [this, v](Link a) { return this->template is_open<kOut>(v, a); });
  }
  template <bool kOut, typename Test>
  auto open_links(int32_t v, Test test) const {
    return arcs_where(v, [this, v, test](Link a) {
      return this->template is_open<kOut>(v, a) && test(a, nodes_[arcs_[a].head]);
    });
  }
  template <typename Visit>
  void for_links(int32_t v, Visit visit) const {
    for (Link a = nodes_[v].first; a < nodes_[v + 1].first; ++a) visit(a, nodes_[arcs_[a].head]);
  }
  // A node with many arcs costs more than one with few.
  int64_t work(int32_t v) const { return 1 + (nodes_[v + 1].first - nodes_[v].first) / 4; }
  int64_t work_on_all() const { return size_ + static_cast<int64_t>(arcs_.size()) / 4; }

  // Sends flow (|amount| at most the residual) over one arc; the excesses are the caller's.
  void push(int32_t, Link arc, Capacity amount) {
    GraphArc<Capacity>& there = arcs_[arc];
    GraphArc<Capacity>& here = arcs_[there.back];
    there.out -= amount;
    there.in += amount;
    here.out += amount;
    here.in -= amount;
  }

  // Starts from the given flow (within the capacities), or from none if it is null. What it sends
  // beyond a terminal is excess like any other.
  void load(const Capacity* terminal, const Capacity* capacity, const Capacity* flow);

  // Two passes over all nodes, up and down: each node sends all it holds, excess or deficit alike,
  // to those that come later, as RowPass of residual_grid.h does.
  template <typename Poll>
  void spread_pair(Poll& poll) {
    for (int32_t v = 0; v < size_; ++v) spread_node<true>(v, poll);
    for (int32_t v = size_; v-- > 0;) spread_node<false>(v, poll);
  }

  // At most so many waves (arc_grid.h) over the whole graph. Labels are left undefined.
  template <typename Poll>
  void run_waves(int most, Poll& poll);

  // Whether waves are likely to pay: as in arc_grid.h.
  bool thinly_spread() const;

  // The sum of positive excess.
  int64_t surplus() const {
    int64_t sum = 0;
    for (const Capacity e : excess_) sum += std::max<Capacity>(e, 0);
    return sum;
  }

  int32_t size_;
  std::vector<Node> nodes_;  // and one more, for the end of the last one's arcs
  std::vector<Capacity> excess_;

 private:
  static constexpr int32_t kFewMoves = 64;  // not worth another wave

  template <typename Test>
  ArcsWhere<Test> arcs_where(int32_t v, Test test) const {
    return ArcsWhere<Test>(nodes_[v].first, nodes_[v + 1].first, test);
  }
  template <bool kUp, typename Poll>
  void spread_node(int32_t v, Poll& poll);
  void measure_distances();
  int32_t move_down();

  std::vector<GraphArc<Capacity>> arcs_;
  std::vector<Link> edge_arcs_;  // of every edge the arc at its first node
  std::vector<int32_t> order_;   // nodes by distance
};

template <typename Scalar>
ArcGraph<Scalar>::ArcGraph(int64_t nodes, int64_t edges, const int64_t* first,
                           const int64_t* second) {
  // The number of arcs, two an edge, fits in 32 bits.
  constexpr int64_t kLargest = std::numeric_limits<int32_t>::max() / 2;
  if (nodes < 1 || nodes > kLargest || edges > kLargest) {
    throw std::length_error("a graph for a cut must have 1 to 2^30 - 1 nodes, no more edges");
  }
  size_ = static_cast<int32_t>(nodes);
  nodes_.assign(static_cast<size_t>(nodes) + 1, Node{});
  arcs_.resize(2 * static_cast<size_t>(edges));
  edge_arcs_.resize(static_cast<size_t>(edges));
  // Counted from the back: `first` comes down from the end of a node's arcs to their begin.
  for (int64_t e = 0; e < edges; ++e) {
    ++nodes_[first[e]].first;
    ++nodes_[second[e]].first;
  }
  int32_t end = 0;
  for (Node& node : nodes_) node.first = end += node.first;
  for (int64_t e = edges; e-- > 0;) {
    const int32_t there = --nodes_[first[e]].first, here = --nodes_[second[e]].first;
    edge_arcs_[e] = there;
    arcs_[there] = {static_cast<int32_t>(second[e]), here, 0, 0};
    arcs_[here] = {static_cast<int32_t>(first[e]), there, 0, 0};
  }
}

template <typename Scalar>
void ArcGraph<Scalar>::load(const Capacity* terminal, const Capacity* capacity,
                            const Capacity* flow) {
  excess_.assign(terminal, terminal + size_);
  for (size_t e = 0; e < edge_arcs_.size(); ++e) {
    GraphArc<Capacity>& there = arcs_[edge_arcs_[e]];
    GraphArc<Capacity>& here = arcs_[there.back];
    const Capacity sent = flow ? flow[e] : 0;
    there.out = here.in = capacity[e] - sent;
    there.in = here.out = capacity[e] + sent;
    excess_[here.head] -= sent;
    excess_[there.head] += sent;
  }
}

// First equal shares for all later nodes, then what is left to whoever takes it: flow that is
// spread over all paths meets more of its kind's opposite.
template <typename Scalar>
template <bool kUp, typename Poll>
void ArcGraph<Scalar>::spread_node(int32_t v, Poll& poll) {
  poll(1);
  Capacity held = excess_[v];
  if (held == 0) return;
  const Link begin = nodes_[v].first, end = nodes_[v + 1].first;
  const auto is_later = [&](Link a) { return kUp ? arcs_[a].head > v : arcs_[a].head < v; };
  const auto send = [&](Link a, Capacity wanted) {
    const Capacity amount = std::min(std::max<Capacity>(wanted, -arcs_[a].in), arcs_[a].out);
    push(v, a, amount);
    excess_[arcs_[a].head] += amount;
    held -= amount;
  };
  Capacity later = 0;
  for (Link a = begin; a < end; ++a) later += is_later(a);
  if (later == 0) return;
  if (later > 1) {
    const Capacity share = held / later;
    for (Link a = begin; a < end && share != 0; ++a) {
      if (is_later(a)) send(a, share);
    }
  }
  for (Link a = begin; a < end && held != 0; ++a) {
    if (is_later(a)) send(a, held);
  }
  excess_[v] = held;
}

template <typename Scalar>
bool ArcGraph<Scalar>::thinly_spread() const {
  int32_t sources = 0, sinks = 0;
  for (const Capacity e : excess_) {
    sources += e > 0;
    sinks += e < 0;
  }
  return std::max(sources, sinks) < size_ / 12 && std::min(sources, sinks) > size_ / 256;
}

template <typename Scalar>
template <typename Poll>
void ArcGraph<Scalar>::run_waves(int most, Poll& poll) {
  for (int wave = 0; wave < most; ++wave) {
    measure_distances();
    const int32_t moved = move_down();
    poll(static_cast<int64_t>(order_.size()));
    if (moved <= kFewMoves) break;
  }
}

// Breadth-first search against the open arcs from the nodes with a deficit (label -1). Free of
// branches on data: every head is written to the end of the queue, which moves on only past new
// ones. What the next nodes need is fetched ahead: they may lie anywhere.
template <typename Scalar>
void ArcGraph<Scalar>::measure_distances() {
  constexpr int32_t kAhead = 8;
  order_.resize(static_cast<size_t>(size_) + 1);
  int32_t* queue = order_.data();
  int32_t end = 0;
  for (int32_t v = 0; v < size_; ++v) {
    const bool deficit = excess_[v] < 0;
    nodes_[v].label = -static_cast<int32_t>(deficit);
    queue[end] = v;
    end += deficit;
  }
  for (int32_t i = 0; i < end; ++i) {
    __builtin_prefetch(&nodes_[queue[std::min(i + 2 * kAhead, end - 1)]]);
    __builtin_prefetch(arcs_.data() + nodes_[queue[std::min(i + kAhead, end - 1)]].first);
    const Node& node = nodes_[queue[i]];
    const int32_t label = node.label - 1;
    const Link stop = (&node)[1].first;
    for (Link a = node.first; a < stop; ++a) {
      Node& head = nodes_[arcs_[a].head];
      const bool fresh = (arcs_[a].in > 0) & (head.label == 0);
      head.label = fresh ? label : head.label;
      queue[end] = arcs_[a].head;
      end += fresh;
    }
  }
  order_.resize(static_cast<size_t>(end));
}

// Farthest first, every node gives its excess to neighbours one step closer to a deficit. Returns
// how many nodes gave.
template <typename Scalar>
int32_t ArcGraph<Scalar>::move_down() {
  int32_t moved = 0;
  for (size_t i = order_.size(); i-- > 0;) {
    const int32_t v = order_[i], label = nodes_[v].label;
    Capacity held = excess_[v];
    if (held <= 0 || label == -1) continue;
    ++moved;
    const auto closer = [label](Link, const Node& n) { return n.label == label + 1; };
    for (const Link a : open_links<true>(v, closer)) {
      const Capacity amount = std::min(held, arcs_[a].out);
      push(v, a, amount);
      held -= amount;
      excess_[arcs_[a].head] += amount;
      if (held == 0) break;
    }
    excess_[v] = held;
  }
  return moved;
}

template <typename Scalar>
void ArcGraph<Scalar>::edge_flows(Scalar* flow) const {
  for (size_t e = 0; e < edge_arcs_.size(); ++e) {
    const GraphArc<Capacity>& arc = arcs_[edge_arcs_[e]];
    // Both started at the capacity, so their difference is twice the flow.
    flow[e] = (arc.in - arc.out) / 2;
  }
}

}  // namespace mrfmask
