// Maximum flow / minimum cut: source -> nodes of any graph, coupled both ways alike -> sink.
//
// The stages of max_flow.h: passes over the nodes in an order of their own (edge_passes.h,
// node_order.h), waves if what is left is thinly spread (arc_graph.h), and search trees
// (search_trees.h), which take turns with waves if paths are long and many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "arc_graph.h"
#include "search_trees.h"

namespace mrfmask {

// A flow to start from, within the capacities, and the source side of the cut of the problem that
// it once solved.
template <typename Capacity>
struct GraphFlowStart {
  const Capacity* flow;  // like that of edge_flows
  const uint8_t* source_side;
};

// Capacity: int32_t or int64_t. The caller keeps |terminal| + 2 sum of its couplings below 2^30
// (2^61) for every node, so that no residual overflows. Copies are independent: one a thread.
template <typename Capacity>
class GraphMaxFlow : protected SearchTrees<ArcGraph<Capacity>> {
  using Trees = SearchTrees<ArcGraph<Capacity>>;

 public:
  // Edge e joins the nodes first[e] and second[e], which differ; parallel edges add up.
  GraphMaxFlow(int64_t nodes, int64_t edges, const int64_t* first, const int64_t* second)
      : Trees(nodes, edges, first, second) {}

  // The value of the maximum flow. terminal (nodes) > 0: capacity from the source, < 0: to the
  // sink. capacity (edges): both ways, not negative. poll() is called about every 2^16 steps and
  // may throw; the object can be used again then.
  template <typename Poll>
  int64_t solve(const Capacity* terminal, const Capacity* capacity, Poll&& poll,
                const GraphFlowStart<Capacity>* start = nullptr);

  // The source side of a minimum cut, 1 or 0 per node: the smallest (all that the source reaches)
  // or the largest one (all that cannot reach the sink).
  void source_side(bool maximal, uint8_t* labels) {
    side_.resize(static_cast<size_t>(size_));
    Trees::source_side(maximal, side_.data());
    for (int32_t v = 0; v < size_; ++v) labels[v] = side_[this->inside(v)];
  }

  // Net flow of every edge, > 0 from its first node to its second: with the terminals a proof of
  // the cut, as in max_flow.h.
  using Trees::edge_flows;

 protected:
  using Trees::size_;

 private:
  std::vector<uint8_t> side_;  // by node as numbered here

  // If no more than one node in so many is disturbed, searches alone are quickest.
  static constexpr int32_t kFewDisturbed = 50;
  static constexpr int kTileWaves = 32, kLaterWaves = 32;
  // Effort of the first search and of those after waves, over what a look at every node costs.
  static constexpr int64_t kFirstEffort = 20, kLaterEffort = 2;
};

template <typename Capacity>
template <typename Poll>
int64_t GraphMaxFlow<Capacity>::solve(const Capacity* terminal, const Capacity* capacity,
                                      Poll&& poll, const GraphFlowStart<Capacity>* start) {
  int64_t steps = 0;
  const auto count_steps = [&](int64_t more) {
    steps += more;
    if (steps < (1 << 16)) return;
    steps = 0;
    poll();
  };
  int64_t supply = 0;
  for (int32_t v = 0; v < size_; ++v) supply += std::max<Capacity>(terminal[v], 0);
  bool far = true;
  if (start) {
    this->load(terminal, capacity, start->flow);
    side_.resize(static_cast<size_t>(size_));
    for (int32_t v = 0; v < size_; ++v) side_[this->inside(v)] = start->source_side[v];
    far = this->disturbed(side_.data()) > size_ / kFewDisturbed;
  }
  // A flow of quite another problem is a worse start than none.
  if (!start || (far && this->surplus() > supply / 2)) {
    this->load(terminal, capacity, nullptr);
  }
  // Passes pay as long as a pair of them adds two percent to the flow.
  const int64_t waiting = this->surplus();
  int64_t flow = 0, before = 0;
  for (int pair = 0; far && (pair == 0 || flow - before > flow / 50); ++pair) {
    before = flow;
    this->spread_pair(pair % 2 == 1, count_steps);
    flow = waiting - this->surplus();
  }
  this->open_arcs();
  if (far && this->thinly_spread()) this->run_tile_waves(kTileWaves, count_steps);
  int64_t effort = kFirstEffort * this->work_on_all();
  while (!this->search(effort, count_steps)) {
    this->run_waves(kLaterWaves, count_steps);
    effort = kLaterEffort * this->work_on_all();
  }
  return supply - this->surplus();
}

}  // namespace mrfmask
