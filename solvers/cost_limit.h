// A mask of low energy whose pixels cost at most a given sum: greedy repair, then exchanges.
//
// While the mask is too dear, the pixels go whose energy is least for each unit of their price;
// then, best first, come those that fit and lower the energy. Passes over the image follow, until
// one changes nothing: pixels that do not pay go, those that pay and fit come, two neighbours are
// swapped, and a pixel that does not fit may drive out others, the least worth of all. In the end
// no single pixel and no swap of two neighbours within the limit lowers the energy.
#pragma once

#include <cstdint>
#include <vector>

#include "pixel_flips.h"

namespace mrfmask {

template <typename Real>
class LimitRepair : PixelFlips<Real> {
 public:
  LimitRepair(const CutImage<Real>& image, const int64_t* price, int64_t limit, uint8_t* mask)
      : PixelFlips<Real>(image, price, mask), limit_(limit) {}

  // Turns pixels off until the mask is within the limit; the caller knows that it can be.
  template <typename Poll>
  void reach(Poll&& poll);
  // Turns pixels on, the best for their price first, as long as one pays and fits.
  template <typename Poll>
  void fill(Poll&& poll);
  // Passes of changes until none lowers the energy.
  template <typename Poll>
  void improve(Poll&& poll);

 private:
  // More pixels than this are not driven out for one.
  static constexpr size_t kMostDriven = 64;

  using PixelFlips<Real>::clamped;
  using PixelFlips<Real>::cost;
  using PixelFlips<Real>::coupling;
  using PixelFlips<Real>::flip;
  using PixelFlips<Real>::for_each_neighbour;
  using PixelFlips<Real>::mask_;
  using PixelFlips<Real>::price;
  using PixelFlips<Real>::rate;
  using PixelFlips<Real>::size_;
  using PixelFlips<Real>::spent_;
  using PixelFlips<Real>::tolerance_;
  using PixelFlips<Real>::turn_off_;
  using PixelFlips<Real>::turn_on_;

  bool change(int64_t i);
  bool swap_with_neighbour(int64_t i);
  bool drive_out(int64_t i);

  int64_t limit_;
};

template <typename Real>
template <typename Poll>
void LimitRepair<Real>::reach(Poll&& poll) {
  for (int64_t steps = 0; spent_ > limit_; ++steps) {
    flip(turn_off_.winner());
    if (steps % 4096 == 4095) poll();
  }
}

template <typename Real>
template <typename Poll>
void LimitRepair<Real>::fill(Poll&& poll) {
  std::vector<int64_t> dear;  // What is left never grows here: they need not be tried again.
  for (int64_t steps = 0;; ++steps) {
    const int64_t i = turn_on_.winner();
    if (!(turn_on_.key(i) < 0.0) || !(cost(i) < -tolerance_)) break;
    if (price(i) <= limit_ - spent_) {
      flip(i);
    } else {
      dear.push_back(i);
      turn_on_.set(i, Tournament::kNever);
    }
    if (steps % 4096 == 4095) poll();
  }
  for (const int64_t i : dear) rate(i);
}

// Makes one change at pixel i that lowers the energy; whether there was one.
template <typename Real>
bool LimitRepair<Real>::change(int64_t i) {
  if (clamped(i)) return false;
  const bool fits = mask_[i] || price(i) <= limit_ - spent_;
  if (fits && cost(i) < -tolerance_) {
    flip(i);
    return true;
  }
  return !mask_[i] && (swap_with_neighbour(i) || (!fits && drive_out(i)));
}

template <typename Real>
bool LimitRepair<Real>::swap_with_neighbour(int64_t i) {
  int64_t partner = -1;
  double least = -tolerance_;
  for_each_neighbour(i, [&](int64_t j, double) {
    if (!mask_[j] || clamped(j) || price(i) - price(j) > limit_ - spent_) return;
    // They keep their coupling as it was, which both costs count.
    const double both = cost(i) + cost(j) + 4.0 * coupling(i, j);
    if (both < least) {
      least = both;
      partner = j;
    }
  });
  if (partner < 0) return false;
  flip(i);
  flip(partner);
  return true;
}

// Turns pixel i on and the pixels off that are worth least for their price, if that pays.
template <typename Real>
bool LimitRepair<Real>::drive_out(int64_t i) {
  const double least = turn_off_.key(turn_off_.winner());
  const double missing = static_cast<double>(spent_ + price(i) - limit_);
  // What goes is worth about this at least.
  if (!(cost(i) + missing * least < -tolerance_)) return false;
  std::vector<int64_t> flipped{i};
  double change = cost(i);
  flip(i);
  while (spent_ > limit_ && change < -tolerance_ && flipped.size() <= kMostDriven) {
    turn_off_.set(i, Tournament::kNever);  // a flip beside it rates it again
    const int64_t j = turn_off_.winner();
    if (!(turn_off_.key(j) < Tournament::kNever)) break;
    change += cost(j);
    flipped.push_back(j);
    flip(j);
  }
  rate(i);
  if (spent_ <= limit_ && change < -tolerance_) return true;
  while (!flipped.empty()) {
    flip(flipped.back());
    flipped.pop_back();
  }
  return false;
}

template <typename Real>
template <typename Poll>
void LimitRepair<Real>::improve(Poll&& poll) {
  for (bool any = true; any;) {
    any = false;
    for (int64_t i = 0; i < size_; ++i) {
      if (change(i)) any = true;
      if (i % 4096 == 4095) poll();
    }
  }
}

// Changes `mask` so that its pixels cost at most `limit` together.
template <typename Real, typename Poll>
void keep_limit(const CutImage<Real>& image, const int64_t* price, int64_t limit, uint8_t* mask,
                Poll&& poll) {
  LimitRepair<Real> repair(image, price, limit, mask);
  repair.reach(poll);
  repair.fill(poll);
  repair.improve(poll);
}

}  // namespace mrfmask
