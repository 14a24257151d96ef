// Long-range repulsion: k pixels on so that
//   E(y) = sum_(i<j) y_i y_j w_i w_j / d_ij^s
// is small, d the distance in pixels. Greedy insertion, then every pick in turn moves to its best
// place, until none of the k (n - k) swaps lowers the energy.
//
// With h_p = sum over the other picks j of w_j / d_pj^s, adding p costs w_p h_p and moving pick i
// to p changes the energy by w_p (h_p - w_i / d_pi^s) - w_i h_i. h is kept for all pixels, and for
// tiles of them their least h and least w h. A tile whose bound says that no place in it is better
// is not looked at, which leaves the neighbourhood of a pick and costs no optimality.
//
// h_p - w_i / d_pi^s cancels where i is near: such sums are made anew from the other picks. Until
// the first local optimum, parts of h below kSkip of it are left out; then h is computed anew from
// all picks, nothing is left out any more, and the search ends only when a whole pass over freshly
// computed h moves nothing.
//
// Energy of this kind: Hardin and Saff, "Discretizing manifolds via minimum energy points", Notices
// of the AMS 2004. Interchange: Fedorov, "Theory of optimal experiments", 1972.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "distance_table.h"

namespace mrfmask {

// What a pixel is, on the way in and out.
enum PixelState : uint8_t { kFree = 0, kPicked = 1, kTaken = 2, kForbidden = 3 };

// The search on one image.
class LongRange {
 public:
  // weight and state: (height, width) of `table`. Weights are positive; a product of two and any
  // entry of the table must neither overflow nor underflow; no product of three is ever made.
  LongRange(const DistanceTable& table, const double* weight, uint8_t* state)
      : table_(table),
        weight_(weight),
        state_(state),
        price_(static_cast<size_t>(table.height * table.stride), kInfinity),
        h_(price_.size(), 0.0) {
    for (int64_t y = 0; y < table.height; y += kRows) {
      for (int64_t x = 0; x < table.width; x += kColumns) {
        const int64_t last = std::min(y + kRows, table.height);
        tiles_.push_back({y, last, x, kInfinity, 0.0});
      }
    }
    for (int64_t y = 0; y < table.height; ++y) {
      for (int64_t x = 0; x < table.width; ++x) {
        const Place place{y, x};
        const uint8_t kind = state_[image_index(place)];
        if (kind == kFree) price_[index(place)] = weight_[image_index(place)];
        if (kind == kTaken) picks_.push_back({place, weight_[image_index(place)]});
      }
    }
    taken_ = picks_.size();
    refresh();
  }

  // Adds `count` pixels, one after the other where they cost least; the first of all, if nothing is
  // taken, where the weight is least, and among equals nearest to the middle.
  template <typename Poll>
  void insert(int64_t count, Poll poll) {
    for (int64_t i = 0; i < count; ++i) {
      poll();
      const Place place = picks_.empty() ? first_place() : cheapest_place();
      const Pick pick{place, price_[index(place)]};
      occupy(pick);
      picks_.push_back(pick);
      for (Tile& tile : tiles_) {
        if (pick.weight * nearest(tile, place) > kSkip * tile.least_h) add(tile, pick);
      }
    }
  }

  // Passes over the picks until nothing moves, at most `most_passes`; whether that is a proven
  // local optimum: no swap lowers a pick's part of the energy by more than kGain of it.
  template <typename Poll>
  bool improve(int64_t most_passes, Poll poll) {
    bool fresh = false;
    skip_ = kSkip;
    for (passes = 0; passes < most_passes; ++passes) {
      const int64_t before = swaps;
      for (size_t slot = taken_; slot < picks_.size(); ++slot) {
        poll();
        move_to_best(slot);
      }
      if (swaps == before && fresh) return true;
      fresh = swaps == before;
      if (fresh) {
        skip_ = 0.0;
        refresh();
      }
    }
    return false;
  }

  // Of all pairs of picks, summed anew.
  double energy() const {
    double total = 0.0;
    for (size_t i = 1; i < picks_.size(); ++i) {
      total += picks_[i].weight * potential(picks_[i].place, &picks_[0], &picks_[i]);
    }
    return total;
  }

  int64_t swaps = 0, passes = 0;

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr int64_t kColumns = DistanceTable::kColumns, kRows = 8;
  static constexpr double kSkip = 1e-8;
  static constexpr double kGain = 1e-9;
  // A difference that leaves less than this of h is summed anew: for a comparison of two places,
  // and for an h that is kept and from which more will be taken.
  static constexpr double kTrusted = 1e-6, kKept = 1e-2;

  struct Place {
    int64_t y, x;
  };
  struct Pick {
    Place place;
    double weight;
  };
  struct Tile {
    int64_t first_y, last_y, x;  // rows first_y <= y < last_y, kColumns columns from x
    double least_cost, least_h;
  };
  struct Best {
    double cost;
    Place place;
  };
  // The least of many values in fixed lanes, which compilers turn into vectors.
  struct Lanes {
    static constexpr int64_t kCount = 8;
    double value[kCount];
    Lanes() { std::fill(value, value + kCount, kInfinity); }
    void take(int64_t lane, double v) { value[lane] = v < value[lane] ? v : value[lane]; }
    double least() const { return *std::min_element(value, value + kCount); }
  };

  size_t index(Place p) const { return static_cast<size_t>(p.y * table_.stride + p.x); }
  size_t image_index(Place p) const { return static_cast<size_t>(p.y * table_.width + p.x); }

  // The largest table entry of a tile's pixels seen from a place; infinite from inside.
  double nearest(const Tile& tile, Place p) const {
    const int64_t dy = std::max({int64_t{0}, tile.first_y - p.y, p.y - tile.last_y + 1});
    const int64_t dx = std::max({int64_t{0}, tile.x - p.x, p.x - tile.x - kColumns + 1});
    return dy + dx == 0 ? kInfinity : table_.at(dy, dx);
  }

  // h at a place from these picks.
  double potential(Place p, const Pick* first, const Pick* last) const {
    double sum = 0.0;
    for (const Pick* pick = first; pick != last; ++pick) {
      sum += pick->weight * table_.at(p.y - pick->place.y, p.x - pick->place.x);
    }
    return sum;
  }
  double potential_of_others(Place p) const {
    return potential(p, others_.data(), others_.data() + others_.size());
  }

  // Keeps the picks that matter where this one is, without it, for potential_of_others.
  void gather_others(size_t slot) {
    const Place place = picks_[slot].place;
    const double least = skip_ * h_[index(place)];
    others_.clear();
    for (size_t j = 0; j < picks_.size(); ++j) {
      const Pick& pick = picks_[j];
      const double share = pick.weight * table_.at(place.y - pick.place.y, place.x - pick.place.x);
      if (j != slot && share >= least) others_.push_back(pick);
    }
  }

  void occupy(const Pick& pick) {
    state_[image_index(pick.place)] = kPicked;
    price_[index(pick.place)] = kInfinity;
  }

  void vacate(const Pick& pick) {
    state_[image_index(pick.place)] = kFree;
    price_[index(pick.place)] = pick.weight;
  }

  void refresh() {
    for (Tile& tile : tiles_) {
      for (int64_t y = tile.first_y; y < tile.last_y; ++y) {
        double* h = &h_[index({y, tile.x})];
        std::fill(h, h + kColumns, 0.0);
        for (const Pick& pick : picks_) {
          const double* k = table_.line(y, tile.x, pick.place.y, pick.place.x);
          for (int64_t x = 0; x < kColumns; ++x) h[x] += pick.weight * k[x];
        }
      }
      measure(tile);
    }
  }

  void measure(Tile& tile) {
    Lanes cost, least;
    for (int64_t y = tile.first_y; y < tile.last_y; ++y) {
      measure_line(&h_[index({y, tile.x})], &price_[index({y, tile.x})], cost, least);
    }
    tile.least_cost = cost.least();
    tile.least_h = least.least();
  }

  // A price of infinity times h = 0 is no number and so never the least.
  static void measure_line(const double* h, const double* price, Lanes& cost, Lanes& least) {
    for (int64_t x = 0; x < kColumns; x += Lanes::kCount) {
      for (int64_t lane = 0; lane < Lanes::kCount; ++lane) {
        cost.take(lane, price[x + lane] * h[x + lane]);
        least.take(lane, h[x + lane]);
      }
    }
  }

  void add(Tile& tile, const Pick& pick) {
    Lanes cost, least;
    for (int64_t y = tile.first_y; y < tile.last_y; ++y) {
      double* h = &h_[index({y, tile.x})];
      const double* k = table_.line(y, tile.x, pick.place.y, pick.place.x);
      for (int64_t x = 0; x < kColumns; ++x) h[x] += pick.weight * k[x];
      measure_line(h, &price_[index({y, tile.x})], cost, least);
    }
    tile.least_cost = cost.least();
    tile.least_h = least.least();
  }

  Place first_place() const {
    Place best{0, 0};
    double best_weight = kInfinity;
    int64_t best_distance = 0;
    for (int64_t y = 0; y < table_.height; ++y) {
      for (int64_t x = 0; x < table_.width; ++x) {
        const double price = price_[index({y, x})];
        const int64_t dy = 2 * y - table_.height + 1, dx = 2 * x - table_.width + 1;
        const int64_t distance = dy * dy + dx * dx;
        if (price < best_weight || (price == best_weight && distance < best_distance)) {
          best = {y, x};
          best_weight = price;
          best_distance = distance;
        }
      }
    }
    return best;
  }

  Place cheapest_place() const {
    const auto less = [](const Tile& a, const Tile& b) { return a.least_cost < b.least_cost; };
    const Tile& tile = *std::min_element(tiles_.begin(), tiles_.end(), less);
    Best best{kInfinity, {tile.first_y, tile.x}};
    for (int64_t y = tile.first_y; y < tile.last_y; ++y) {
      for (int64_t x = tile.x; x < tile.x + kColumns; ++x) {
        const double cost = price_[index({y, x})] * h_[index({y, x})];
        if (cost < best.cost) best = {cost, {y, x}};
      }
    }
    return best.place;
  }

  void move_to_best(size_t slot) {
    const Pick pick = picks_[slot];
    Best best{pick.weight * h_[index(pick.place)] * (1.0 - kGain), pick.place};
    const double start = best.cost;
    gather_others(slot);
    // Near tiles first: what is found there spares most of the others.
    for (const bool near : {true, false}) {
      for (const Tile& tile : tiles_) {
        const double share = pick.weight * nearest(tile, pick.place);
        const bool cancels = share > 0.999 * tile.least_h;
        if (cancels != near) continue;
        if (cancels) {
          look_closely(tile, pick, best);
        } else if (tile.least_cost * (1.0 - share / tile.least_h) < best.cost) {
          look(tile, pick, best);
        }
      }
    }
    if (best.cost < start) {
      move(slot, best.place);
      ++swaps;
    }
  }

  // Takes the best place of a tile far enough from the pick that h - share does not cancel.
  void look(const Tile& tile, const Pick& pick, Best& best) const {
    for (int64_t y = tile.first_y; y < tile.last_y; ++y) {
      const double* h = &h_[index({y, tile.x})];
      const double* price = &price_[index({y, tile.x})];
      const double* k = table_.line(y, tile.x, pick.place.y, pick.place.x);
      double cost[kColumns];
      Lanes least;
      for (int64_t x = 0; x < kColumns; x += Lanes::kCount) {
        for (int64_t lane = 0; lane < Lanes::kCount; ++lane) {
          const int64_t i = x + lane;
          cost[i] = price[i] * (h[i] - pick.weight * k[i]);
          least.take(lane, cost[i]);
        }
      }
      if (!(least.least() < best.cost)) continue;
      for (int64_t x = 0; x < kColumns; ++x) {
        if (cost[x] < best.cost) best = {cost[x], {y, tile.x + x}};
      }
    }
  }

  void look_closely(const Tile& tile, const Pick& pick, Best& best) const {
    for (int64_t y = tile.first_y; y < tile.last_y; ++y) {
      const double* k = table_.line(y, tile.x, pick.place.y, pick.place.x);
      for (int64_t x = 0; x < kColumns; ++x) {
        const Place place{y, tile.x + x};
        const double price = price_[index(place)];
        if (price == kInfinity) continue;
        const double all = h_[index(place)];
        double rest = all - pick.weight * k[x];
        if (rest < kTrusted * all) rest = potential_of_others(place);
        if (price * rest < best.cost) best = {price * rest, place};
      }
    }
  }

  void move(size_t slot, Place to) {
    const Pick from = picks_[slot], pick{to, price_[index(to)]};
    vacate(from);
    occupy(pick);
    picks_[slot] = pick;
    for (Tile& tile : tiles_) {
      const double lost = from.weight * nearest(tile, from.place);
      const double gained = pick.weight * nearest(tile, to);
      if (lost + gained <= skip_ * tile.least_h) continue;
      for (int64_t y = tile.first_y; y < tile.last_y; ++y) {
        double* h = &h_[index({y, tile.x})];
        const double* old_k = table_.line(y, tile.x, from.place.y, from.place.x);
        const double* new_k = table_.line(y, tile.x, to.y, to.x);
        if (lost > 0.99 * tile.least_h) {
          subtract_closely(h, old_k, from.weight, {y, tile.x});
        } else {
          for (int64_t x = 0; x < kColumns; ++x) h[x] -= from.weight * old_k[x];
        }
        for (int64_t x = 0; x < kColumns; ++x) h[x] += pick.weight * new_k[x];
      }
      measure(tile);
    }
  }

  void subtract_closely(double* h, const double* k, double weight, Place place) const {
    for (int64_t x = 0; x < kColumns; ++x) {
      const double rest = h[x] - weight * k[x];
      const bool real = place.x + x < table_.width;
      // Beyond the last column nobody looks at h; it must only not be negative.
      h[x] = rest >= kKept * h[x] || !real ? std::max(rest, 0.0)
                                           : potential_of_others({place.y, place.x + x});
    }
  }

  const DistanceTable& table_;
  const double* weight_;
  uint8_t* state_;
  std::vector<double> price_;  // the weight of a free pixel, infinite for any other
  std::vector<double> h_;
  std::vector<Tile> tiles_;
  std::vector<Pick> picks_;  // those taken before first
  std::vector<Pick> others_;
  size_t taken_ = 0;
  double skip_ = kSkip;
};

}  // namespace mrfmask
