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

#include "edge_passes.h"
#include "node_order.h"

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
  // beyond a terminal is excess like any other. Until open_arcs(), only passes go on from here.
  void load(const Capacity* terminal, const Capacity* capacity, const Capacity* flow);

  // Two passes over all nodes (edge_passes.h).
  template <typename Poll>
  void spread_pair(bool turned, Poll& poll) {
    passes_.pair(turned, excess_, poll);
  }

  // Takes the residuals over from the passes.
  void open_arcs();

  // The caller's node by the number that it has here, and the other way round.
  int32_t inside(int64_t v) const { return number_.empty() ? static_cast<int32_t>(v) : number_[v]; }

  // At most so many waves (arc_grid.h) over the whole graph, or over one tile after the other.
  // Labels are left undefined.
  template <typename Poll>
  void run_waves(int most, Poll& poll) {
    wave_over(0, size_, most, poll);
  }
  template <typename Poll>
  void run_tile_waves(int most, Poll& poll);

  // Whether waves are likely to pay: much as in arc_grid.h, and if paths can be long.
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
  static constexpr int32_t kTile = 16384;   // nodes of a tile at most, as in max_flow.h
  static constexpr size_t kFewBlocks = 32;
  static constexpr int32_t kOutside = 1;  // label of the nodes of all other tiles

  template <typename Test>
  ArcsWhere<Test> arcs_where(int32_t v, Test test) const {
    return ArcsWhere<Test>(nodes_[v].first, nodes_[v + 1].first, test);
  }
  void find_tiles();
  template <typename Poll>
  void wave_over(int32_t begin, int32_t end, int most, Poll& poll);
  template <typename Poll>
  int32_t measure_distances(int32_t begin, int32_t end, Poll& poll);
  int32_t move_down(int32_t reached);

  std::vector<GraphArc<Capacity>> arcs_;
  std::vector<int32_t> number_;  // of the nodes here by the caller's ones; empty: the same
  EdgePasses<Capacity> passes_;
  std::vector<int32_t> order_;  // nodes by distance
  std::vector<int32_t> tiles_;  // nodes by tile
  std::vector<int32_t> tile_ends_;
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
  number_ = close_numbers(size_, edges, first, second);
  passes_.build(size_, edges, first, second, number_);
  // The arcs of a node: to lower nodes, then to higher ones, as the passes have them.
  nodes_.assign(static_cast<size_t>(nodes) + 1, Node{});
  arcs_.resize(2 * static_cast<size_t>(edges));
  const auto& ends = passes_.nodes();
  for (int32_t v = 0; v < size_; ++v) nodes_[v + 1].first = ends[v + 1].up + ends[v + 1].down;
  for (int32_t v = 0; v < size_; ++v) {
    for (int32_t k = ends[v].down; k < ends[v + 1].down; ++k) {
      const auto [tail, edge] = passes_.downs()[k];
      const Link here = ends[v].up + k, there = edge + ends[tail + 1].down;
      arcs_[here] = {tail, there, 0, 0};
      arcs_[there] = {v, here, 0, 0};
    }
  }
}

template <typename Scalar>
void ArcGraph<Scalar>::load(const Capacity* terminal, const Capacity* capacity,
                            const Capacity* flow) {
  excess_.resize(static_cast<size_t>(size_));
  for (int32_t v = 0; v < size_; ++v) excess_[inside(v)] = terminal[v];
  passes_.load(capacity, flow, excess_);
}

template <typename Scalar>
void ArcGraph<Scalar>::open_arcs() {
  const auto& ends = passes_.nodes();
  for (int32_t v = 0; v < size_; ++v) {
    Link a = nodes_[v].first;
    for (int32_t k = ends[v].down; k < ends[v + 1].down; ++k, ++a) {
      const auto& edge = passes_.edges()[passes_.downs()[k].edge];
      arcs_[a].out = edge.in;
      arcs_[a].in = edge.out;
    }
    for (int32_t i = ends[v].up; i < ends[v + 1].up; ++i, ++a) {
      const auto& edge = passes_.edges()[i];
      arcs_[a].out = edge.out;
      arcs_[a].in = edge.in;
    }
  }
}

template <typename Scalar>
bool ArcGraph<Scalar>::thinly_spread() const {
  int32_t sources = 0, sinks = 0;
  for (const Capacity e : excess_) {
    sources += e > 0;
    sinks += e < 0;
  }
  return passes_.blocks() >= kFewBlocks && std::max(sources, sinks) < size_ / 12 &&
         std::min(sources, sinks) > size_ / 1024;
}

// Connected pieces of the graph, each grown from its lowest node around that.
template <typename Scalar>
void ArcGraph<Scalar>::find_tiles() {
  tiles_.resize(static_cast<size_t>(size_) + 1);
  tile_ends_.clear();
  for (Node& node : nodes_) node.label = 0;
  int32_t end = 0;
  for (int32_t root = 0; root < size_; ++root) {
    if (nodes_[root].label != 0) continue;
    const int32_t limit = end + std::min(kTile, size_ - end);
    nodes_[root].label = kOutside;
    tiles_[end++] = root;
    for (int32_t i = end - 1; i < end && end < limit; ++i) {
      const int32_t v = tiles_[i];
      for (Link a = nodes_[v].first; a < nodes_[v + 1].first && end < limit; ++a) {
        Node& head = nodes_[arcs_[a].head];
        tiles_[end] = arcs_[a].head;
        end += head.label == 0;
        head.label = kOutside;
      }
    }
    tile_ends_.push_back(end);
  }
}

template <typename Scalar>
template <typename Poll>
void ArcGraph<Scalar>::run_tile_waves(int most, Poll& poll) {
  if (tiles_.empty()) find_tiles();
  for (Node& node : nodes_) node.label = kOutside;
  int32_t begin = 0;
  for (const int32_t end : tile_ends_) {
    wave_over(begin, end, most, poll);
    for (; begin < end; ++begin) nodes_[tiles_[begin]].label = kOutside;
  }
}

// Among the nodes tiles_[begin] to before tiles_[end].
template <typename Scalar>
template <typename Poll>
void ArcGraph<Scalar>::wave_over(int32_t begin, int32_t end, int most, Poll& poll) {
  if (tiles_.empty()) find_tiles();
  order_.resize(static_cast<size_t>(size_) + 1);
  for (int wave = 0; wave < most; ++wave) {
    const int32_t reached = measure_distances(begin, end, poll);
    const int32_t moved = move_down(reached);
    if (moved <= kFewMoves) break;
  }
}

// Breadth-first search against the open arcs from the nodes with a deficit (label -1). Returns how
// many nodes it reached; they stand in order_ by distance. Free of branches on data: every head is
// written to the end of the queue, which moves on only past new ones. What the next nodes need is
// fetched ahead: they may lie anywhere.
template <typename Scalar>
template <typename Poll>
int32_t ArcGraph<Scalar>::measure_distances(int32_t begin, int32_t end, Poll& poll) {
  constexpr int32_t kAhead = 8;
  int32_t* queue = order_.data();
  int32_t reached = 0;
  for (int32_t i = begin; i < end; ++i) {
    const int32_t v = tiles_[i];
    const bool deficit = excess_[v] < 0;
    nodes_[v].label = -static_cast<int32_t>(deficit);
    queue[reached] = v;
    reached += deficit;
  }
  for (int32_t i = 0; i < reached; ++i) {
    __builtin_prefetch(&nodes_[queue[std::min(i + 2 * kAhead, reached - 1)]]);
    __builtin_prefetch(arcs_.data() + nodes_[queue[std::min(i + kAhead, reached - 1)]].first);
    const Node& node = nodes_[queue[i]];
    const int32_t label = node.label - 1;
    const Link stop = (&node)[1].first;
    for (Link a = node.first; a < stop; ++a) {
      Node& head = nodes_[arcs_[a].head];
      const bool fresh = (arcs_[a].in > 0) & (head.label == 0);
      head.label = fresh ? label : head.label;
      queue[reached] = arcs_[a].head;
      reached += fresh;
    }
    poll(1 + (stop - node.first));
  }
  return reached;
}

// Farthest first, every node gives its excess to neighbours one step closer to a deficit. Returns
// how many nodes gave.
template <typename Scalar>
int32_t ArcGraph<Scalar>::move_down(int32_t reached) {
  int32_t moved = 0;
  for (int32_t i = reached; i-- > 0;) {
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
  const auto& ends = passes_.nodes();
  for (int32_t v = 0; v < size_; ++v) {
    for (int32_t i = ends[v].up; i < ends[v + 1].up; ++i) {
      const GraphArc<Capacity>& arc = arcs_[i + ends[v + 1].down];
      // Both started at the capacity, so their difference is twice the flow.
      const Capacity sent = (arc.in - arc.out) / 2;
      flow[passes_.edge_of(i)] = passes_.is_reversed(i) ? -sent : sent;
    }
  }
}

}  // namespace mrfmask
