// The first stage of a cut on a graph: passes over its nodes in their order, in which each one
// hands on all that it holds. What RowPass of residual_grid.h does for grids.
//
// Edges lie with the lower of their two nodes, by the number of the higher one, so that a pass goes
// through them in a row, or nearly so.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace mrfmask {

template <typename Capacity>
class EdgePasses {
 public:
  struct Edge {
    int32_t head;  // the higher node
    Capacity out;  // residual towards it
    Capacity in;   // residual from there
  };
  struct Down {
    int32_t tail;  // a lower node
    int32_t edge;
  };
  // Where the edges to higher and those to lower nodes of a node begin, the next node has the ends,
  // and the first ones to a later block and in the same block.
  struct Node {
    int32_t up, up_later, down, down_same;
  };

  // number: of the nodes by the caller's ones; empty if they are the same.
  void build(int32_t nodes, int64_t edges, const int64_t* first, const int64_t* second,
             const std::vector<int32_t>& number);

  // Starts from the given flow, or from none if it is null, and takes it off the excess.
  void load(const Capacity* capacity, const Capacity* flow, std::vector<Capacity>& excess);

  // Two passes over all nodes, up and down. Turned: with each block of nodes, like a row of an
  // image, from its end to its beginning. Alternating matters: without, half of the directions of a
  // plane stay closed.
  template <typename Poll>
  void pair(bool turned, std::vector<Capacity>& excess, Poll& poll) {
    excess_ = excess.data();
    if (turned) {
      pass<true, true>(poll);
      pass<false, true>(poll);
    } else {
      pass<true, false>(poll);
      pass<false, false>(poll);
    }
  }

  // What the caller calls edge `place`, and whether it starts at the higher node there.
  int64_t edge_of(int32_t place) const { return names_[place] >> 1; }
  bool is_reversed(int32_t place) const { return names_[place] & 1; }

  // About as many as the longest of all shortest paths has edges, after close_numbers().
  size_t blocks() const { return blocks_.size() - 1; }
  const std::vector<Node>& nodes() const { return nodes_; }  // and one more, for the ends
  const std::vector<Edge>& edges() const { return edges_; }
  const std::vector<Down>& downs() const { return downs_; }

 private:
  void sort_heads(int32_t begin, int32_t end);
  void find_blocks();
  template <bool kUp, bool kTurned, typename Poll>
  void pass(Poll& poll);
  template <bool kUp, bool kTurned>
  int32_t spread(int32_t v);

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::vector<uint32_t> names_;  // by edge: twice the caller's number, 1 more if reversed
  std::vector<Down> downs_;
  std::vector<int32_t> blocks_;  // their first nodes, and the end of the last one
  Capacity* excess_ = nullptr;
};

template <typename Capacity>
void EdgePasses<Capacity>::build(int32_t nodes, int64_t edges, const int64_t* first,
                                 const int64_t* second, const std::vector<int32_t>& number) {
  nodes_.assign(static_cast<size_t>(nodes) + 1, Node{});
  edges_.resize(static_cast<size_t>(edges));
  names_.resize(static_cast<size_t>(edges));
  downs_.resize(static_cast<size_t>(edges));
  const int32_t* new_number = number.empty() ? nullptr : number.data();
  const auto numbered = [new_number](int64_t v) {
    return new_number ? new_number[v] : static_cast<int32_t>(v);
  };
  for (int64_t e = 0; e < edges; ++e) {
    const int32_t a = numbered(first[e]), b = numbered(second[e]);
    ++nodes_[std::min(a, b)].up;
    ++nodes_[std::max(a, b)].down;
  }
  // Counted from the back: both come down from the ends of a node's edges to their begin.
  int32_t ups = 0, downs = 0;
  for (Node& node : nodes_) {
    node.up = ups += node.up;
    node.down = downs += node.down;
  }
  for (int64_t e = edges; e-- > 0;) {
    const int32_t a = numbered(first[e]), b = numbered(second[e]);
    const int32_t place = --nodes_[std::min(a, b)].up;
    edges_[place] = {std::max(a, b), 0, 0};
    names_[place] = static_cast<uint32_t>(e) << 1 | static_cast<uint32_t>(a > b);
  }
  for (int32_t v = nodes; v-- > 0;) {
    sort_heads(nodes_[v].up, nodes_[v + 1].up);
    for (int32_t i = nodes_[v + 1].up; i-- > nodes_[v].up;) {
      downs_[--nodes_[edges_[i].head].down] = {v, i};
    }
  }
  find_blocks();
}

// Most nodes have few edges, nearly in order.
template <typename Capacity>
void EdgePasses<Capacity>::sort_heads(int32_t begin, int32_t end) {
  constexpr int32_t kFew = 16;
  if (end - begin > kFew) {
    std::vector<std::pair<int32_t, uint32_t>> list;
    for (int32_t i = begin; i < end; ++i) list.emplace_back(edges_[i].head, names_[i]);
    std::sort(list.begin(), list.end());
    for (int32_t i = begin; i < end; ++i) {
      edges_[i].head = list[i - begin].first;
      names_[i] = list[i - begin].second;
    }
    return;
  }
  for (int32_t i = begin + 1; i < end; ++i) {
    const int32_t head = edges_[i].head;
    const uint32_t name = names_[i];
    int32_t k = i;
    for (; k > begin && edges_[k - 1].head > head; --k) {
      edges_[k].head = edges_[k - 1].head;
      names_[k] = names_[k - 1];
    }
    edges_[k].head = head;
    names_[k] = name;
  }
}

// A block ends before the highest neighbour of its first node: of an image this is a row.
template <typename Capacity>
void EdgePasses<Capacity>::find_blocks() {
  const int32_t nodes = static_cast<int32_t>(nodes_.size()) - 1;
  blocks_.clear();
  for (int32_t begin = 0; begin < nodes;) {
    blocks_.push_back(begin);
    const bool leads = nodes_[begin].up < nodes_[begin + 1].up;
    const int32_t end = leads ? edges_[nodes_[begin + 1].up - 1].head : begin + 1;
    for (int32_t v = begin; v < end; ++v) {
      int32_t i = nodes_[v].up, k = nodes_[v].down;
      while (i < nodes_[v + 1].up && edges_[i].head < end) ++i;
      while (k < nodes_[v + 1].down && downs_[k].tail < begin) ++k;
      nodes_[v].up_later = i;
      nodes_[v].down_same = k;
    }
    begin = end;
  }
  blocks_.push_back(nodes);
}

template <typename Capacity>
void EdgePasses<Capacity>::load(const Capacity* capacity, const Capacity* flow,
                                std::vector<Capacity>& excess) {
  const int32_t nodes = static_cast<int32_t>(nodes_.size()) - 1;
  for (int32_t v = 0; v < nodes; ++v) {
    for (int32_t i = nodes_[v].up; i < nodes_[v + 1].up; ++i) {
      const int64_t e = edge_of(i);
      Edge& edge = edges_[i];
      edge.out = edge.in = capacity[e];
      if (!flow) continue;
      const Capacity sent = is_reversed(i) ? -flow[e] : flow[e];
      edge.out -= sent;
      edge.in += sent;
      excess[v] -= sent;
      excess[edge.head] += sent;
    }
  }
}

template <typename Capacity>
template <bool kUp, bool kTurned, typename Poll>
void EdgePasses<Capacity>::pass(Poll& poll) {
  const size_t count = blocks_.size() - 1;
  for (size_t i = 0; i < count; ++i) {
    const size_t b = kUp ? i : count - 1 - i;
    const int32_t begin = blocks_[b], end = blocks_[b + 1];
    if (kUp != kTurned) {
      for (int32_t v = begin; v < end; ++v) poll(1 + spread<kUp, kTurned>(v));
    } else {
      for (int32_t v = end; v-- > begin;) poll(1 + spread<kUp, kTurned>(v));
    }
  }
}

// First equal shares for all later nodes, then what is left to whoever takes it: flow that is
// spread over all paths meets more of its kind's opposite. Returns how many edges that were.
template <typename Capacity>
template <bool kUp, bool kTurned>
int32_t EdgePasses<Capacity>::spread(int32_t v) {
  Capacity held = excess_[v];
  if (held == 0) return 0;
  const Node& node = nodes_[v];
  const Node& next = (&node)[1];
  const int32_t no_ups = kUp ? next.up : node.up, no_downs = kUp ? next.down : node.down;
  const int32_t up = kTurned && kUp ? node.up_later : node.up;
  const int32_t up_end = kTurned ? (kUp ? next.up : node.up_later) : (kUp ? next.up : no_ups);
  const int32_t down = kTurned && kUp ? node.down_same : (kUp ? no_downs : node.down);
  const int32_t down_end = kTurned && !kUp ? node.down_same : next.down;
  const auto send = [&](Capacity wanted, int32_t to, Capacity& ahead, Capacity& against) {
    Capacity amount = std::min(std::max<Capacity>(wanted, -against), ahead);
    // Which bound holds is anybody's guess: hide it, lest the compiler branches on it.
    __asm__("" : "+r"(amount));
    ahead -= amount;
    against += amount;
    excess_[to] += amount;
    held -= amount;
  };
  const auto send_all = [&](auto wanted) {
    for (int32_t i = up; i < up_end; ++i) {
      Edge& edge = edges_[i];
      send(wanted(), edge.head, edge.out, edge.in);
    }
    for (int32_t k = down; k < down_end; ++k) {
      Edge& edge = edges_[downs_[k].edge];
      send(wanted(), downs_[k].tail, edge.in, edge.out);
    }
  };
  const int32_t later = (up_end - up) + (down_end - down);
  if (later == 0) return 0;
  if (later > 1) {
    const Capacity share = held / later;
    send_all([share] { return share; });
  }
  if (held != 0) send_all([&held] { return held; });
  excess_[v] = held;
  return later;
}

}  // namespace mrfmask
