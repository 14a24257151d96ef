// Tests of graph_max_flow.h: enumeration and augmenting paths, and proofs above their reach.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "graph_max_flow.h"

namespace {

using mrfmask::GraphMaxFlow;
int passed = 0, failed = 0;

#define CHECK(condition, name)                                                \
  do {                                                                        \
    if (condition) {                                                          \
      ++passed;                                                               \
    } else {                                                                  \
      ++failed;                                                               \
      std::printf("line %d, %s: %s\n", __LINE__, (name).c_str(), #condition); \
    }                                                                         \
  } while (false)

std::mt19937_64 generator(1);
int64_t uniform(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(generator);
}

template <typename Capacity>
struct Problem {
  std::string name;
  std::vector<int64_t> first{}, second{};
  std::vector<Capacity> terminal{}, capacity{};

  int64_t nodes() const { return static_cast<int64_t>(terminal.size()); }
  size_t edges() const { return capacity.size(); }
  void join(int64_t a, int64_t b, int64_t strength) {
    first.push_back(a);
    second.push_back(b);
    capacity.push_back(static_cast<Capacity>(strength));
  }
  GraphMaxFlow<Capacity> solver() const {
    return {nodes(), static_cast<int64_t>(edges()), first.data(), second.data()};
  }

  template <typename Mask>
  int64_t cut(const Mask& source_side) const {
    int64_t value = 0;
    for (int64_t v = 0; v < nodes(); ++v) {
      const int64_t t = terminal[v];
      if (t > 0 && !source_side(v)) value += t;
      if (t < 0 && source_side(v)) value -= t;
    }
    for (size_t e = 0; e < edges(); ++e) {
      if (source_side(first[e]) != source_side(second[e])) value += capacity[e];
    }
    return value;
  }
};

template <typename Capacity>
Problem<Capacity> random_problem(const std::string& name, int64_t nodes, int64_t edges, int64_t t,
                                 int64_t c) {
  Problem<Capacity> p{name + (sizeof(Capacity) == 4 ? " int32" : " int64")};
  for (int64_t v = 0; v < nodes; ++v) p.terminal.push_back(static_cast<Capacity>(uniform(-t, t)));
  for (int64_t e = 0; e < edges && nodes > 1; ++e) {
    const int64_t a = uniform(0, nodes - 1), step = uniform(1, nodes - 1);
    p.join(a, (a + step) % nodes, std::max<int64_t>(uniform(-c / 2, c), 0));
  }
  return p;
}

template <typename Capacity>
struct Solution {
  int64_t flow = 0, polls = 0;
  std::vector<uint8_t> smallest{}, largest{};
  std::vector<Capacity> flows{};
};

// Solves and proves: flows within the capacities, a dual value equal to the flow and to both cuts.
template <typename Capacity>
Solution<Capacity> solve_and_prove(const Problem<Capacity>& p, GraphMaxFlow<Capacity>& solver,
                                   const mrfmask::GraphFlowStart<Capacity>* start = nullptr) {
  Solution<Capacity> s;
  const auto poll = [&] { ++s.polls; };
  s.flow = solver.solve(p.terminal.data(), p.capacity.data(), poll, start);
  s.smallest.resize(p.terminal.size());
  s.largest.resize(p.terminal.size());
  s.flows.resize(p.edges());
  solver.source_side(false, s.smallest.data());
  solver.source_side(true, s.largest.data());
  solver.edge_flows(s.flows.data());

  std::vector<int64_t> out(p.terminal.size(), 0);
  bool within = true, nested = true;
  for (size_t e = 0; e < p.edges(); ++e) {
    within &= std::abs(static_cast<int64_t>(s.flows[e])) <= p.capacity[e];
    out[p.first[e]] += s.flows[e];
    out[p.second[e]] -= s.flows[e];
  }
  int64_t dual = 0;
  for (int64_t v = 0; v < p.nodes(); ++v) {
    const int64_t t = p.terminal[v];
    dual += std::max<int64_t>(t, 0) - std::max<int64_t>(t - out[v], 0);
    nested &= s.smallest[v] <= s.largest[v];
  }
  CHECK(within, p.name);
  CHECK(nested, p.name);
  CHECK(dual == s.flow, p.name);
  CHECK(p.cut([&](int64_t v) { return s.smallest[v] != 0; }) == s.flow, p.name);
  CHECK(p.cut([&](int64_t v) { return s.largest[v] != 0; }) == s.flow, p.name);
  return s;
}

template <typename Capacity>
Solution<Capacity> solve_and_prove(const Problem<Capacity>& p) {
  GraphMaxFlow<Capacity> solver = p.solver();
  return solve_and_prove(p, solver);
}

unsigned bits(const std::vector<uint8_t>& mask) {
  unsigned all = 0;
  for (size_t i = 0; i < mask.size(); ++i) all |= static_cast<unsigned>(mask[i]) << i;
  return all;
}

// Another start, the same minimum and the same extreme cuts as enumeration finds.
template <typename Capacity>
void test_small_graphs_match_enumeration() {
  for (int trial = 0; trial < 1200; ++trial) {
    const int64_t nodes = uniform(1, trial % 50 ? 7 : 12), edges = uniform(0, 3 * nodes);
    const int64_t t = std::vector<int64_t>{0, 1, 2, 5, 100, 100000}[uniform(0, 5)];
    const int64_t c = std::vector<int64_t>{0, 1, 2, 5, 60, 60000}[uniform(0, 5)];
    auto p = random_problem<Capacity>("enumeration", nodes, edges, t, c);
    GraphMaxFlow<Capacity> solver = p.solver();
    Solution<Capacity> s = solve_and_prove(p, solver);
    for (const bool warm : {false, true}) {
      if (warm) {
        // A few terminals and capacities change; the old flow is cut to fit.
        for (int i = 0; i < 2; ++i) p.terminal[uniform(0, nodes - 1)] = uniform(-t, t);
        if (p.edges()) p.capacity[uniform(0, p.edges() - 1)] = uniform(0, c);
        for (size_t e = 0; e < p.edges(); ++e) {
          s.flows[e] = std::clamp<Capacity>(s.flows[e], -p.capacity[e], p.capacity[e]);
        }
        const mrfmask::GraphFlowStart<Capacity> start{s.flows.data(), s.smallest.data()};
        s = solve_and_prove(p, solver, &start);
      }
      int64_t best = std::numeric_limits<int64_t>::max();
      unsigned smallest = 0, largest = 0;
      for (unsigned mask = 0; mask < 1u << nodes; ++mask) {
        const int64_t value = p.cut([&](int64_t v) { return (mask >> v & 1) != 0; });
        if (value < best) best = value, smallest = largest = mask;
        if (value == best) smallest &= mask, largest |= mask;
      }
      CHECK(best == s.flow, p.name);
      CHECK(smallest == bits(s.smallest), p.name);
      CHECK(largest == bits(s.largest), p.name);
    }
  }
}

// Shortest augmenting paths on a matrix (Edmonds and Karp, 1972); source and sink stand last.
template <typename Capacity>
int64_t augment_by_matrix(const Problem<Capacity>& p) {
  const int64_t n = p.nodes() + 2, source = n - 2, sink = n - 1;
  std::vector<int64_t> left(n * n, 0);
  for (int64_t v = 0; v < p.nodes(); ++v) {
    left[source * n + v] = std::max<int64_t>(p.terminal[v], 0);
    left[v * n + sink] = std::max<int64_t>(-p.terminal[v], 0);
  }
  for (size_t e = 0; e < p.edges(); ++e) {
    left[p.first[e] * n + p.second[e]] += p.capacity[e];
    left[p.second[e] * n + p.first[e]] += p.capacity[e];
  }
  for (int64_t flow = 0;;) {
    std::vector<int64_t> from(n, -1), queue{source};
    from[source] = source;
    for (size_t i = 0; i < queue.size(); ++i) {
      for (int64_t v = 0; v < n; ++v) {
        if (from[v] < 0 && left[queue[i] * n + v] > 0) from[v] = queue[i], queue.push_back(v);
      }
    }
    if (from[sink] < 0) return flow;
    int64_t amount = std::numeric_limits<int64_t>::max();
    for (int64_t v = sink; v != source; v = from[v]) {
      amount = std::min(amount, left[from[v] * n + v]);
    }
    for (int64_t v = sink; v != source; v = from[v]) {
      left[from[v] * n + v] -= amount;
      left[v * n + from[v]] += amount;
    }
    flow += amount;
  }
}

template <typename Capacity>
void test_graphs_match_augmenting_paths() {
  for (int trial = 0; trial < 60; ++trial) {
    const int64_t nodes = uniform(13, 60);
    const auto p = random_problem<Capacity>("augmenting paths", nodes, uniform(nodes, 5 * nodes),
                                            100, uniform(1, 80));
    CHECK(solve_and_prove(p).flow == augment_by_matrix(p), p.name);
  }
}

template <typename Capacity>
void test_large_graphs_are_proved() {
  for (const int64_t strength : {1, 30, 300, 1000, 100000}) {
    solve_and_prove(random_problem<Capacity>("random", 4000, 8000, 500, strength));
    solve_and_prove(random_problem<Capacity>("dense", 300, 20000, 20000, strength));
    solve_and_prove(random_problem<Capacity>("ties", 3000, 9000, 1, 3));
  }
  for (const int64_t strength : {1, 40, 1000}) {
    // Every node on two hubs: they lose their parents over and over.
    auto hubs = random_problem<Capacity>("hubs", 3000, 0, 100, 0);
    hubs.terminal[0] = hubs.terminal[1] = 0;
    for (int64_t v = 2; v < hubs.nodes(); ++v) {
      hubs.join(0, v, uniform(0, strength));
      hubs.join(v, 1, uniform(0, strength));
    }
    solve_and_prove(hubs);
    // A path whose nodes stand in any order, one half against the other.
    auto path = random_problem<Capacity>("path", 3000, 0, 20, 0);
    std::vector<int64_t> order(path.terminal.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
    std::shuffle(order.begin(), order.end(), generator);
    for (size_t i = 0; i < order.size(); ++i) {
      path.terminal[order[i]] = 2 * i < order.size() ? uniform(1, 9) : -uniform(1, 9);
      if (i > 0) path.join(order[i], order[i - 1], 100 * strength);
    }
    solve_and_prove(path);
  }
  // Many long paths: waves and searches take turns.
  Problem<Capacity> grid{"grid of signs"};
  const int64_t side = 200;
  for (int64_t v = 0; v < side * side; ++v) {
    grid.terminal.push_back(static_cast<Capacity>(2 * uniform(0, 1) - 1));
    if (v % side > 0) grid.join(v - 1, v, 2);
    if (v >= side) grid.join(v, v - side, 2);
  }
  solve_and_prove(grid);
}

void test_long_runs_poll_and_stop() {
  const auto p = random_problem<int32_t>("poll", 40000, 80000, 500, 500);
  const Solution<int32_t> s = solve_and_prove(p);
  CHECK(s.polls >= 4, p.name);
  const GraphMaxFlow<int32_t> built = p.solver();
  for (const int64_t stop : {int64_t{1}, s.polls / 2, s.polls}) {
    GraphMaxFlow<int32_t> solver = built;
    int64_t polls = 0;
    bool thrown = false;
    try {
      solver.solve(p.terminal.data(), p.capacity.data(), [&] {
        if (++polls == stop) throw std::runtime_error("stop");
      });
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK(thrown && polls == stop, p.name);
    // The same object serves again, also after a stop.
    CHECK(solver.solve(p.terminal.data(), p.capacity.data(), [] {}) == s.flow, p.name);
  }
}

// A pair of passes goes through all edges twice, 1.4 million: it is they that count, not the nodes.
void test_dense_graphs_poll_as_often_as_they_have_edges() {
  Problem<int32_t> p{"dense"};
  const int64_t nodes = 1200;
  for (int64_t v = 0; v < nodes; ++v) {
    p.terminal.push_back(static_cast<int32_t>(uniform(-9, 9)));
    for (int64_t u = 0; u < v; ++u) p.join(u, v, 1);
  }
  GraphMaxFlow<int32_t> solver = p.solver();
  CHECK(solve_and_prove(p, solver).polls >= 8, p.name);
}

}  // namespace

int main() {
  test_small_graphs_match_enumeration<int32_t>();
  test_small_graphs_match_enumeration<int64_t>();
  test_graphs_match_augmenting_paths<int32_t>();
  test_graphs_match_augmenting_paths<int64_t>();
  test_large_graphs_are_proved<int32_t>();
  test_large_graphs_are_proved<int64_t>();
  test_long_runs_poll_and_stop();
  test_dense_graphs_poll_as_often_as_they_have_edges();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
