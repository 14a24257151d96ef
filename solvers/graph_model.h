// The MAP of one associative Ising model on a graph by a minimum cut, on integers, with its proof:
// what graph_cut.h is for grids.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cut_integers.h"
#include "graph_max_flow.h"

namespace mrfmask {

// One model; pairwise values are not negative. Edge e joins first[e] and second[e].
template <typename Real>
struct GraphModel {
  const Real* unary;
  const Real* pairwise;
  int64_t nodes;
  int64_t edges;
  const int64_t* first;
  const int64_t* second;
};

// The model in integers of one scale, in cut form: terminal = -u > 0 likes a node on.
template <typename Capacity>
struct GraphIntegers {
  std::vector<Capacity> terminal;
  std::vector<Capacity> capacity;
  int64_t wanted;   // sum of what unclamped nodes gain by being on
  int exponent;     // the scale is 2^exponent
  double rounding;  // sum of |rounded - exact| over all u and c
  double constant;  // unary - pairwise over all but clamps

  // What a flow proves: no mask has a lower energy, the model's constant left out. Clamped nodes,
  // on their side, pay nothing, so only the source capacities of the others are taken off.
  double bound(int64_t flow) const {
    return constant + (std::ldexp(static_cast<double>(flow - wanted), -exponent) - rounding);
  }
};

template <typename Capacity, typename Real>
GraphIntegers<Capacity> graph_integers(const GraphModel<Real>& model) {
  const double shrink = std::ldexp(1.0, -kShrink);
  std::vector<double> sums(static_cast<size_t>(model.nodes));
  for (int64_t e = 0; e < model.edges; ++e) {
    const double coupling = shrink * static_cast<double>(model.pairwise[e]);
    sums[model.first[e]] += coupling;
    sums[model.second[e]] += coupling;
  }
  double strongest = 0.0, total = 0.0;
  bool clamps = false;
  for (int64_t v = 0; v < model.nodes; ++v) {
    // A clamp will be as strong as all couplings of its node together.
    const bool clamped = std::isinf(model.unary[v]);
    const double own = clamped ? sums[v] : std::abs(shrink * static_cast<double>(model.unary[v]));
    strongest = std::max(strongest, own + 2.0 * sums[v]);
    total += own + sums[v];
    clamps |= clamped;
  }

  GraphIntegers<Capacity> cut;
  cut.exponent = exponent_for(strongest, total, sizeof(Capacity) == 4 ? 30 : 61);
  Rounder<Capacity> rounded(cut.exponent);
  cut.capacity.resize(static_cast<size_t>(model.edges));
  for (int64_t e = 0; e < model.edges; ++e) cut.capacity[e] = rounded(model.pairwise[e]);
  cut.terminal.resize(static_cast<size_t>(model.nodes));
  cut.wanted = 0;
  for (int64_t v = 0; v < model.nodes; ++v) {
    const double unary = static_cast<double>(model.unary[v]);
    cut.terminal[v] = rounded(std::isinf(unary) ? 0.0 : unary);
    cut.wanted += std::max<Capacity>(cut.terminal[v], 0);
  }
  if (clamps) {
    // One more than all couplings of the node together, so it always has its way.
    std::vector<Capacity> around(static_cast<size_t>(model.nodes), 1);
    for (int64_t e = 0; e < model.edges; ++e) {
      around[model.first[e]] += cut.capacity[e];
      around[model.second[e]] += cut.capacity[e];
    }
    for (int64_t v = 0; v < model.nodes; ++v) {
      if (std::isinf(model.unary[v])) cut.terminal[v] = model.unary[v] > 0 ? around[v] : -around[v];
    }
  }
  cut.rounding = std::ldexp(rounded.cost(), -cut.exponent);
  cut.constant = sum_finite(model.unary, model.nodes) - sum_finite(model.pairwise, model.edges);
  return cut;
}

// What an earlier cut of a model on the same graph left, to start from; flow null: nothing.
struct GraphCutStart {
  const void* flow;  // int64_t if wide, else int32_t
  bool wide;
  const uint8_t* mask;
  int64_t exponent;
};

template <typename Capacity>
struct GraphCutOutput {
  uint8_t* mask;   // nodes
  Capacity* flow;  // edges: net flow from the first node to the second
  int64_t exponent;
  double bound;
  double rounding;
};

template <typename Real, typename Capacity, typename Poll>
void graph_cut_model(const GraphModel<Real>& model, GraphMaxFlow<Capacity>& solver,
                     const GraphCutStart& start, bool tie_max, GraphCutOutput<Capacity>& out,
                     Poll&& poll) {
  const GraphIntegers<Capacity> cut = graph_integers<Capacity>(model);
  int64_t flow;
  if (start.flow) {
    const int64_t shift = cut.exponent - start.exponent;
    const std::vector<Capacity> fitted =
        start.wide ? fit_flow(static_cast<const int64_t*>(start.flow), shift, cut.capacity)
                   : fit_flow(static_cast<const int32_t*>(start.flow), shift, cut.capacity);
    const GraphFlowStart<Capacity> from{fitted.data(), start.mask};
    flow = solver.solve(cut.terminal.data(), cut.capacity.data(), poll, &from);
  } else {
    flow = solver.solve(cut.terminal.data(), cut.capacity.data(), poll);
  }
  solver.source_side(tie_max, out.mask);
  solver.edge_flows(out.flow);
  out.exponent = cut.exponent;
  out.rounding = cut.rounding;
  out.bound = cut.bound(flow);
}

}  // namespace mrfmask
