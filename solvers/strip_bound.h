// A lower bound on the energy of every mask, and a mask near it, for couplings of any signs.
//
// The grid is covered by horizontal strips of a few rows; neighbours share one row. Every pixel and
// coupling of a shared row is split between its two strips, so that the energy is the sum of those
// of the strips, and the sum of their minima is below every mask's. Elimination from column to
// column is exact in a strip, its table has one entry for every state of a column. A pass goes over
// the columns once and moves the split of every coupling in a shared row, with its two pixels, to
// where both strips agree on the least energies of its four states: no other split of these alone
// makes the sum of minima larger. The tables of one pass, kept, are what the pass back looks ahead
// with. The order (columns, then strips) is that of sequential tree-reweighted message passing.
//
// A torus has strips all around, and each pass leaves out the meeting of another two. Across the
// seam, tables remember the states of column 0: they have twice as many bits.
//
// Its tables take 2 * 8 * 2^bits / (rows - 1) bytes a pixel.
//
// Reference: Kolmogorov, "Convergent tree-reweighted message passing for energy minimization",
// PAMI 2006, for the scheme; Sontag, Meltzer, Globerson, Jaakkola and Weiss, "Tightening LP
// relaxations for MAP using message passing", UAI 2008, for parts larger than an edge.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "strip_tables.h"

namespace mrfmask {

// An image without clamps: all potentials finite, laid out as in IsingGrid, width >= height.
struct StripImage {
  const double* unary;
  const double* right;
  const double* down;
  int64_t height, width;
  bool periodic;
};

class StripBound {
 public:
  static constexpr int64_t kMostBits = 12;  // states are the power of two

  // Tables have at most 2^bits states: strips of so many rows, on a torus of half as many.
  StripBound(const StripImage& image, int64_t bits);
  // What the tables of such strips take.
  static int64_t bytes(const StripImage& image, int64_t bits);

  // Takes penalty * cost / 2 off the unary of every pixel; the costs are the same every time.
  void charge(double penalty, const int64_t* cost);
  // Goes over all columns and back; the sum of minima never falls. Returns it.
  double sweep();
  // A mask, column by column from the left, each at its best with what lies right of it.
  void decode(uint8_t* mask) const;
  // The sum of minima, less all that rounding can have added. All masks that have a pixel off
  // (where `advantage` is positive) or on (negative) cost at least |advantage| more than it.
  double finish(double* advantage);

 private:
  struct Strip {
    int64_t first, height;  // rows; on a torus, the first row comes again after the last
    int64_t states;         // entries of a table
    int64_t cell;           // where its potentials start
    int64_t kept;           // where the tables kept of a pass start
    int64_t front;          // where the table in work starts
  };
  struct End {  // a shared row as one of its two strips has it
    const Strip* strip;
    int64_t row;
  };

  static int64_t rows_of(const StripImage& image, int64_t bits) {
    return std::max<int64_t>(image.periodic && image.width > 1 ? bits / 2 : bits, 2);
  }
  int64_t strip_count() const { return static_cast<int64_t>(strips_.size()); }
  int64_t pixel(const Strip& s, int64_t k, int64_t x) const {
    return (s.first + k) % image_.height * image_.width + x;
  }
  static size_t cell(const Strip& s, int64_t k, int64_t x) {
    return static_cast<size_t>(s.cell + x * s.height + k);
  }
  double* front(const Strip& s) { return &front_[static_cast<size_t>(s.front)]; }
  double* kept(const Strip& s, int64_t x) {
    return &kept_[static_cast<size_t>(s.kept + x * s.states)];
  }
  double* middle(const Strip& s, int64_t gap) {
    return &middle_[static_cast<size_t>(s.kept + gap * s.states)];
  }
  bool is_shared(const Strip& s, int64_t k) const;
  void add_column(const Strip& s, int64_t x, double* table) const;
  void add_border(const Strip& s, bool left, double* table) const;
  double pass(bool forward, bool update, double* advantage);
  void cross(bool forward, bool update, int64_t x);
  void meet(End a, End b, bool forward, int64_t x);
  void meet_at_seam(End a, End b);

  const StripImage& image_;
  bool ring_;  // columns wrap around
  std::vector<Strip> strips_;
  double penalty_ = 0.0;
  std::vector<double> total_;                 // unaries less the charge, not split
  std::vector<double> unary_, right_, down_;  // by strip, column, row of the strip
  std::vector<double> kept_, middle_, front_;
  std::vector<double> lowest_;  // by strip: what was taken off its table
  int64_t start_ = 0;           // the first strip of a pass
};

inline StripBound::StripBound(const StripImage& image, int64_t bits)
    : image_(image),
      ring_(image.periodic && image.width > 1),
      total_(image.unary, image.unary + image.height * image.width) {
  const bool around = image.periodic && image.height > 1;
  const int64_t last = around ? image.height : image.height - 1;
  const int64_t most = rows_of(image, bits) - 1;
  const int64_t count = std::max<int64_t>((last + most - 1) / most, around ? 2 : 1);
  int64_t cells = 0, entries = 0, fronts = 0;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t first = n * last / count, height = (n + 1) * last / count - first + 1;
    const int64_t states = int64_t{1} << (ring_ ? 2 * height : height);
    strips_.push_back({first, height, states, cells, entries, fronts});
    cells += height * image.width;
    entries += states * image.width;
    fronts += states;
  }
  for (auto* values : {&unary_, &right_, &down_}) values->resize(static_cast<size_t>(cells));
  for (auto* tables : {&kept_, &middle_}) tables->resize(static_cast<size_t>(entries));
  front_.resize(static_cast<size_t>(fronts));
  lowest_.resize(strips_.size());
  const int64_t links = ring_ ? image.width : image.width - 1;
  for (const Strip& s : strips_) {
    for (int64_t x = 0; x < image.width; ++x) {
      for (int64_t k = 0; k < s.height; ++k) {
        const double share = is_shared(s, k) ? 0.5 : 1.0;
        const int64_t i = pixel(s, k, x);
        unary_[cell(s, k, x)] = share * image.unary[i];
        if (x < links) right_[cell(s, k, x)] = share * image.right[i / image.width * links + x];
        if (k + 1 < s.height) down_[cell(s, k, x)] = image.down[i];
      }
    }
  }
  pass(false, false, nullptr);
}

inline int64_t StripBound::bytes(const StripImage& image, int64_t bits) {
  const int64_t strips = image.height / (rows_of(image, bits) - 1) + 2;
  return 2 * static_cast<int64_t>(sizeof(double)) * image.width * strips << bits;
}

inline bool StripBound::is_shared(const Strip& s, int64_t k) const {
  if (image_.periodic && image_.height > 1) return k == 0 || k == s.height - 1;
  return (k == 0 && s.first > 0) || (k == s.height - 1 && s.first + k < image_.height - 1);
}

inline void StripBound::charge(double penalty, const int64_t* cost) {
  if (penalty == penalty_) return;
  const double change = -0.5 * (penalty - penalty_);
  penalty_ = penalty;
  for (size_t i = 0; i < total_.size(); ++i) {
    total_[i] = image_.unary[i] - 0.5 * penalty * static_cast<double>(cost[i]);
  }
  for (const Strip& s : strips_) {
    for (int64_t x = 0; x < image_.width; ++x) {
      for (int64_t k = 0; k < s.height; ++k) {
        const double share = is_shared(s, k) ? 0.5 : 1.0;
        unary_[cell(s, k, x)] += share * change * static_cast<double>(cost[pixel(s, k, x)]);
      }
    }
  }
  pass(false, false, nullptr);
}

// Adds the unaries and vertical couplings of a column.
inline void StripBound::add_column(const Strip& s, int64_t x, double* table) const {
  double costs[int64_t{1} << kMostBits];
  costs[0] = unary_[cell(s, 0, x)];
  costs[1] = -costs[0];
  int64_t half = 1;
  for (int64_t k = 1; k < s.height; ++k, half *= 2) {
    const double unary = unary_[cell(s, k, x)], down = down_[cell(s, k - 1, x)];
    for (int64_t i = 0; i < 2 * half; ++i) {
      const double pull = i < half ? unary - down : unary + down;
      costs[2 * half + i] = costs[i] - pull;
      costs[i] += pull;
    }
  }
  for (int64_t block = 0; block < s.states; block += 2 * half) {
    for (int64_t i = 0; i < 2 * half; ++i) table[block + i] += costs[i];
  }
}

// What lies beyond the first or last column. The high bits of a ring are the states of column 0,
// the low bits' own there; from the last column couplings lead to them.
inline void StripBound::add_border(const Strip& s, bool left, double* table) const {
  if (!ring_) return;
  const int64_t low = (int64_t{1} << s.height) - 1;
  for (int64_t i = 0; i < s.states; ++i) {
    const int64_t differ = (i & low) ^ (i >> s.height);
    if (left) {
      if (differ) table[i] = std::numeric_limits<double>::infinity();
      continue;
    }
    for (int64_t k = 0; k < s.height; ++k) {
      const double coupling = right_[cell(s, k, image_.width - 1)];
      table[i] += (differ >> k) & 1 ? coupling : -coupling;
    }
  }
}

// One pass; `advantage`, if there is one, gets the pixels' differences of least energies.
inline double StripBound::pass(bool forward, bool update, double* advantage) {
  const int64_t width = image_.width;
  for (const Strip& s : strips_) {
    std::fill(front(s), front(s) + s.states, 0.0);
    add_border(s, forward, front(s));
  }
  std::fill(lowest_.begin(), lowest_.end(), 0.0);
  std::vector<double> whole;
  for (int64_t n = 0; n < width; ++n) {
    const int64_t x = forward ? n : width - 1 - n;
    for (size_t i = 0; i < strips_.size(); ++i) {
      const Strip& s = strips_[i];
      double* table = front(s);
      const double least = strip_tables::lowest(table, s.states);
      for (int64_t j = 0; j < s.states; ++j) table[j] -= least;
      lowest_[i] += least;
      if (advantage != nullptr) {
        whole.assign(table, table + s.states);
        for (int64_t j = 0; j < s.states; ++j) whole[static_cast<size_t>(j)] += kept(s, x)[j];
        add_column(s, x, whole.data());
        for (int64_t k = 0; k < s.height; ++k) {
          double off = std::numeric_limits<double>::infinity(), on = off;
          strip_tables::for_each_pair(s.states, k, [&](int64_t a, int64_t b) {
            off = std::min(off, whole[static_cast<size_t>(a)]);
            on = std::min(on, whole[static_cast<size_t>(b)]);
          });
          advantage[pixel(s, k, x)] += off - on;
        }
      }
      std::copy(table, table + s.states, kept(s, x));
    }
    if (n + 1 < width) {
      cross(forward, update, x);
    } else {
      for (const Strip& s : strips_) add_column(s, x, front(s));
    }
  }
  for (const Strip& s : strips_) add_border(s, !forward, front(s));
  const bool around = image_.periodic && image_.height > 1;
  if (update && ring_ && forward) {
    for (int64_t n = 0; n + (around ? 0 : 1) < strip_count(); ++n) {
      const Strip& a = strips_[static_cast<size_t>(n)];
      const Strip& b = strips_[static_cast<size_t>((n + 1) % strip_count())];
      meet_at_seam({&a, a.height - 1}, {&b, 0});
    }
  }
  double total = 0.0;
  for (size_t i = 0; i < strips_.size(); ++i) {
    total += lowest_[i] + strip_tables::lowest(front(strips_[i]), strips_[i].states);
  }
  return total;
}

// Takes all tables from column x to the next. Rows are eliminated one by one, forwards from the
// top and backwards from the bottom: the last one of a strip together with the first one of the
// next.
inline void StripBound::cross(bool forward, bool update, int64_t x) {
  const int64_t gap = forward ? x : x - 1, count = strip_count();
  End before{nullptr, 0};
  const auto leave = [&] {
    const Strip& s = *before.strip;
    std::copy(front(s), front(s) + s.states, middle(s, gap));
    strip_tables::step(front(s), s.states, before.row, right_[cell(s, before.row, gap)]);
  };
  for (int64_t n = 0; n < count; ++n) {
    const int64_t place = start_ + (forward ? n : count - 1 - n);
    const Strip& s = strips_[static_cast<size_t>(place % count)];
    add_column(s, x, front(s));
    const End here{&s, forward ? 0 : s.height - 1};
    if (before.strip != nullptr) {
      if (update) meet(before, here, forward, x);
      leave();
    }
    for (int64_t k = 0; k + 1 < s.height; ++k) {
      const int64_t row = forward ? k : s.height - 1 - k;
      strip_tables::step(front(s), s.states, row, right_[cell(s, row, gap)]);
    }
    before = End{&s, forward ? s.height - 1 : 0};
  }
  leave();
}

// Brings two strips to agree on a coupling of the row that they share and on its two pixels. It is
// the last one that `a` crosses and the first one that `b` does.
inline void StripBound::meet(End a, End b, bool forward, int64_t x) {
  const int64_t next = forward ? x + 1 : x - 1, gap = forward ? x : x - 1;
  double ahead[int64_t{1} << kMostBits];
  std::copy(kept(*a.strip, next), kept(*a.strip, next) + a.strip->states, ahead);
  add_column(*a.strip, next, ahead);
  const auto of_a = strip_tables::pair_minima(front(*a.strip), ahead, a.strip->states, a.row,
                                              right_[cell(*a.strip, a.row, gap)]);
  const auto of_b =
      strip_tables::pair_minima(front(*b.strip), middle(*b.strip, gap), b.strip->states, b.row,
                                right_[cell(*b.strip, b.row, gap)]);
  // Half the difference, as two unaries and a coupling, goes from one to the other.
  double half[2][2];
  for (int q = 0; q < 2; ++q) {
    for (int t = 0; t < 2; ++t) half[q][t] = 0.125 * (of_a.of[q][t] - of_b.of[q][t]);
  }
  const double here = half[1][0] + half[1][1] - half[0][0] - half[0][1];
  const double there = half[0][1] + half[1][1] - half[0][0] - half[1][0];
  const double both = half[0][0] + half[1][1] - half[0][1] - half[1][0];
  for (const auto& [end, sign] : {std::pair{a, 1.0}, std::pair{b, -1.0}}) {
    const Strip& s = *end.strip;
    unary_[cell(s, end.row, x)] += sign * here;
    unary_[cell(s, end.row, next)] += sign * there;
    right_[cell(s, end.row, gap)] += sign * both;
    strip_tables::add_to_unary(front(s), s.states, end.row, sign * here);
  }
}

// The same for a coupling across the seam of a ring, without its pixels.
inline void StripBound::meet_at_seam(End a, End b) {
  double excess[2];
  int at = 0;
  for (const End end : {a, b}) {
    const Strip& s = *end.strip;
    double differ = std::numeric_limits<double>::infinity(), equal = differ;
    for (int64_t i = 0; i < s.states; ++i) {
      double& least = ((i >> end.row) ^ (i >> (end.row + s.height))) & 1 ? differ : equal;
      least = std::min(least, front(s)[i]);
    }
    excess[at++] = differ - equal;
  }
  const double change = 0.25 * (excess[1] - excess[0]);
  for (const auto& [end, sign] : {std::pair{a, 1.0}, std::pair{b, -1.0}}) {
    const Strip& s = *end.strip;
    right_[cell(s, end.row, image_.width - 1)] += sign * change;
    for (int64_t i = 0; i < s.states; ++i) {
      const bool differ = ((i >> end.row) ^ (i >> (end.row + s.height))) & 1;
      front(s)[i] += differ ? sign * change : -sign * change;
    }
  }
}

inline double StripBound::sweep() {
  pass(true, true, nullptr);
  const double total = pass(false, true, nullptr);
  if (image_.periodic) start_ = (start_ + 1) % strip_count();
  return total;
}

inline double StripBound::finish(double* advantage) {
  // The two shares of a potential sum to it again, but for one rounding.
  const int64_t links = ring_ ? image_.width : image_.width - 1;
  for (int64_t n = 0; n < strip_count(); ++n) {
    const Strip& a = strips_[static_cast<size_t>(n)];
    if (!is_shared(a, a.height - 1)) continue;
    const Strip& b = strips_[static_cast<size_t>((n + 1) % strip_count())];
    for (int64_t x = 0; x < image_.width; ++x) {
      const int64_t i = pixel(b, 0, x);
      const size_t from = cell(a, a.height - 1, x), to = cell(b, 0, x);
      unary_[to] = total_[static_cast<size_t>(i)] - unary_[from];
      if (x < links) right_[to] = image_.right[i / image_.width * links + x] - right_[from];
    }
  }
  std::fill(advantage, advantage + total_.size(), 0.0);
  pass(false, false, nullptr);
  const double total = pass(true, false, advantage);
  // An entry passes at most 4 rows + 8 operations a column, on numbers below twice the sum of that
  // column's potentials; then come the sums over columns and over strips.
  double size = 0.0;
  for (const auto* values : {&unary_, &right_, &down_}) {
    for (const double value : *values) size += std::abs(value);
  }
  const int64_t operations = 4 * kMostBits + 8 + image_.width + strip_count();
  const double rounding = std::ldexp(static_cast<double>(operations), -52) * size;
  for (size_t i = 0; i < total_.size(); ++i) {
    const double sure = std::max(std::abs(advantage[i]) - 4.0 * rounding, 0.0);
    advantage[i] = std::copysign(sure, advantage[i]);
  }
  return total - rounding;
}

}  // namespace mrfmask
