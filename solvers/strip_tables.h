// Tables of the least energy for every state of a column of a strip, a bit for each pixel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace mrfmask {

namespace strip_tables {

inline double lowest(const double* table, int64_t states) {
  return *std::min_element(table, table + states);
}

// Calls visit(i, j) for all pairs of states that differ in a bit, off in i.
template <typename Visit>
void for_each_pair(int64_t states, int64_t bit, Visit visit) {
  const int64_t stride = int64_t{1} << bit;
  for (int64_t block = 0; block < states; block += 2 * stride) {
    for (int64_t i = block; i < block + stride; ++i) visit(i, i + stride);
  }
}

// Eliminates the pixel of a bit; its neighbour across the coupling takes its place.
inline void step(double* table, int64_t states, int64_t bit, double coupling) {
  for_each_pair(states, bit, [=](int64_t i, int64_t j) {
    const double off = table[i], on = table[j];
    table[i] = std::min(off - coupling, on + coupling);
    table[j] = std::min(off + coupling, on - coupling);
  });
}

// Adds to the unary of the pixel of a bit.
inline void add_to_unary(double* table, int64_t states, int64_t bit, double change) {
  for_each_pair(states, bit, [=](int64_t i, int64_t j) {
    table[i] += change;
    table[j] -= change;
  });
}

// Least energies of the four states of a coupling: [pixel of `table`][pixel of `ahead`].
struct PairMinima {
  double of[2][2];
};
inline PairMinima pair_minima(const double* table, const double* ahead, int64_t states, int64_t bit,
                              double coupling) {
  constexpr double kMost = std::numeric_limits<double>::infinity();
  double m00 = kMost, m01 = kMost, m10 = kMost, m11 = kMost;
  for_each_pair(states, bit, [&](int64_t i, int64_t j) {
    m00 = std::min(m00, table[i] + ahead[i]);
    m01 = std::min(m01, table[i] + ahead[j]);
    m10 = std::min(m10, table[j] + ahead[i]);
    m11 = std::min(m11, table[j] + ahead[j]);
  });
  return {{{m00 - coupling, m01 + coupling}, {m10 + coupling, m11 - coupling}}};
}

}  // namespace strip_tables

}  // namespace mrfmask
