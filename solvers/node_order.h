// An order of the nodes of a graph in which neighbours lie close together.
//
// Breadth-first, from the far end of a first search: the levels are narrow, as the rows of an image
// are. Reference: Cuthill and McKee, "Reducing the bandwidth of sparse symmetric matrices", 1969.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace mrfmask {

// New numbers by old ones; empty if the nodes are in a good order as they are: no further apart
// than in an image row by row, give or take a factor.
inline std::vector<int32_t> close_numbers(int32_t nodes, int64_t edges, const int64_t* first,
                                          const int64_t* second) {
  constexpr double kFar = 4.0;
  double apart = 0.0;
  for (int64_t e = 0; e < edges; ++e) apart += static_cast<double>(std::abs(first[e] - second[e]));
  if (apart <= kFar * static_cast<double>(edges) * std::sqrt(static_cast<double>(nodes))) return {};

  const size_t size = static_cast<size_t>(nodes);
  std::vector<int32_t> begin(size + 1, 0), heads(2 * static_cast<size_t>(edges));
  for (int64_t e = 0; e < edges; ++e) {
    ++begin[first[e]];
    ++begin[second[e]];
  }
  int32_t end = 0;
  for (int32_t& b : begin) b = end += b;
  for (int64_t e = 0; e < edges; ++e) {
    heads[--begin[first[e]]] = static_cast<int32_t>(second[e]);
    heads[--begin[second[e]]] = static_cast<int32_t>(first[e]);
  }

  std::vector<int32_t> number(size), order(size + 1);
  const auto search = [&](int32_t root) {
    number.assign(size, -1);
    int32_t reached = 0;
    for (int32_t next = -1; next < nodes; ++next) {
      const int32_t start = next < 0 ? root : next;
      if (number[start] >= 0) continue;
      order[reached] = start;
      number[start] = reached++;
      for (int32_t i = number[start]; i < reached; ++i) {
        const int32_t stop = begin[order[i] + 1];
        for (int32_t a = begin[order[i]]; a < stop; ++a) {
          const int32_t u = heads[a];
          const bool fresh = number[u] < 0;
          number[u] = fresh ? reached : number[u];
          order[reached] = u;
          reached += fresh;
        }
      }
    }
  };
  search(0);
  search(order[size - 1]);
  return number;
}

}  // namespace mrfmask
