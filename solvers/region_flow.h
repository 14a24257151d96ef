// Maximum flows in one region of an image after another: the cuts of budget_path.h.
//
// A region is a run of places begin <= v < end in arrays of pixels, in raster order and closed
// under neighbourhood, so that thousands of small regions cost no more than their pixels. A flow is
// kept as what it leaves, an excess per pixel and residual capacities, as in residual_grid.h. Two
// stages:
//   1. raster passes push excess about, as there;
//   2. waves, as in arc_grid.h: breadth-first distances to the nearest deficit, then all excess
//      moves on, farthest first, until none of it has a way. That last search is the cut.
// A pixel that holds excess after a wave has closed all arcs to pixels closer by, so its distance
// has grown, and distances never shrink: at most n^2 waves, a few tens in practice.
// Reference: Goldberg and Tarjan, "A new approach to the maximum-flow problem", JACM 1988.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "residual_grid.h"

namespace mrfmask {

// The pixels of all regions. Behind the last place is an empty one, without couplings, which stands
// for every neighbour that is missing or belongs to another region.
struct RegionPixels {
  struct Weights {
    int64_t terminal;     // what the pixel gains by being on, neighbours outside included
    int64_t right, down;  // couplings to neighbour[kRight] and neighbour[kDown], 0 if there is none
    int32_t pixel;        // its number in the image
  };
  // Searches read these 24 bytes a pixel only.
  struct Links {
    int32_t neighbour[4];  // places, by direction
    int32_t label;         // pixels on the shortest way to a deficit, this one included; 0: no way
    uint8_t into;          // bit k: residual > 0 from the neighbour in direction k to this pixel
  };
  std::vector<Weights> weights;
  std::vector<Links> links;

  int32_t none() const { return static_cast<int32_t>(links.size()) - 1; }
};

class RegionFlow {
 public:
  explicit RegionFlow(RegionPixels& pixels)
      : weights_(pixels.weights),
        links_(pixels.links),
        excess_(pixels.links.size()),
        residual_(pixels.links.size()),
        queue_(pixels.links.size() + 4) {}

  // Cuts a region at the mean of its terminals: maximises, over the sets of its pixels,
  //   sum of (count * terminal - total) over the set - count * the couplings that the set cuts,
  // where total is the sum of all terminals. True if the maximum is 0: the whole region attains it,
  // so no part is worth more than the mean. Else is_on() tells the largest set that attains it.
  // count * (|terminal| + 2 couplings of a pixel) must stay below 2^61. Calls poll(steps).
  template <typename Poll>
  bool balance(int32_t begin, int32_t end, int64_t total, Poll& poll);

  // After balance() was false, until the labels change.
  bool is_on(int32_t v) const { return links_[v].label == 0; }

  // For others to use between two calls of balance().
  std::vector<int32_t>& queue() { return queue_; }

 private:
  // From a pixel, by direction. An arc and its reverse lie with the two pixels.
  struct Residuals {
    int64_t out[4];
  };
  // Passes stop when a pair of them leaves more than 7/8 of the excess, or at so many.
  static constexpr int kPairs = 4;

  void load(int32_t begin, int32_t end, int64_t total);
  template <typename Poll>
  void spread(int32_t begin, int32_t end, Poll& poll);
  template <int kFirst, int kSecond>
  void send(int32_t v);
  int64_t surplus(int32_t begin, int32_t end) const;
  void open_arcs(int32_t begin, int32_t end);
  int32_t measure_distances(int32_t begin, int32_t end);
  int32_t move_down(int32_t reached);

  std::vector<RegionPixels::Weights>& weights_;
  std::vector<RegionPixels::Links>& links_;
  std::vector<int64_t> excess_;
  std::vector<Residuals> residual_;
  std::vector<int32_t> queue_;  // four more places than pixels
};

template <typename Poll>
bool RegionFlow::balance(int32_t begin, int32_t end, int64_t total, Poll& poll) {
  load(begin, end, total);
  spread(begin, end, poll);
  open_arcs(begin, end);
  for (;;) {
    const int32_t reached = measure_distances(begin, end);
    poll(end - begin);
    // Excess and deficits sum to 0: where there are none of these, there is none of that.
    if (reached == 0) return true;
    if (move_down(reached) == 0) return false;
  }
}

inline void RegionFlow::load(int32_t begin, int32_t end, int64_t total) {
  const int64_t count = end - begin;
  for (int32_t v = begin; v < end; ++v) {
    const int32_t* neighbour = links_[v].neighbour;
    excess_[v] = count * weights_[v].terminal - total;
    residual_[v] = {{count * weights_[v].right, count * weights_[neighbour[kLeft]].right,
                     count * weights_[v].down, count * weights_[neighbour[kUp]].down}};
  }
}

template <typename Poll>
void RegionFlow::spread(int32_t begin, int32_t end, Poll& poll) {
  int64_t before = surplus(begin, end);
  for (int pair = 0; pair < kPairs; ++pair) {
    for (int32_t v = begin; v < end; ++v) send<kRight, kDown>(v);
    for (int32_t v = end; v-- > begin;) send<kLeft, kUp>(v);
    poll(2 * (end - begin));
    const int64_t now = surplus(begin, end);
    if (before - now <= before / 8) break;
    before = now;
  }
}

// A pixel sends all it holds, excess or deficit alike: half of it one way, what it can the other
// way, and the rest the first way.
template <int kFirst, int kSecond>
void RegionFlow::send(int32_t v) {
  const auto bounded = [](int64_t value, int64_t back, int64_t forth) {
    return std::min(std::max(value, -back), forth);
  };
  const int32_t a = links_[v].neighbour[kFirst], b = links_[v].neighbour[kSecond];
  int64_t* own = residual_[v].out;
  int64_t &first_back = residual_[a].out[opposite(kFirst)], first = first_back;
  int64_t& second_back = residual_[b].out[opposite(kSecond)];
  const int64_t held = excess_[v];
  const int64_t over = held - bounded(held >> 1, first, own[kFirst]);
  const int64_t second = bounded(over, second_back, own[kSecond]);
  own[kSecond] -= second;
  second_back += second;
  excess_[b] += second;
  const int64_t rest = bounded(held - second, first, own[kFirst]);
  own[kFirst] -= rest;
  first_back += rest;
  excess_[a] += rest;
  excess_[v] = held - second - rest;
}

// The sum of positive excess in units of 2^30, so that it does not overflow.
inline int64_t RegionFlow::surplus(int32_t begin, int32_t end) const {
  int64_t sum = 0;
  for (int32_t v = begin; v < end; ++v) sum += std::max<int64_t>(excess_[v], 0) >> 30;
  return sum;
}

inline void RegionFlow::open_arcs(int32_t begin, int32_t end) {
  for (int32_t v = begin; v < end; ++v) {
    unsigned into = 0;
    for (int k = 0; k < 4; ++k) {
      const int32_t u = links_[v].neighbour[k];
      into |= static_cast<unsigned>(residual_[u].out[opposite(k)] > 0) << k;
    }
    links_[v].into = static_cast<uint8_t>(into);
  }
}

// Breadth-first search against the open arcs. Returns how many pixels it reached; they stand in
// queue_ by distance. Every neighbour is written to the end of the queue, which moves on only past
// new ones: no branch on data.
inline int32_t RegionFlow::measure_distances(int32_t begin, int32_t end) {
  int32_t* queue = queue_.data();
  int32_t tail = 0;
  for (int32_t v = begin; v < end; ++v) {
    const bool deficit = excess_[v] < 0;
    links_[v].label = deficit;
    queue[tail] = v;
    tail += deficit;
  }
  for (int32_t i = 0; i < tail; ++i) {
    const RegionPixels::Links& here = links_[queue[i]];
    const int32_t label = here.label + 1;
    for (int k = 0; k < 4; ++k) {
      const int32_t u = here.neighbour[k];
      const bool fresh = (here.into >> k & 1) & (links_[u].label == 0);
      links_[u].label = fresh ? label : links_[u].label;
      queue[tail] = u;
      tail += fresh;
    }
  }
  return tail;
}

// Farthest first, every pixel gives its excess to neighbours one step closer to a deficit. Returns
// how many pixels gave.
inline int32_t RegionFlow::move_down(int32_t reached) {
  int32_t moved = 0;
  for (int32_t i = reached; i-- > 0;) {
    const int32_t v = queue_[i];
    RegionPixels::Links& here = links_[v];
    int64_t held = excess_[v];
    // A filled deficit may hold excess of this wave; its next way shows in the next search.
    if (held <= 0 || here.label == 1) continue;
    for (int k = 0; k < 4 && held > 0; ++k) {
      const int32_t u = here.neighbour[k];
      RegionPixels::Links& there = links_[u];
      int64_t& forth = residual_[v].out[k];
      if (there.label != here.label - 1 || forth == 0) continue;
      const int64_t amount = std::min(held, forth);
      forth -= amount;
      residual_[u].out[opposite(k)] += amount;
      here.into |= 1 << k;
      if (forth == 0) there.into &= ~(1 << opposite(k));
      excess_[u] += amount;
      held -= amount;
    }
    excess_[v] = held;
    ++moved;
  }
  return moved;
}

}  // namespace mrfmask
