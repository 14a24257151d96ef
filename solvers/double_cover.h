// A signed graph taken twice: couplings > 0 stay within each copy, those < 0 cross to the other.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace mrfmask {

// One model. Parallel edges belong to the same pair of nodes and add up.
template <typename Real>
struct PairedModel {
  const Real* unary;       // by node
  const Real* pairwise;    // by edge
  const int64_t* pair_of;  // by edge
  const int64_t* first;    // by pair
  const int64_t* second;
  int64_t nodes, edges, pairs;
};

// The pairs of every node in compressed rows; the same for all models of a graph.
struct PairRows {
  std::vector<int64_t> start, pair;

  PairRows(int64_t nodes, int64_t pairs, const int64_t* first, const int64_t* second)
      : start(static_cast<size_t>(nodes + 1)), pair(static_cast<size_t>(2 * pairs)) {
    for (int64_t p = 0; p < pairs; ++p) {
      ++start[first[p] + 1];
      ++start[second[p] + 1];
    }
    for (int64_t v = 0; v < nodes; ++v) start[v + 1] += start[v];
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t p = 0; p < pairs; ++p) {
      pair[next[first[p]]++] = p;
      pair[next[second[p]]++] = p;
    }
  }
};

// On integers. Node v is node 2 v of the cover and its image 2 v + 1: side by side, so that what is
// near in the graph stays near. Pair p, of nodes i and j, has the edges p, from i to j or its
// image, and pairs() + p, the image of p, from the image of i.
template <typename Capacity>
class DoubleCover {
 public:
  template <typename Real, typename Rounder>
  DoubleCover(const PairedModel<Real>& model, const PairRows& rows, Rounder& rounded)
      : nodes_(model.nodes),
        pairs_(model.pairs),
        rows_(rows),
        pair_first_(model.first),
        pair_second_(model.second),
        value_(static_cast<size_t>(pairs_)),
        first_(static_cast<size_t>(2 * pairs_)),
        second_(first_.size()),
        capacity_(first_.size()),
        terminal_(static_cast<size_t>(2 * nodes_)) {
    for (int64_t e = 0; e < model.edges; ++e) {
      value_[model.pair_of[e]] += rounded(model.pairwise[e]);
    }
    for (int64_t p = 0; p < pairs_; ++p) {
      const int64_t i = model.first[p], j = model.second[p];
      const int64_t across = value_[p] < 0;
      first_[p] = 2 * i;
      second_[p] = 2 * j + across;
      first_[pairs_ + p] = 2 * i + 1;
      second_[pairs_ + p] = 2 * j + 1 - across;
      capacity_[p] = capacity_[pairs_ + p] = std::abs(value_[p]);
      weight_ += capacity_[p];
    }
    for (int64_t v = 0; v < nodes_; ++v) {
      const double unary = model.unary[v];
      Capacity own;
      if (std::isinf(unary)) {
        // One more than all couplings of the node together, so it always has its way.
        own = 1;
        each_coupling(v, [&](int64_t, Capacity value) { own += std::abs(value); });
        if (unary < 0) own = -own;
      } else {
        own = rounded(unary);
        weight_ += std::abs(own);
      }
      terminal_[2 * v] = own;
      terminal_[2 * v + 1] = -own;
    }
  }

  int64_t nodes() const { return nodes_; }
  int64_t pairs() const { return pairs_; }
  const int64_t* first() const { return first_.data(); }
  const int64_t* second() const { return second_.data(); }
  const Capacity* capacities() const { return capacity_.data(); }
  const Capacity* terminals() const { return terminal_.data(); }
  Capacity terminal(int64_t v) const { return terminal_[2 * v]; }
  // Twice the size of all terms, clamps left out: the double energy is the cut minus this.
  int64_t weight() const { return weight_; }

  // visit(other node, coupling) for every pair of a node of the graph itself.
  template <typename Visit>
  void each_coupling(int64_t v, Visit visit) const {
    for (int64_t k = rows_.start[v]; k < rows_.start[v + 1]; ++k) {
      const int64_t p = rows_.pair[k];
      visit(pair_first_[p] == v ? pair_second_[p] : pair_first_[p], value_[p]);
    }
  }

  // Where the k-th arc of a node of the double cover leads if it has residual capacity, else -1.
  int64_t arc(int64_t v, int64_t k, const Capacity* flow) const {
    const int64_t p = rows_.pair[rows_.start[v / 2] + k];
    const int64_t edge = first_[p] == v || second_[p] == v ? p : pairs_ + p;
    const bool forward = first_[edge] == v;
    const Capacity left = capacity_[edge] - (forward ? flow[edge] : -flow[edge]);
    if (left <= 0) return -1;
    return forward ? second_[edge] : first_[edge];
  }
  int64_t arcs(int64_t v) const { return rows_.start[v / 2 + 1] - rows_.start[v / 2]; }

 private:
  int64_t nodes_, pairs_;
  const PairRows& rows_;
  const int64_t* pair_first_;
  const int64_t* pair_second_;
  std::vector<Capacity> value_;
  std::vector<int64_t> first_, second_;
  std::vector<Capacity> capacity_, terminal_;
  int64_t weight_ = 0;
};

// Numbers the strongly connected components of the residual graph from 0, against the direction of
// the arcs between them; nodes that are reached, and those whose image is, are left out (0).
// Reference: Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1972.
template <typename Capacity, typename Poll>
void strong_components(const DoubleCover<Capacity>& cover, const Capacity* flow,
                       const std::vector<uint8_t>& reached, std::vector<int64_t>& component,
                       Poll& poll) {
  const int64_t size = 2 * cover.nodes();
  constexpr int64_t kNew = -1;
  std::vector<int64_t> entered(static_cast<size_t>(size), kNew), lowest(entered.size());
  std::vector<int64_t> next(entered.size());  // the arc to follow next
  std::vector<uint8_t> waiting(entered.size());
  std::vector<int64_t> path, stack;
  int64_t time = 0, components = 0, steps = 0;
  const auto open = [&](int64_t v) { return !reached[v] && !reached[v ^ 1]; };
  const auto enter = [&](int64_t v) {
    entered[v] = lowest[v] = time++;
    waiting[v] = 1;
    path.push_back(v);
    stack.push_back(v);
  };
  // Images first: where both numberings are right, nodes are off.
  for (int64_t k = 0; k < size; ++k) {
    const int64_t root = k ^ 1;
    if (entered[root] != kNew || !open(root)) continue;
    enter(root);
    while (!path.empty()) {
      if (++steps % (1 << 16) == 0) poll();
      const int64_t v = path.back();
      if (next[v] < cover.arcs(v)) {
        const int64_t w = cover.arc(v, next[v]++, flow);
        if (w < 0 || !open(w)) continue;
        if (entered[w] == kNew) {
          enter(w);
        } else if (waiting[w]) {
          lowest[v] = std::min(lowest[v], entered[w]);
        }
        continue;
      }
      path.pop_back();
      if (!path.empty()) lowest[path.back()] = std::min(lowest[path.back()], lowest[v]);
      if (lowest[v] != entered[v]) continue;
      for (int64_t w = kNew; w != v;) {
        w = stack.back();
        stack.pop_back();
        waiting[w] = 0;
        component[w] = components;
      }
      ++components;
    }
  }
}

}  // namespace mrfmask
