// Tests of max_flow.h and graph_cut.h: enumeration, and proofs above its reach.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "graph_cut.h"

namespace {

using mrfmask::GridMaxFlow;
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

struct Edge {
  int64_t from, to, index;
  bool is_right;
};

template <typename Capacity>
struct Problem {
  std::string name;
  int64_t height, width;
  bool periodic;
  std::vector<Capacity> terminal{}, right{}, down{};

  int64_t columns() const { return periodic && width > 1 ? width : width - 1; }
  int64_t rows() const { return periodic && height > 1 ? height : height - 1; }
  int64_t pixels() const { return height * width; }

  // Written apart from the solver's index arithmetic.
  std::vector<Edge> edges() const {
    std::vector<Edge> list;
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        const int64_t v = y * width + x;
        if (x < columns())
          list.push_back({v, y * width + (x + 1) % width, y * columns() + x, true});
        if (y < rows()) list.push_back({v, (y + 1) % height * width + x, v, false});
      }
    }
    return list;
  }
  int64_t capacity(const Edge& e) const { return e.is_right ? right[e.index] : down[e.index]; }

  template <typename Mask>
  int64_t cut(const std::vector<Edge>& list, const Mask& source_side) const {
    int64_t value = 0;
    for (int64_t v = 0; v < pixels(); ++v) {
      const int64_t t = terminal[v];
      if (t > 0 && !source_side(v)) value += t;
      if (t < 0 && source_side(v)) value -= t;
    }
    for (const Edge& e : list) {
      if (source_side(e.from) != source_side(e.to)) value += capacity(e);
    }
    return value;
  }
};

// Fills terminals and capacities by functions of (y, x).
template <typename Capacity, typename Terminal, typename Right, typename Down>
Problem<Capacity> make(const std::string& name, int64_t height, int64_t width, bool periodic,
                       Terminal terminal, Right right, Down down) {
  Problem<Capacity> p{name + " " + std::to_string(height) + "x" + std::to_string(width) +
                          (periodic ? " periodic" : " open") +
                          (sizeof(Capacity) == 4 ? " int32" : " int64"),
                      height, width, periodic};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) p.terminal.push_back(static_cast<Capacity>(terminal(y, x)));
    for (int64_t x = 0; x < p.columns(); ++x) p.right.push_back(static_cast<Capacity>(right(y, x)));
  }
  for (int64_t y = 0; y < p.rows(); ++y) {
    for (int64_t x = 0; x < width; ++x) p.down.push_back(static_cast<Capacity>(down(y, x)));
  }
  return p;
}

std::mt19937_64 generator(1);
int64_t uniform(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(generator);
}
auto random_in(int64_t low, int64_t high) {
  return [=](int64_t, int64_t) { return uniform(low, high); };
}
auto constant(int64_t value) { return random_in(value, value); }

struct Solution {
  int64_t flow = 0, polls = 0;
  std::vector<uint8_t> smallest, largest;
};

// Solves and proves: flows within the capacities, a dual value equal to the flow and to both cuts.
template <typename Capacity>
Solution solve_and_prove(const Problem<Capacity>& p) {
  Solution s;
  GridMaxFlow<Capacity> solver(p.height, p.width, p.periodic);
  s.flow = solver.solve(p.terminal.data(), p.right.data(), p.down.data(), [&] { ++s.polls; });
  s.smallest.resize(p.pixels());
  s.largest.resize(p.pixels());
  solver.source_side(false, s.smallest.data());
  solver.source_side(true, s.largest.data());
  std::vector<Capacity> right(p.right.size()), down(p.down.size());
  solver.edge_flows(right.data(), down.data());

  const std::vector<Edge> list = p.edges();
  std::vector<int64_t> out(p.pixels(), 0);
  bool within = true;
  for (const Edge& e : list) {
    const int64_t f = e.is_right ? right[e.index] : down[e.index];
    within &= std::abs(f) <= p.capacity(e);
    out[e.from] += f;
    out[e.to] -= f;
  }
  int64_t dual = 0;
  bool nested = true;
  for (int64_t v = 0; v < p.pixels(); ++v) {
    const int64_t t = p.terminal[v];
    dual += std::max<int64_t>(t, 0) - std::max<int64_t>(t - out[v], 0);
    nested &= s.smallest[v] <= s.largest[v];
  }
  CHECK(within, p.name);
  CHECK(nested, p.name);
  CHECK(dual == s.flow, p.name);
  CHECK(p.cut(list, [&](int64_t v) { return s.smallest[v] != 0; }) == s.flow, p.name);
  CHECK(p.cut(list, [&](int64_t v) { return s.largest[v] != 0; }) == s.flow, p.name);
  return s;
}

// Smallest value over all masks, and the intersection and union of the masks that have it.
template <typename Value>
struct Minima {
  Value value;
  unsigned smallest, largest;
};
template <typename Energy>
auto enumerate(int64_t pixels, Energy energy) {
  Minima<decltype(energy(0u))> best{energy(0u), 0u, 0u};
  for (unsigned mask = 1; mask < 1u << pixels; ++mask) {
    const auto value = energy(mask);
    if (value < best.value) best = {value, mask, mask};
    if (value == best.value) best = {value, best.smallest & mask, best.largest | mask};
  }
  return best;
}

unsigned bits(const std::vector<uint8_t>& mask) {
  unsigned all = 0;
  for (size_t i = 0; i < mask.size(); ++i) all |= static_cast<unsigned>(mask[i]) << i;
  return all;
}

template <typename Capacity>
void test_small_grids_match_enumeration() {
  for (int64_t height = 1; height <= 4; ++height) {
    for (int64_t width = 1; width <= 4; ++width) {
      for (int trial = 0; trial < (height * width > 12 ? 8 : 60); ++trial) {
        // From many ties and zeros to none.
        const int64_t t = std::vector<int64_t>{0, 1, 2, 5, 100, 100000}[uniform(0, 5)];
        const int64_t c = std::vector<int64_t>{0, 1, 2, 5, 60, 60000}[uniform(0, 5)];
        const auto coupling = [&](int64_t, int64_t) {
          return std::max<int64_t>(uniform(-c / 2, c), 0);
        };
        const auto p = make<Capacity>("enumeration", height, width, trial % 2 == 1,
                                      random_in(-t, t), coupling, coupling);
        const Solution s = solve_and_prove(p);
        const std::vector<Edge> list = p.edges();
        const auto best = enumerate(p.pixels(), [&](unsigned mask) {
          return p.cut(list, [&](int64_t v) { return (mask >> v & 1) != 0; });
        });
        CHECK(best.value == s.flow, p.name);
        CHECK(best.smallest == bits(s.smallest), p.name);
        CHECK(best.largest == bits(s.largest), p.name);
      }
    }
  }
}

template <typename Capacity>
void test_large_grids_are_proved() {
  const auto checkerboard = [](int64_t y, int64_t x) { return (y + x) % 2 ? 10 : -10; };
  const auto sign = [](int64_t, int64_t) { return 2 * uniform(0, 1) - 1; };
  const auto left_right = [](int64_t, int64_t x) { return x < 50 ? 7 : -7; };
  const auto up_down = [](int64_t y, int64_t) { return y < 50000 ? 3 : -3; };
  const auto rare = [](int64_t, int64_t) { return uniform(0, 40) ? 0 : uniform(-500, 500); };
  for (const bool periodic : {false, true}) {
    const auto prove = [=](const std::string& name, int64_t height, int64_t width, auto terminal,
                           auto coupling) {
      solve_and_prove(make<Capacity>(name, height, width, periodic, terminal, coupling, coupling));
    };
    for (const int64_t strength : {10, 300, 600, 1500, 100000}) {
      prove("random", 150, 133, random_in(-1000, 1000), random_in(0, strength));
    }
    prove("sparse", 300, 200, rare, random_in(0, 90));  // what the waves are for
    prove("small integers", 200, 200, random_in(-2, 2), random_in(0, 2));
    prove("many long paths", 300, 300, sign, constant(2));  // waves and searches take turns
    prove("no couplings", 40, 50, random_in(-9, 9), constant(0));
    prove("no terminals", 40, 50, constant(0), random_in(0, 9));
    prove("all equal", 60, 70, constant(5), constant(5));
    for (const int64_t strength : {1, 3, 100}) {
      prove("checkerboard", 100, 100, checkerboard, constant(strength));
      prove("halves", 100, 100, left_right, constant(strength));
    }
    prove("row", 1, 100000, random_in(-9, 9), random_in(0, 30));
    prove("column of two halves", 100000, 1, up_down, constant(200000));
  }
}

// A corridor that winds through the whole image, walls between its turns.
template <typename Capacity>
Problem<Capacity> snake(const std::string& name, int64_t side, int64_t strength,
                        int64_t (*terminal)(int64_t position, int64_t length)) {
  return make<Capacity>(
      name, side, side, false,
      [=](int64_t y, int64_t x) {
        return terminal(y * side + (y % 2 ? side - 1 - x : x), side * side);
      },
      [=](int64_t, int64_t) { return strength; },
      [=](int64_t y, int64_t x) { return x == (y % 2 ? 0 : side - 1) ? strength : 0; });
}

template <typename Capacity>
void test_snakes_are_proved() {
  solve_and_prove(snake<Capacity>("snake with two ends", 301, 1000, [](int64_t i, int64_t n) {
    return i == 0 ? int64_t{900} : i == n - 1 ? int64_t{-800} : int64_t{0};
  }));
  solve_and_prove(snake<Capacity>("random snake", 301, 700,
                                  [](int64_t, int64_t) { return uniform(-100, 100); }));
  solve_and_prove(snake<Capacity>("snake of two halves", 101, 1000000, [](int64_t i, int64_t n) {
    return i < n / 2 ? uniform(1, 100) : uniform(-100, -1);
  }));
}

void test_long_runs_poll_and_stop() {
  const auto p = make<int32_t>("poll", 300, 300, false, random_in(-1000, 1000), random_in(0, 900),
                               random_in(0, 900));
  const Solution s = solve_and_prove(p);
  CHECK(s.polls >= 4, p.name);
  for (const int64_t stop : {int64_t{1}, s.polls / 2, s.polls}) {
    GridMaxFlow<int32_t> solver(p.height, p.width, p.periodic);
    int64_t polls = 0;
    bool thrown = false;
    try {
      solver.solve(p.terminal.data(), p.right.data(), p.down.data(), [&] {
        if (++polls == stop) throw std::runtime_error("stop");
      });
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK(thrown && polls == stop, p.name);
    // The same object serves again, also after a stop.
    CHECK(solver.solve(p.terminal.data(), p.right.data(), p.down.data(), [] {}) == s.flow, p.name);
  }
}

// Energies of an Ising image in long double, for enumeration.
template <typename Real>
struct Image {
  Problem<int32_t> shape;  // only for its edges
  std::vector<Real> unary{}, right{}, down{};

  long double energy(const std::vector<Edge>& list, unsigned mask) const {
    const auto x = [&](int64_t v) { return mask >> v & 1 ? 1.0L : -1.0L; };
    long double sum = 0.0L;
    for (int64_t v = 0; v < shape.pixels(); ++v) {
      if (!std::isinf(unary[v])) sum -= static_cast<long double>(unary[v]) * x(v);
    }
    for (const Edge& e : list) {
      sum -= static_cast<long double>(e.is_right ? right[e.index] : down[e.index]) * x(e.from) *
             x(e.to);
    }
    return sum;
  }
  bool fits_clamps(unsigned mask) const {
    for (int64_t v = 0; v < shape.pixels(); ++v) {
      if (std::isinf(unary[v]) && (unary[v] > 0) != ((mask >> v & 1) != 0)) return false;
    }
    return true;
  }
};

template <typename Real, typename Capacity>
double check_graph_cut(const Image<Real>& image, bool expect_lossless) {
  const auto& shape = image.shape;
  const std::vector<Edge> list = shape.edges();
  std::vector<uint8_t> masks[2];
  std::vector<Capacity> right(image.right.size()), down(image.down.size());
  mrfmask::CutOutput<Capacity> out{};
  mrfmask::CutStart start{};  // the second cut starts from the first
  for (const bool tie_max : {false, true}) {
    masks[tie_max].resize(shape.pixels());
    out = {masks[tie_max].data(), right.data(), down.data(), 0, 0.0, 0.0};
    const mrfmask::CutImage<Real> cut{image.unary.data(), image.right.data(), image.down.data(),
                                      shape.height,       shape.width,        shape.periodic};
    graph_cut_image(cut, start, tie_max, out, [] {});
    start = {right.data(), down.data(), sizeof(Capacity) == 8, masks[0].data(), out.exponent};
  }
  const long double scale = std::ldexp(1.0L, static_cast<int>(out.exponent));
  const auto integer = [&](Real value) { return std::nearbyint(2.0L * value * scale); };

  // The rounded problem: exact minimum and both extreme minimisers.
  const auto best = enumerate(shape.pixels(), [&](unsigned mask) -> long double {
    if (!image.fits_clamps(mask)) return std::numeric_limits<long double>::infinity();
    long double sum = 0.0L;
    for (int64_t v = 0; v < shape.pixels(); ++v) {
      if (!std::isinf(image.unary[v]) && (mask >> v & 1)) sum -= integer(image.unary[v]);
    }
    for (const Edge& e : list) {
      if ((mask >> e.from & 1) == (mask >> e.to & 1)) continue;
      sum += integer(e.is_right ? image.right[e.index] : image.down[e.index]);
    }
    return sum;
  });
  CHECK(best.smallest == bits(masks[0]), shape.name);
  CHECK(best.largest == bits(masks[1]), shape.name);

  // The given problem: its minimum lies within the rounding of the integer one.
  const long double constant = image.energy(list, 0);  // y = 0
  long double size = std::abs(constant);
  for (const Real u : image.unary) size += std::isinf(u) ? 0 : std::abs(u);
  const auto exact = enumerate(shape.pixels(), [&](unsigned mask) {
    return image.fits_clamps(mask) ? image.energy(list, mask)
                                   : std::numeric_limits<long double>::infinity();
  });
  const long double proven = best.value / scale + constant;
  CHECK(std::abs(proven - out.rounding - out.bound) <= 1e-15L * size, shape.name);
  CHECK(std::abs(exact.value - proven) <= out.rounding + 1e-17L * size, shape.name);
  CHECK(out.rounding * scale <= 0.5L * (shape.pixels() + list.size()), shape.name);
  CHECK(!expect_lossless || out.rounding == 0.0, shape.name);
  return out.rounding;
}

template <typename Real>
void test_graph_cut_matches_enumeration() {
  for (int trial = 0; trial < 400; ++trial) {
    const int64_t height = uniform(1, 3), width = uniform(1, 3);
    const int kind = static_cast<int>(uniform(0, 5));
    const int power = (kind == 3 ? -1 : kind == 4 ? 1 : 0) * (sizeof(Real) == 8 ? 1000 : 100);
    const Real factor = std::ldexp(Real(1), power);
    const auto value = [&](int64_t low) {
      // kind 0: short fractions, which no rounding touches; 1: all zero.
      if (kind == 0) return static_cast<Real>(uniform(low, 8)) / 4;
      if (kind == 1) return Real(0);
      return factor * static_cast<Real>(uniform(1000003 * low, 8000024)) / Real(1000003);
    };
    Image<Real> image{make<int32_t>("graph cut, kind " + std::to_string(kind), height, width,
                                    trial % 2 == 1, constant(0), constant(0), constant(0))};
    const Real infinity = std::numeric_limits<Real>::infinity();
    for (int64_t i = 0; i < image.shape.pixels(); ++i) {
      const int64_t clamp = kind == 5 ? uniform(-1, 2) : uniform(-8, 9);
      image.unary.push_back(clamp == -1 || clamp == -8 ? -infinity
                            : clamp == 1               ? infinity
                                                       : value(-8));
    }
    for (size_t i = 0; i < image.shape.right.size(); ++i) image.right.push_back(value(0));
    for (size_t i = 0; i < image.shape.down.size(); ++i) image.down.push_back(value(0));
    check_graph_cut<Real, int32_t>(image, kind <= 1);
    check_graph_cut<Real, int64_t>(image, kind <= 1 || sizeof(Real) == 4);
  }
}

// What is too small for the scale is lost, and the result says so.
void test_graph_cut_does_not_call_underflow_lossless() {
  const auto none = constant(0);
  const auto shape = make<int32_t>("underflow", 1, 2, false, none, none, none);
  const Image<double> image{shape, {1e300, 1e-300}, {0.0}, {}};
  CHECK((check_graph_cut<double, int64_t>(image, false) > 0.0), shape.name);
}

}  // namespace

int main() {
  test_small_grids_match_enumeration<int32_t>();
  test_small_grids_match_enumeration<int64_t>();
  test_large_grids_are_proved<int32_t>();
  test_large_grids_are_proved<int64_t>();
  test_snakes_are_proved<int32_t>();
  test_snakes_are_proved<int64_t>();
  test_long_runs_poll_and_stop();
  test_graph_cut_matches_enumeration<float>();
  test_graph_cut_matches_enumeration<double>();
  test_graph_cut_does_not_call_underflow_lossless();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
