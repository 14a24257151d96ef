// Roof duality for an Ising model of any signs on any graph: a lower bound, and states that some
// minimiser has, by one minimum cut on the double cover of the graph.
//
// Each node i gets a mirror image i' that is to be its opposite. With fields h and couplings J,
// 2 E(x) = - sum h_i (x_i - x_i') - sum_(J>0) J_ij (x_i x_j + x_i' x_j')
//          - sum_(J<0) |J_ij| (x_i x_j' + x_i' x_j)
// wherever x' = -x. Without that condition it is a cut, and its minimum at most 2 min E. A node
// that lies on the other side of a minimum cut than its image keeps this state in some minimiser of
// E, all such nodes at once; in all minimisers if the smallest minimum cut already tells. Of all
// minimum cuts, one that separates the most nodes from their images is found from the strongly
// connected components of the residual graph.
//
// References: Hammer, Hansen and Simeone, "Roof duality, complementation and persistency in
// quadratic 0-1 optimization", Mathematical Programming 1984; Boros and Hammer, "Pseudo-Boolean
// optimization", 2002; Kolmogorov and Rother, "Minimizing nonsubmodular functions with graph cuts -
// a review", PAMI 2007.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "cut_integers.h"
#include "double_cover.h"
#include "graph_max_flow.h"

namespace mrfmask {

template <typename Capacity>
struct QpboOutput {
  uint8_t* on;      // by node: on in the labelling
  uint8_t* off;     // off in it; neither: unknown
  uint8_t* strong;  // labelled, and so in all minimisers
  uint8_t* mask;    // the labels, and unknown nodes such that none gains by turning
  Capacity* flow;   // 2 x pairs, as the edges of DoubleCover
  int64_t exponent;
  double bound;     // no mask has a lower energy, the model's constant left out
  double rounding;  // no energy differs by more from that of the integers
};

// The exponent of the scale, chosen as for cuts.
template <typename Real>
int scale_exponent(const PairedModel<Real>& model, int node_bits) {
  const double shrink = std::ldexp(1.0, -kShrink);
  std::vector<double> sums(static_cast<size_t>(model.nodes));
  for (int64_t e = 0; e < model.edges; ++e) {
    const double strength = shrink * std::abs(static_cast<double>(model.pairwise[e]));
    const int64_t pair = model.pair_of[e];
    sums[model.first[pair]] += strength;
    sums[model.second[pair]] += strength;
  }
  double strongest = 0.0, total = 0.0;
  for (int64_t v = 0; v < model.nodes; ++v) {
    // A clamp will be as strong as all couplings of its node together.
    const double unary = model.unary[v];
    const double own = std::isinf(unary) ? sums[v] : std::abs(shrink * unary);
    strongest = std::max(strongest, own + 2.0 * sums[v]);
    total += own + sums[v];
  }
  return exponent_for(strongest, total, node_bits);
}

// Unknown nodes by the sign of what labelled ones and their own field want, then turned one after
// the other while that lowers the energy; `state` holds 1, -1, and 0 where unknown.
template <typename Capacity, typename Poll>
void descend(const DoubleCover<Capacity>& cover, std::vector<int8_t>& state, Poll& poll) {
  const int64_t nodes = cover.nodes();
  std::vector<int64_t> field(static_cast<size_t>(nodes));
  std::vector<uint8_t> free(static_cast<size_t>(nodes));
  for (int64_t v = 0; v < nodes; ++v) {
    free[v] = state[v] == 0;
    field[v] = cover.terminal(v);
    cover.each_coupling(v, [&](int64_t other, Capacity value) {
      field[v] += static_cast<int64_t>(value) * state[other];
    });
  }
  for (int64_t v = 0; v < nodes; ++v) {
    if (free[v]) state[v] = field[v] > 0 ? 1 : -1;
  }
  std::vector<int64_t> queue;
  for (int64_t v = 0; v < nodes; ++v) {
    if (!free[v]) continue;
    cover.each_coupling(v, [&](int64_t other, Capacity value) {
      if (free[other]) field[v] += static_cast<int64_t>(value) * state[other];
    });
  }
  for (int64_t v = 0; v < nodes; ++v) {
    if (free[v] && field[v] * state[v] < 0) queue.push_back(v);
  }
  // Ends: the energy falls with every turn, and there are finitely many states.
  std::vector<int64_t> next;
  for (; !queue.empty(); queue.swap(next)) {
    poll();
    next.clear();
    for (const int64_t v : queue) {
      if (field[v] * state[v] >= 0) continue;
      state[v] = static_cast<int8_t>(-state[v]);
      cover.each_coupling(v, [&](int64_t other, Capacity value) {
        if (!free[other]) return;
        field[other] += 2 * static_cast<int64_t>(value) * state[v];
        if (field[other] * state[other] < 0) next.push_back(other);
      });
    }
  }
}

template <typename Real, typename Capacity, typename Poll>
void qpbo_model(const PairedModel<Real>& model, const PairRows& rows, QpboOutput<Capacity>& out,
                Poll&& poll) {
  const int64_t nodes = model.nodes;
  // A bit to spare for rounding at nodes of many edges.
  const int exponent = scale_exponent(model, sizeof(Capacity) == 4 ? 29 : 60);
  Rounder<Capacity> rounded(exponent);
  DoubleCover<Capacity> cover(model, rows, rounded);

  GraphMaxFlow<Capacity> solver(2 * nodes, 2 * model.pairs, cover.first(), cover.second());
  const int64_t flow = solver.solve(cover.terminals(), cover.capacities(), poll);
  solver.edge_flows(out.flow);
  std::vector<uint8_t> reached(static_cast<size_t>(2 * nodes));
  solver.source_side(false, reached.data());

  // Minimum cuts are the sets that no residual arc leaves, with all that the source reaches and
  // none of the mirror image of that, which reaches the sink.
  std::vector<int64_t> component(static_cast<size_t>(2 * nodes), 0);
  strong_components(cover, out.flow, reached, component, poll);
  std::vector<int8_t> state(static_cast<size_t>(nodes));
  for (int64_t v = 0; v < nodes; ++v) {
    const bool up = reached[2 * v], down = reached[2 * v + 1];
    // Components are numbered against the direction of the arcs between them: those of lower number
    // than their image form a set that no arc leaves.
    const bool before = component[2 * v] < component[2 * v + 1];
    const bool after = component[2 * v] > component[2 * v + 1];
    out.strong[v] = up || down;
    out.on[v] = up || (!down && before);
    out.off[v] = down || (!up && after);
    state[v] = static_cast<int8_t>(out.on[v] - out.off[v]);
  }
  descend(cover, state, poll);
  for (int64_t v = 0; v < nodes; ++v) out.mask[v] = state[v] > 0;

  out.exponent = exponent;
  // Halves: the integers are those of twice the unary and pairwise terms.
  out.rounding = std::ldexp(rounded.cost(), -exponent - 1);
  out.bound = std::ldexp(static_cast<double>(flow - cover.weight()), -exponent - 1) - out.rounding;
}

}  // namespace mrfmask
