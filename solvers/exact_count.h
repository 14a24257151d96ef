// A mask of low energy with a given number of pixels on: greedy repair, then swaps.
//
// First the cheapest flips bring the count to where it must be, one by one; then pairs, one pixel
// turned on and one off, are swapped while that lowers the energy. The end is a local minimum: no
// single swap is better.
#pragma once

#include <cstdint>

#include "pixel_flips.h"

namespace mrfmask {

template <typename Real>
class CountRepair : PixelFlips<Real> {
 public:
  CountRepair(const CutImage<Real>& image, uint8_t* mask)
      : PixelFlips<Real>(image, nullptr, mask) {}

  // Turns the cheapest pixels until `count` are on; the caller knows that so many can be.
  template <typename Poll>
  void reach(int64_t count, Poll&& poll);
  // Swaps until no swap lowers the energy.
  template <typename Poll>
  void swap(Poll&& poll);

 private:
  struct Pair {
    int64_t on, off;  // to turn on, to turn off
    double cost;
  };

  using PixelFlips<Real>::coupling;
  using PixelFlips<Real>::flip;
  using PixelFlips<Real>::for_each_neighbour;
  using PixelFlips<Real>::size_;
  using PixelFlips<Real>::spent_;
  using PixelFlips<Real>::tolerance_;
  using PixelFlips<Real>::turn_off_;
  using PixelFlips<Real>::turn_on_;

  Pair best_pair();
  bool swap_neighbours();
  int64_t best_apart(Tournament& among, int64_t from);
};

template <typename Real>
template <typename Poll>
void CountRepair<Real>::reach(int64_t count, Poll&& poll) {
  for (int64_t steps = 0; spent_ != count; ++steps) {
    flip(spent_ < count ? turn_on_.winner() : turn_off_.winner());
    if (steps % 4096 == 4095) poll();
  }
}

// The best of `among` that is no neighbour of a pixel, or -1.
template <typename Real>
int64_t CountRepair<Real>::best_apart(Tournament& among, int64_t from) {
  int64_t near[4];
  double keys[4];
  int count = 0;
  for_each_neighbour(from, [&](int64_t j, double) {
    for (int k = 0; k < count; ++k) {
      if (near[k] == j) return;
    }
    near[count] = j;
    keys[count++] = among.key(j);
    among.set(j, Tournament::kNever);
  });
  const int64_t winner = among.winner();
  const int64_t best = among.key(winner) < Tournament::kNever ? winner : -1;
  for (int k = 0; k < count; ++k) among.set(near[k], keys[k]);
  return best;
}

// The best swap of two pixels that are no neighbours. Only those that touch the best pixel to turn
// off can have to look for another one; the first that does not touch it ends the search.
template <typename Real>
typename CountRepair<Real>::Pair CountRepair<Real>::best_pair() {
  Pair best{-1, -1, Tournament::kNever};
  const int64_t off = turn_off_.winner();
  int64_t tried[5];
  double keys[5];
  int count = 0;
  for (bool touches = true; touches && count < 5;) {
    const int64_t on = turn_on_.winner();
    touches = false;
    for_each_neighbour(off, [&](int64_t j, double) { touches |= j == on; });
    const int64_t partner = touches ? best_apart(turn_off_, on) : off;
    const double cost = turn_on_.key(on) + turn_off_.key(partner);
    if (cost < best.cost) best = Pair{on, partner, cost};
    tried[count] = on;
    keys[count++] = turn_on_.key(on);
    turn_on_.set(on, Tournament::kNever);
  }
  while (count > 0) {
    --count;
    turn_on_.set(tried[count], keys[count]);
  }
  return best;
}

// Makes all swaps of neighbours that pay, once through the image; whether there were any.
template <typename Real>
bool CountRepair<Real>::swap_neighbours() {
  bool any = false;
  for (int64_t i = 0; i < size_; ++i) {
    int64_t partner = -1;
    double least = -tolerance_;
    if (turn_on_.key(i) == Tournament::kNever) continue;
    for_each_neighbour(i, [&](int64_t j, double) {
      // They keep their coupling as it was, which both costs count.
      const double cost = turn_on_.key(i) + turn_off_.key(j) + 4.0 * coupling(i, j);
      if (cost < least) {
        least = cost;
        partner = j;
      }
    });
    if (partner < 0) continue;
    flip(i);
    flip(partner);
    any = true;
  }
  return any;
}

template <typename Real>
template <typename Poll>
void CountRepair<Real>::swap(Poll&& poll) {
  for (int64_t steps = 0;; ++steps) {
    const Pair best = best_pair();
    if (best.cost < -tolerance_) {
      flip(best.on);
      flip(best.off);
    } else if (!swap_neighbours()) {
      return;
    }
    if (steps % 1024 == 1023) poll();
  }
}

// Changes `mask` so that exactly `count` pixels are on.
template <typename Real, typename Poll>
void reach_count(const CutImage<Real>& image, int64_t count, uint8_t* mask, Poll&& poll) {
  CountRepair<Real> repair(image, mask);
  repair.reach(count, poll);
  repair.swap(poll);
}

}  // namespace mrfmask
