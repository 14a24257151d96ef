// A mask of low energy with a given number of pixels on: greedy repair, then swaps.
//
// Flipping pixel i changes the energy by 2 x_i f_i, f_i = unary_i + sum of pairwise * neighbour.
// Two tournaments keep the cheapest pixel to turn on and to turn off; a flip changes the cost of
// its four neighbours. First the cheapest flips bring the count to where it must be, one by one;
// then pairs, one pixel turned on and one off, are swapped while that lowers the energy. The end is
// a local minimum: no single swap is better. Clamped pixels stay as they are.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "graph_cut.h"

namespace mrfmask {

// The smallest of n numbers that change one at a time.
class Tournament {
 public:
  explicit Tournament(int64_t n) : keys_(static_cast<size_t>(n), kNever) {
    while (leaves_ < n) leaves_ *= 2;
    winners_.resize(static_cast<size_t>(2 * leaves_), -1);
  }
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  double key(int64_t i) const { return i < 0 ? kNever : keys_[static_cast<size_t>(i)]; }
  // The index of the smallest key, the first of equal ones.
  int64_t winner() const { return winners_[1]; }
  void set(int64_t i, double key) {
    keys_[static_cast<size_t>(i)] = key;
    winners_[static_cast<size_t>(leaves_ + i)] = i;
    for (int64_t node = (leaves_ + i) / 2; node >= 1; node /= 2) play(node);
  }
  // Takes key(i) for every i; cheaper than setting one by one.
  template <typename Key>
  void fill(Key key) {
    for (size_t i = 0; i < keys_.size(); ++i) {
      keys_[i] = key(static_cast<int64_t>(i));
      winners_[static_cast<size_t>(leaves_) + i] = static_cast<int64_t>(i);
    }
    for (int64_t node = leaves_ - 1; node >= 1; --node) play(node);
  }

 private:
  void play(int64_t node) {
    const int64_t a = winners_[static_cast<size_t>(2 * node)];
    const int64_t b = winners_[static_cast<size_t>(2 * node + 1)];
    winners_[static_cast<size_t>(node)] = b < 0 || (a >= 0 && key(a) <= key(b)) ? a : b;
  }

  int64_t leaves_ = 1;
  std::vector<double> keys_;
  std::vector<int64_t> winners_;  // a heap of indices; -1 for none
};

template <typename Real>
class CountRepair {
 public:
  CountRepair(const CutImage<Real>& image, uint8_t* mask);

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

  double state(int64_t i) const { return mask_[i] ? 1.0 : -1.0; }
  double cost(int64_t i) const { return 2.0 * state(i) * field_[static_cast<size_t>(i)]; }
  // Calls visit(neighbour, coupling) for the up to four couplings of a pixel.
  template <typename Visit>
  void for_each_neighbour(int64_t i, Visit visit) const;
  double coupling(int64_t i, int64_t j) const;
  void rate(int64_t i);
  void flip(int64_t i);
  Pair best_pair();
  bool swap_neighbours();
  int64_t best_apart(Tournament& among, int64_t from);

  const CutImage<Real>& image_;
  uint8_t* mask_;
  int64_t size_, columns_, rows_;
  int64_t on_count_ = 0;
  double tolerance_ = 0.0;  // what rounding of costs may amount to
  std::vector<double> field_;
  Tournament turn_on_, turn_off_;
};

template <typename Real>
CountRepair<Real>::CountRepair(const CutImage<Real>& image, uint8_t* mask)
    : image_(image),
      mask_(mask),
      size_(image.height * image.width),
      columns_(image.periodic && image.width > 1 ? image.width : image.width - 1),
      rows_(image.periodic && image.height > 1 ? image.height : image.height - 1),
      field_(static_cast<size_t>(size_)),
      turn_on_(size_),
      turn_off_(size_) {
  double largest = 0.0;
  for (int64_t i = 0; i < size_; ++i) {
    on_count_ += mask_[i] != 0;
    double sum = std::isinf(image_.unary[i]) ? 0.0 : static_cast<double>(image_.unary[i]);
    double size = std::abs(sum);
    for_each_neighbour(i, [&](int64_t j, double c) {
      sum += c * state(j);
      size += std::abs(c);
    });
    field_[static_cast<size_t>(i)] = sum;
    largest = std::max(largest, size);
  }
  tolerance_ = 1e-12 * largest;
  const auto key = [this](int64_t i, bool on) {
    const bool candidate = !std::isinf(image_.unary[i]) && (mask_[i] == 0) == on;
    return candidate ? cost(i) : Tournament::kNever;
  };
  turn_on_.fill([&](int64_t i) { return key(i, true); });
  turn_off_.fill([&](int64_t i) { return key(i, false); });
}

template <typename Real>
template <typename Visit>
void CountRepair<Real>::for_each_neighbour(int64_t i, Visit visit) const {
  const int64_t w = image_.width, y = i / w, x = i % w, row = y * w;
  const Real* right = image_.right + y * columns_;
  if (x < columns_) visit(row + (x + 1 < w ? x + 1 : 0), static_cast<double>(right[x]));
  if (x > 0 || columns_ == w) {
    const int64_t left = x > 0 ? x - 1 : w - 1;
    visit(row + left, static_cast<double>(right[left]));
  }
  if (y < rows_) {
    visit((y + 1 < image_.height ? row + w : 0) + x, static_cast<double>(image_.down[row + x]));
  }
  if (y > 0 || rows_ == image_.height) {
    const int64_t above = (y > 0 ? y - 1 : image_.height - 1) * w;
    visit(above + x, static_cast<double>(image_.down[above + x]));
  }
}

// Of all couplings between two pixels: two on a torus of side two.
template <typename Real>
double CountRepair<Real>::coupling(int64_t i, int64_t j) const {
  double sum = 0.0;
  for_each_neighbour(i, [&](int64_t k, double c) { sum += k == j ? c : 0.0; });
  return sum;
}

template <typename Real>
void CountRepair<Real>::rate(int64_t i) {
  if (std::isinf(image_.unary[i])) return;
  turn_on_.set(i, mask_[i] ? Tournament::kNever : cost(i));
  turn_off_.set(i, mask_[i] ? cost(i) : Tournament::kNever);
}

template <typename Real>
void CountRepair<Real>::flip(int64_t i) {
  mask_[i] = !mask_[i];
  on_count_ += mask_[i] ? 1 : -1;
  const double change = 2.0 * state(i);
  for_each_neighbour(i, [&](int64_t j, double c) { field_[static_cast<size_t>(j)] += change * c; });
  rate(i);
  for_each_neighbour(i, [&](int64_t j, double) { rate(j); });
}

template <typename Real>
template <typename Poll>
void CountRepair<Real>::reach(int64_t count, Poll&& poll) {
  for (int64_t steps = 0; on_count_ != count; ++steps) {
    flip(on_count_ < count ? turn_on_.winner() : turn_off_.winner());
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
