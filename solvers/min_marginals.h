// What it costs to have one node on the other side of a minimum cut: the least energy of a model
// with a node off and with it on.
//
// A node is put on a side by a terminal without end; the minimum cut then grows by the flow from
// there that the old one left room for. That flow is found near the node, by shortest augmenting
// paths in phases (Dinic, "Algorithm for solution of a problem of maximum flow in a network with
// power estimation", 1970), and taken back. Reference: Kohli and Torr, "Measuring uncertainty in
// graph cut solutions", CVIU 2008, who keep the flow instead.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "graph_model.h"

namespace mrfmask {

// Extra flows after a solve.
template <typename Capacity>
class SiteFlow : public GraphMaxFlow<Capacity> {
 public:
  using GraphMaxFlow<Capacity>::GraphMaxFlow;

  // Once after every solve.
  void prepare() {
    std::vector<uint8_t> unused(static_cast<size_t>(size_));
    this->source_side(false, unused.data());
    this->source_side(true, unused.data());
    depth_.assign(static_cast<size_t>(size_), 0);
    turn_.resize(static_cast<size_t>(size_));
  }

  // The number of a node here.
  using GraphMaxFlow<Capacity>::inside;

  // By how much the minimum cut grows if a node must be on the source side (kOn) or on the sink
  // side. The flow is what it was afterwards.
  template <bool kOn, typename Poll>
  int64_t growth(int32_t site, Poll& poll);

 private:
  using Base = GraphMaxFlow<Capacity>;
  using Base::excess_;
  using Base::nodes_;
  using Base::size_;
  using Link = typename Base::Link;

  // A change to take back.
  struct Change {
    int32_t node;
    Link arc;
    Capacity amount;
  };

  // Only nodes from which the sink can be reached (kOn; else those that the source reaches) lie on
  // augmenting paths: no other node gets there by a flow that stays among them.
  template <bool kOn>
  bool on_the_way(int32_t v) const {
    return kOn ? nodes_[v].label < 0 : nodes_[v].label > 0;
  }
  // What a node takes of a flow that comes out of the site (kOn) or runs into it.
  template <bool kOn>
  Capacity room(int32_t v) const {
    return std::max<Capacity>(kOn ? -excess_[v] : excess_[v], 0);
  }
  // How much more of it an arc out of a node on the path takes.
  template <bool kOn>
  Capacity left(Link arc) const {
    return this->residual(kOn ? arc : this->back(arc));
  }
  template <bool kOn, typename Poll>
  bool find_depths(int32_t site, Poll& poll);
  template <bool kOn, typename Poll>
  int64_t fill(int32_t site, Poll& poll);

  std::vector<int32_t> depth_;  // from the site, which has 1; 0: not reached
  std::vector<Link> turn_;      // by node reached: the next arc to try
  std::vector<int32_t> reached_;
  std::vector<Link> path_;
  std::vector<Change> changes_;
  int32_t deepest_;  // the depth of the nearest nodes with room
};

template <typename Capacity>
template <bool kOn, typename Poll>
int64_t SiteFlow<Capacity>::growth(int32_t site, Poll& poll) {
  if (!on_the_way<kOn>(site)) return 0;
  int64_t flow = 0;
  changes_.clear();
  while (find_depths<kOn>(site, poll)) flow += fill<kOn>(site, poll);
  for (const int32_t v : reached_) depth_[v] = 0;
  reached_.clear();
  for (size_t i = changes_.size(); i-- > 0;) {
    const Change& change = changes_[i];
    if (change.arc >= 0) {
      this->push(change.node, change.arc, -change.amount);
    } else {
      excess_[change.node] -= change.amount;
    }
  }
  return flow;
}

// Breadth-first search from the site, no deeper than the nearest room. False if there is none.
template <typename Capacity>
template <bool kOn, typename Poll>
bool SiteFlow<Capacity>::find_depths(int32_t site, Poll& poll) {
  for (const int32_t v : reached_) depth_[v] = 0;
  reached_.assign(1, site);
  depth_[site] = 1;
  deepest_ = std::numeric_limits<int32_t>::max();
  for (size_t i = 0; i < reached_.size(); ++i) {
    const int32_t v = reached_[i];
    poll(this->work(v));
    turn_[v] = nodes_[v].first;
    if (room<kOn>(v) > 0) deepest_ = std::min(deepest_, depth_[v]);
    if (depth_[v] >= deepest_) continue;
    for (const Link a : this->template open_links<kOn>(v)) {
      const int32_t u = this->neighbour(v, a);
      if (depth_[u] != 0 || !on_the_way<kOn>(u)) continue;
      depth_[u] = depth_[v] + 1;
      reached_.push_back(u);
    }
  }
  return deepest_ != std::numeric_limits<int32_t>::max();
}

// Depth-first search for paths to that depth until there are no more; an arc that led nowhere is
// not tried again.
template <typename Capacity>
template <bool kOn, typename Poll>
int64_t SiteFlow<Capacity>::fill(int32_t site, Poll& poll) {
  int64_t flow = 0;
  path_.clear();
  for (int32_t v = site;;) {
    poll(1);
    if (depth_[v] == deepest_ && room<kOn>(v) > 0) {
      Capacity amount = room<kOn>(v);
      for (const Link a : path_) amount = std::min(amount, left<kOn>(a));
      int32_t u = site;
      for (const Link a : path_) {
        changes_.push_back({u, a, kOn ? amount : -amount});
        this->push(u, a, changes_.back().amount);
        u = this->neighbour(u, a);
      }
      changes_.push_back({v, -1, kOn ? amount : -amount});
      excess_[v] += changes_.back().amount;
      flow += amount;
      path_.clear();
      v = site;
      continue;
    }
    Link& a = turn_[v];
    const Link end = nodes_[v + 1].first;
    while (a < end && !(depth_[v] < deepest_ && depth_[this->neighbour(v, a)] == depth_[v] + 1 &&
                        this->template is_open<kOn>(v, a))) {
      ++a;
    }
    if (a < end) {
      path_.push_back(a);
      v = this->neighbour(v, a);
    } else if (v == site) {
      return flow;
    } else {
      v = this->neighbour(v, this->back(path_.back()));
      path_.pop_back();
      ++turn_[v];
    }
  }
}

// The minimum cut of a model, and how much above its minimum it costs to have each of some sites
// off (growth[2 i]) and on (growth[2 i + 1]): +inf where a clamp forbids it.
template <typename Real, typename Poll>
void min_marginals_model(const GraphModel<Real>& model, SiteFlow<int64_t>& solver,
                         const int64_t* sites, int64_t count, GraphCutOutput<int64_t>& out,
                         double* growth, Poll&& poll) {
  graph_cut_model(model, solver, GraphCutStart{}, false, out, poll);
  solver.prepare();
  int64_t steps = 0;
  const auto count_steps = [&](int64_t more) {
    steps += more;
    if (steps < (1 << 16)) return;
    steps = 0;
    poll();
  };
  for (int64_t i = 0; i < count; ++i) {
    const int32_t site = solver.inside(sites[i]);
    const Real unary = model.unary[sites[i]];
    const auto scaled = [&](int64_t flow) {
      return std::ldexp(static_cast<double>(flow), -static_cast<int>(out.exponent));
    };
    const double infinity = std::numeric_limits<double>::infinity();
    const bool clamped = std::isinf(unary);
    growth[2 * i] =
        clamped ? (unary > 0 ? infinity : 0.0) : scaled(solver.growth<false>(site, count_steps));
    growth[2 * i + 1] =
        clamped ? (unary < 0 ? infinity : 0.0) : scaled(solver.growth<true>(site, count_steps));
  }
}

}  // namespace mrfmask
