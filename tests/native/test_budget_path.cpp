// Tests of solvers/budget_path.h: enumeration, and cuts of another solver above its reach.
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

#include "budget_path.h"

namespace {

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

struct Edge {
  int64_t from, to;
  double value;
};

struct Image {
  std::string name;
  int64_t height, width;
  bool periodic;
  std::vector<double> unary{}, right{}, down{};

  int64_t columns() const { return periodic && width > 1 ? width : width - 1; }
  int64_t rows() const { return periodic && height > 1 ? height : height - 1; }
  int64_t pixels() const { return height * width; }
  mrfmask::CutImage<double> view() const {
    return {unary.data(), right.data(), down.data(), height, width, periodic};
  }
  // Written apart from the solver's index arithmetic.
  std::vector<Edge> edges() const {
    std::vector<Edge> list;
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < columns(); ++x) {
        list.push_back({y * width + x, y * width + (x + 1) % width, right[y * columns() + x]});
      }
    }
    for (int64_t i = 0; i < rows() * width; ++i) {
      list.push_back({i, (i + width) % pixels(), down[i]});
    }
    return list;
  }
};

template <typename Unary, typename Pairwise>
Image make(const std::string& name, int64_t height, int64_t width, bool periodic, Unary unary,
           Pairwise pairwise) {
  Image image{name + " " + std::to_string(height) + "x" + std::to_string(width) +
                  (periodic ? " periodic" : " open"),
              height, width, periodic};
  for (int64_t i = 0; i < image.pixels(); ++i) image.unary.push_back(unary());
  for (int64_t i = 0; i < height * image.columns(); ++i) image.right.push_back(pairwise());
  for (int64_t i = 0; i < image.rows() * width; ++i) image.down.push_back(pairwise());
  return image;
}

struct Path {
  std::vector<int32_t> order, block;
  std::vector<double> penalty;
  std::vector<int64_t> drop;
  mrfmask::PathOutput out{};
};

Path run(const Image& image) {
  const size_t size = static_cast<size_t>(image.pixels());
  Path path{std::vector<int32_t>(size), std::vector<int32_t>(size), std::vector<double>(size),
            std::vector<int64_t>(size)};
  path.out.order = path.order.data();
  path.out.block = path.block.data();
  path.out.penalty = path.penalty.data();
  path.out.drop = path.drop.data();
  mrfmask::budget_path_image(image.view(), path.out, [] {});
  return path;
}

// Blocks: connected by couplings of one order, no coupling between two of one order, 0, 1, 2, ...
// in reading order. Penalties fall; those of mask 1, 2, ... are drop / pixels added.
void check_form(const Image& image, const Path& path) {
  const int64_t n = image.pixels();
  std::vector<int64_t> parent(static_cast<size_t>(n)), added(static_cast<size_t>(n) + 2, 0);
  for (int64_t i = 0; i < n; ++i) parent[i] = i;
  const auto root = [&](int64_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  for (const Edge& e : image.edges()) {
    if (path.block[e.from] < 0 || path.block[e.to] < 0 || e.value == 0.0) continue;
    if (path.order[e.from] == path.order[e.to]) {
      parent[std::max(root(e.from), root(e.to))] = std::min(root(e.from), root(e.to));
    }
  }
  int32_t blocks = 0;
  bool numbered = true, placed = true;
  for (int64_t i = 0; i < n; ++i) {
    const bool clamped = std::isinf(image.unary[i]);
    const int32_t outside = image.unary[i] > 0 ? 0 : static_cast<int32_t>(path.out.masks);
    placed &=
        clamped ? path.order[i] == outside : path.order[i] > 0 && path.order[i] < path.out.masks;
    numbered &= path.block[i] == (clamped ? -1 : root(i) == i ? blocks : path.block[root(i)]);
    blocks += !clamped && root(i) == i;
    ++added[path.order[i]];
  }
  CHECK(placed, image.name);
  CHECK(numbered, image.name);
  bool falling = true, sloped = true;
  for (int64_t m = 1; m < path.out.masks; ++m) {
    const double slope = static_cast<double>(path.drop[m - 1]) / static_cast<double>(added[m]);
    sloped &= added[m] > 0 && std::abs(path.penalty[m - 1] - slope) <= 1e-15 * std::abs(slope);
    falling &= m == 1 || path.penalty[m - 1] <= path.penalty[m - 2];
  }
  CHECK(sloped, image.name);
  CHECK(falling, image.name);
}

// The numbers of masks, pixels on and energies of the lower convex envelope, against enumeration.
void test_small_grids_match_enumeration() {
  for (int trial = 0; trial < 3000; ++trial) {
    const int64_t height = uniform(1, 3), width = uniform(1, 4);
    const int64_t u = std::vector<int64_t>{0, 1, 3, 50, 100000}[uniform(0, 4)];
    const int64_t c = std::vector<int64_t>{0, 1, 2, 30, 60000}[uniform(0, 4)];
    const bool clamps = uniform(0, 2) == 0;
    const auto unary = [&] {
      const double infinity = std::numeric_limits<double>::infinity();
      const int64_t kind = clamps ? uniform(0, 5) : 2;
      return kind == 0 ? infinity : kind == 1 ? -infinity : static_cast<double>(uniform(-u, u));
    };
    const auto pairwise = [&] {
      return static_cast<double>(std::max<int64_t>(0, uniform(-c / 2, c)));
    };
    Image image = make("enumeration", height, width, trial % 2 == 1, unary, pairwise);
    // Beside one so strong, the others are a few units: what is rational cannot pass for integer.
    double& first = image.unary[0];
    if (trial % 5 == 0 && !std::isinf(first)) first = first < 0 ? -0x1p55 : 0x1p55;
    const Path path = run(image);
    check_form(image, path);
    CHECK(path.out.rounding == 0.0, image.name);

    // Least energy by pixels on, over masks that honour the clamps, times 2.
    const int64_t n = image.pixels();
    constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
    std::vector<int64_t> least(static_cast<size_t>(n) + 1, kNever);
    const std::vector<Edge> edges = image.edges();
    const auto energy = [&](unsigned mask) {
      int64_t sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        const bool free = !std::isinf(image.unary[i]);
        if (free && (mask >> i & 1)) sum -= 2 * static_cast<int64_t>(image.unary[i]);
      }
      for (const Edge& e : edges) {
        if ((mask >> e.from & 1) != (mask >> e.to & 1)) sum += 2 * static_cast<int64_t>(e.value);
      }
      return sum;
    };
    for (unsigned mask = 0; mask < 1u << n; ++mask) {
      bool honoured = true;
      for (int64_t i = 0; i < n; ++i) {
        if (std::isinf(image.unary[i])) honoured &= (image.unary[i] > 0) == (mask >> i & 1);
      }
      int64_t& best = least[__builtin_popcount(mask)];
      if (honoured) best = std::min(best, energy(mask));
    }
    // Vertices of the envelope: from each, the steepest way down and farthest along it.
    std::vector<int64_t> vertices;
    for (int64_t k = 0; k <= n; ++k) {
      if (least[k] != kNever) {
        vertices.push_back(k);
        break;
      }
    }
    for (;;) {
      const int64_t k = vertices.back();
      int64_t next = -1;
      for (int64_t j = k + 1; j <= n; ++j) {
        if (least[j] == kNever) continue;
        using Wide = __int128;
        if (next < 0 ||
            Wide{least[j] - least[k]} * (next - k) <= Wide{least[next] - least[k]} * (j - k)) {
          next = j;
        }
      }
      if (next < 0) break;
      vertices.push_back(next);
    }
    CHECK(static_cast<int64_t>(vertices.size()) == path.out.masks, image.name);
    if (static_cast<int64_t>(vertices.size()) != path.out.masks) continue;
    const double unit = std::ldexp(1.0, -static_cast<int>(path.out.exponent));
    int64_t total = 0;
    for (int64_t m = 0; m < path.out.masks; ++m) {
      unsigned mask = 0;
      for (int64_t i = 0; i < n; ++i) mask |= static_cast<unsigned>(path.order[i] <= m) << i;
      if (m > 0) total -= path.drop[m - 1];
      CHECK(__builtin_popcount(mask) == vertices[m], image.name);
      CHECK(energy(mask) == least[vertices[m]], image.name);
      const int64_t fall = least[vertices[m]] - least[vertices[0]];
      CHECK(static_cast<double>(total) * unit == static_cast<double>(fall), image.name);
    }
  }
}

// At penalties between and at breakpoints, the cut of GridMaxFlow is the mask of the path.
void check_cuts(const Image& image) {
  const Path path = run(image);
  check_form(image, path);
  const double unit = std::ldexp(1.0, -static_cast<int>(path.out.exponent));
  std::vector<double> penalties{0.0};
  for (int64_t m = 1; m < path.out.masks; m += 1 + path.out.masks / 7) {
    penalties.push_back(path.penalty[m - 1] * unit + uniform(-1, 1) * 0.001);
  }
  for (const double penalty : penalties) {
    Image priced = image;
    for (double& u : priced.unary) u -= penalty / 2;
    std::vector<uint8_t> mask(image.unary.size());
    std::vector<int64_t> right(image.right.size()), down(image.down.size());
    mrfmask::CutOutput<int64_t> out{mask.data(), right.data(), down.data(), 0, 0.0, 0.0};
    mrfmask::graph_cut_image(priced.view(), mrfmask::CutStart{}, false, out, [] {});
    int64_t wrong = 0;
    for (int64_t i = 0; i < image.pixels(); ++i) {
      const int32_t m = path.order[i];
      // Left out: pixels whose breakpoint is this penalty up to rounding.
      const double gap = m == 0                ? 1.0
                         : m == path.out.masks ? -1.0
                                               : path.penalty[m - 1] * unit - penalty;
      if (std::abs(gap) > 1e-9) wrong += mask[i] != (gap > 0);
    }
    CHECK(wrong == 0, image.name);
  }
}

void test_large_grids_match_cuts() {
  const auto normal = [](double scale) {
    return [scale] { return std::normal_distribution<double>(0.0, scale)(generator); };
  };
  const auto positive = [](double scale) {
    return [scale] { return std::uniform_real_distribution<double>(0.0, scale)(generator); };
  };
  const auto few = [](int64_t most) {
    return [most] { return static_cast<double>(uniform(-most, most)); };
  };
  const auto some = [](double value) { return [value] { return uniform(0, 3) ? value : 0.0; }; };
  const auto clamped = [=] {
    const int64_t kind = uniform(0, 9);
    const double infinity = std::numeric_limits<double>::infinity();
    return kind == 0 ? infinity : kind == 1 ? -infinity : normal(1.0)();
  };
  for (const bool periodic : {false, true}) {
    for (const double c : {0.1, 0.5, 1.5, 20.0}) {
      check_cuts(make("random", 47, 40, periodic, normal(1.0), positive(c)));
      check_cuts(make("clamps", 30, 41, periodic, clamped, positive(c)));
    }
    check_cuts(make("few values", 40, 40, periodic, few(2), some(0.5)));
    check_cuts(make(
        "signs", 40, 40, periodic, [] { return uniform(0, 1) * 2.0 - 1.0; }, [] { return 1.0; }));
    check_cuts(make("row", 1, 3000, periodic, normal(1.0), positive(2.0)));
    check_cuts(make("column", 3000, 1, periodic, normal(1.0), positive(2.0)));
    check_cuts(make("two rows", 2, 500, periodic, few(4), some(0.75)));
    check_cuts(make(
        "heavy tails", 40, 40, periodic, [=] { return std::exp(normal(3.0)()); },
        [=] { return std::exp(normal(3.0)()); }));
    check_cuts(make("zero", 20, 20, periodic, [] { return 0.0; }, [] { return 0.0; }));
  }
}

// The strongest pixels there can be, everywhere: what overflows stops the sanitizer.
void test_full_scale_does_not_overflow() {
  for (const bool periodic : {false, true}) {
    for (const double u : {1.0, 0.98, 1e-3, 0.0}) {
      for (const double c : {0.0, 1e-3, 1.0}) {
        const auto sign = [=] { return uniform(0, 1) ? u : -u; };
        const Image image = make("full scale", 64, 64, periodic, sign, [=] { return c; });
        check_form(image, run(image));
        // The largest totals, and the pixel farthest from the mean of an image.
        Image halves = image, one = image, alone = image;
        for (int64_t i = 0; i < image.pixels(); ++i) {
          halves.unary[i] = i < image.pixels() / 2 ? u : -u;
          one.unary[i] = i == 0 ? -u : u;
          alone.unary[i] = i == 0 ? u : 0.0;
        }
        check_form(one, run(one));
        check_form(alone, run(alone));
        check_form(halves, run(halves));
      }
    }
  }
}

void test_long_runs_poll_and_stop() {
  const auto unary = [] { return static_cast<double>(uniform(-1000, 1000)); };
  const auto pairwise = [] { return static_cast<double>(uniform(0, 900)); };
  const Image image = make("poll", 120, 120, false, unary, pairwise);
  Path path = run(image);
  int64_t polls = 0;
  mrfmask::budget_path_image(image.view(), path.out, [&] { ++polls; });
  CHECK(polls >= 4, image.name);
  for (const int64_t stop : {int64_t{1}, polls}) {
    int64_t count = 0;
    bool thrown = false;
    try {
      mrfmask::budget_path_image(image.view(), path.out, [&] {
        if (++count == stop) throw std::runtime_error("stop");
      });
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK(thrown && count == stop, image.name);
  }
}

}  // namespace

int main() {
  test_small_grids_match_enumeration();
  test_large_grids_match_cuts();
  test_full_scale_does_not_overflow();
  test_long_runs_poll_and_stop();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
