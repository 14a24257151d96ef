// Masks with a given number of pixels on or of a given cost (exact_count.h, cost_limit.h,
// long_range.h) under sanitizers: count and cost are right, clamps and forbidden pixels hold, and
// no swap of two pixels, or for costs no pixel more or less, betters the mask.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "cost_limit.h"
#include "exact_count.h"
#include "long_range.h"

namespace {

using mrfmask::kForbidden;
using mrfmask::kFree;
using mrfmask::kPicked;
using mrfmask::kTaken;

int passed = 0, failed = 0;
std::mt19937 generator(1);

void check(bool ok, const char* what, int height, int width) {
  ok ? ++passed : ++failed;
  if (!ok) std::printf("%s fails for %dx%d\n", what, height, width);
}

int below(int end) { return static_cast<int>(generator() % static_cast<unsigned>(end)); }

// Halves, so that ties are frequent.
float half() { return static_cast<float>(below(9) - 4) / 2.0f; }

// A small image of any kind with a mask that honours its clamps.
struct Problem {
  int height = 1 + below(4), width = 1 + below(4), pixels = height * width;
  bool periodic = below(2) != 0;
  int columns = periodic && width > 1 ? width : width - 1;
  int rows = periodic && height > 1 ? height : height - 1;
  std::vector<float> unary, right, down;
  std::vector<uint8_t> mask;

  Problem() {
    for (int i = 0; i < pixels; ++i) {
      const int clamp = below(6);
      unary.push_back(clamp == 0 ? INFINITY : clamp == 1 ? -INFINITY : half());
      mask.push_back(clamp < 2 ? clamp == 0 : below(2) != 0);
    }
    for (int i = 0; i < height * columns; ++i) right.push_back(half());
    for (int i = 0; i < rows * width; ++i) down.push_back(half());
  }
  mrfmask::CutImage<float> image() const {
    return {unary.data(), right.data(), down.data(), height, width, periodic};
  }
  bool keeps_clamps() const {
    bool kept = true;
    for (int i = 0; i < pixels; ++i) kept &= !std::isinf(unary[i]) || (unary[i] > 0) == mask[i];
    return kept;
  }
  double energy() const {
    const auto x = [&](int y, int c) { return mask[y % height * width + c % width] ? 1.0 : -1.0; };
    double sum = 0.0;
    for (int y = 0; y < height; ++y) {
      for (int c = 0; c < width; ++c) {
        const int i = y * width + c;
        if (!std::isinf(unary[i])) sum -= unary[i] * x(y, c);
        if (c < columns) sum -= right[y * columns + c] * x(y, c) * x(y, c + 1);
        if (y < rows) sum -= down[i] * x(y, c) * x(y + 1, c);
      }
    }
    return sum;
  }
};

void test_repair_ends_where_no_swap_is_better() {
  Problem p;
  int least = 0, free = 0;
  for (const float u : p.unary) {
    least += u == INFINITY;
    free += !std::isinf(u);
  }
  const int count = least + below(free + 1);
  int polls = 0;
  mrfmask::reach_count(p.image(), count, p.mask.data(), [&polls] { ++polls; });

  int on = 0;
  bool best = true;
  const double reached = p.energy();
  check(p.keeps_clamps(), "clamps", p.height, p.width);
  for (int i = 0; i < p.pixels; ++i) {
    on += p.mask[i];
    for (int j = 0; j < p.pixels; ++j) {
      if (std::isinf(p.unary[i]) || std::isinf(p.unary[j]) || !p.mask[i] || p.mask[j]) continue;
      p.mask[i] = 0, p.mask[j] = 1;
      best &= p.energy() >= reached - 1e-9;
      p.mask[i] = 1, p.mask[j] = 0;
    }
  }
  check(on == count, "count", p.height, p.width);
  check(best, "no better swap", p.height, p.width);
  check(polls == 0, "no endless search", p.height, p.width);
}

void test_cost_repair_ends_where_no_pixel_is_better() {
  Problem p;
  std::vector<int64_t> price;
  int64_t least = 0, all = 0;
  for (const float u : p.unary) {
    price.push_back(1 + below(5));
    all += price.back();
    if (u == INFINITY) least += price.back();
  }
  const int64_t limit = least + below(static_cast<int>(all - least) + 1);
  int polls = 0;
  mrfmask::keep_limit(p.image(), price.data(), limit, p.mask.data(), [&polls] { ++polls; });

  const auto spent = [&] {
    int64_t sum = 0;
    for (int i = 0; i < p.pixels; ++i) sum += p.mask[i] ? price[i] : 0;
    return sum;
  };
  bool best = true;
  const double reached = p.energy();
  check(p.keeps_clamps(), "clamps", p.height, p.width);
  check(spent() <= limit, "limit", p.height, p.width);
  for (int i = 0; i < p.pixels; ++i) {
    if (std::isinf(p.unary[i])) continue;
    p.mask[i] = !p.mask[i];
    best &= spent() > limit || p.energy() >= reached - 1e-9;
    p.mask[i] = !p.mask[i];
  }
  check(best, "no better pixel", p.height, p.width);
  check(polls == 0, "no endless search", p.height, p.width);
}

void test_long_range_ends_where_no_swap_is_better() {
  const int height = 1 + below(9), width = 1 + below(40), pixels = height * width;
  const int power = 8;
  std::vector<double> weight;
  std::vector<uint8_t> state(static_cast<size_t>(pixels), kFree);
  for (int i = 0; i < pixels; ++i) weight.push_back(std::exp(0.5 * half()));
  int free = 0, taken = 0;
  for (uint8_t& s : state) {
    const int kind = below(12);
    s = kind == 0 ? kTaken : kind == 1 ? kForbidden : kFree;
    free += s == kFree;
    taken += s == kTaken;
  }
  const int added = below(std::min(free, 12) + 1);
  const std::vector<uint8_t> before = state;
  const mrfmask::DistanceTable table(height, width, power);
  mrfmask::LongRange search(table, weight.data(), state.data());
  const auto no_poll = [] {};
  search.insert(added, no_poll);
  check(search.improve(1000, no_poll), "local optimum", height, width);
  const auto pull = [&](int i, int j) {
    const double dy = i / width - j / width, dx = i % width - j % width;
    return weight[i] * weight[j] * std::pow(dy * dy + dx * dx, -power / 2.0);
  };
  std::vector<int> picks;
  bool kept = true;
  for (int i = 0; i < pixels; ++i) {
    if (state[i] == kTaken || state[i] == kPicked) picks.push_back(i);
    kept &= before[i] == kFree || state[i] == before[i];
  }
  check(static_cast<int>(picks.size()) == taken + added, "long-range count", height, width);
  check(kept, "taken and forbidden pixels", height, width);
  bool best = true;
  for (const int from : picks) {
    if (state[from] != kPicked) continue;
    for (int to = 0; to < pixels; ++to) {
      if (state[to] != kFree) continue;
      double old_sum = 0.0, new_sum = 0.0;
      for (const int other : picks) {
        if (other == from) continue;
        old_sum += pull(from, other);
        new_sum += pull(to, other);
      }
      best &= new_sum >= old_sum * (1 - 1e-9);
    }
  }
  check(best, "no better move", height, width);
}

}  // namespace

int main() {
  for (int trial = 0; trial < 3000; ++trial) test_repair_ends_where_no_swap_is_better();
  for (int trial = 0; trial < 3000; ++trial) test_cost_repair_ends_where_no_pixel_is_better();
  for (int trial = 0; trial < 300; ++trial) test_long_range_ends_where_no_swap_is_better();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
