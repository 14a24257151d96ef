// A mask that changes pixel by pixel, and what every change would cost.
//
// Flipping pixel i changes the energy by 2 x_i f_i, f_i = unary_i + sum of pairwise * neighbour.
// Two tournaments keep the cheapest pixel to turn on and to turn off, by energy for each unit of
// the pixel's price; a flip changes the cost of its four neighbours. Clamped pixels stay as they
// are.
#pragma once

#include <algorithm>
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

// `price` null: every pixel has the price 1.
template <typename Real>
class PixelFlips {
 public:
  PixelFlips(const CutImage<Real>& image, const int64_t* price, uint8_t* mask);

 protected:
  bool clamped(int64_t i) const { return std::isinf(image_.unary[i]); }
  int64_t price(int64_t i) const { return price_ ? price_[i] : 1; }
  double state(int64_t i) const { return mask_[i] ? 1.0 : -1.0; }
  // Energy of a flip.
  double cost(int64_t i) const { return 2.0 * state(i) * field_[static_cast<size_t>(i)]; }
  // Calls visit(neighbour, coupling) for the up to four couplings of a pixel.
  template <typename Visit>
  void for_each_neighbour(int64_t i, Visit visit) const;
  double coupling(int64_t i, int64_t j) const;
  double key(int64_t i, bool turn_on) const {
    const bool candidate = !clamped(i) && (mask_[i] == 0) == turn_on;
    return candidate ? cost(i) / static_cast<double>(price(i)) : Tournament::kNever;
  }
  void rate(int64_t i);
  void flip(int64_t i);

  const CutImage<Real>& image_;
  const int64_t* price_;
  uint8_t* mask_;
  int64_t size_, columns_, rows_;
  int64_t spent_ = 0;       // price of all pixels on, clamped ones included
  double tolerance_ = 0.0;  // what rounding of costs may amount to
  std::vector<double> field_;
  Tournament turn_on_, turn_off_;
};

template <typename Real>
PixelFlips<Real>::PixelFlips(const CutImage<Real>& image, const int64_t* price, uint8_t* mask)
    : image_(image),
      price_(price),
      mask_(mask),
      size_(image.height * image.width),
      columns_(image.periodic && image.width > 1 ? image.width : image.width - 1),
      rows_(image.periodic && image.height > 1 ? image.height : image.height - 1),
      field_(static_cast<size_t>(size_)),
      turn_on_(size_),
      turn_off_(size_) {
  double largest = 0.0;
  for (int64_t i = 0; i < size_; ++i) {
    if (mask_[i]) spent_ += this->price(i);
    double sum = clamped(i) ? 0.0 : static_cast<double>(image_.unary[i]);
    double size = std::abs(sum);
    for_each_neighbour(i, [&](int64_t j, double c) {
      sum += c * state(j);
      size += std::abs(c);
    });
    field_[static_cast<size_t>(i)] = sum;
    largest = std::max(largest, size);
  }
  tolerance_ = 1e-12 * largest;
  turn_on_.fill([&](int64_t i) { return key(i, true); });
  turn_off_.fill([&](int64_t i) { return key(i, false); });
}

template <typename Real>
template <typename Visit>
void PixelFlips<Real>::for_each_neighbour(int64_t i, Visit visit) const {
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
double PixelFlips<Real>::coupling(int64_t i, int64_t j) const {
  double sum = 0.0;
  for_each_neighbour(i, [&](int64_t k, double c) { sum += k == j ? c : 0.0; });
  return sum;
}

template <typename Real>
void PixelFlips<Real>::rate(int64_t i) {
  if (clamped(i)) return;
  turn_on_.set(i, key(i, true));
  turn_off_.set(i, key(i, false));
}

template <typename Real>
void PixelFlips<Real>::flip(int64_t i) {
  mask_[i] = !mask_[i];
  spent_ += mask_[i] ? price(i) : -price(i);
  const double change = 2.0 * state(i);
  for_each_neighbour(i, [&](int64_t j, double c) { field_[static_cast<size_t>(j)] += change * c; });
  rate(i);
  for_each_neighbour(i, [&](int64_t j, double) { rate(j); });
}

}  // namespace mrfmask
