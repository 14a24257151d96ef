// The nodes to turn round, x -> -x, so that no coupling of a signed graph is negative.
//
// There are such nodes if no cycle has an odd number of negative couplings (Harary, "On the notion
// of balance of a signed graph", 1953). Found by joining sets of nodes whose turns are known
// relative to one another, edge by edge: Tarjan, "Efficiency of a good but not linear set union
// algorithm", 1975.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

namespace mrfmask {

class Gauge {
 public:
  explicit Gauge(int64_t nodes) {
    if (nodes > std::numeric_limits<int32_t>::max()) {
      throw std::length_error("a graph for a cut must have fewer than 2^31 nodes");
    }
    links_.resize(static_cast<size_t>(nodes));
    for (int64_t v = 0; v < nodes; ++v) links_[v] = {static_cast<int32_t>(v), 0};
  }

  // False if the edge closes an odd cycle with those before it.
  bool join(int64_t first, int64_t second, bool negative) {
    const Link a = root(static_cast<int32_t>(first)), b = root(static_cast<int32_t>(second));
    const uint8_t turn = a.turn ^ b.turn ^ static_cast<uint8_t>(negative);
    if (a.node == b.node) return turn == 0;
    // The lowest node leads its set and is not turned.
    if (a.node < b.node) {
      links_[b.node] = {a.node, turn};
    } else {
      links_[a.node] = {b.node, turn};
    }
    return true;
  }

  // Whether a node is turned relative to the lowest one that couplings lead to from it.
  uint8_t turned(int64_t v) { return root(static_cast<int32_t>(v)).turn; }

 private:
  struct Link {
    int32_t node;  // another node of the set, nearer to its leader
    uint8_t turn;  // relative to that one
  };

  // The leader of a node's set, and the node's turn relative to it. Halves the way there.
  Link root(int32_t v) {
    uint8_t turn = 0;
    while (links_[v].node != v) {
      Link& link = links_[v];
      const Link& next = links_[link.node];
      link = {next.node, static_cast<uint8_t>(link.turn ^ next.turn)};
      turn ^= link.turn;
      v = link.node;
    }
    return {v, turn};
  }

  std::vector<Link> links_;
};

// Writes 1 where a node is turned; false if an odd cycle allows no such nodes.
template <typename Real>
bool find_gauge(int64_t nodes, int64_t edges, const int64_t* first, const int64_t* second,
                const Real* pairwise, uint8_t* turned) {
  Gauge gauge(nodes);
  bool balanced = true;
  for (int64_t e = 0; e < edges; ++e) {
    if (pairwise[e] != 0) balanced &= gauge.join(first[e], second[e], pairwise[e] < 0);
  }
  for (int64_t v = 0; v < nodes; ++v) turned[v] = gauge.turned(v);
  return balanced;
}

}  // namespace mrfmask
