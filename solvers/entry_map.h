// The penalty at which every pixel leaves the best mask, by divide and conquer on integers.
//
// Let F(S) = sum over S of terminal - the couplings that S cuts. Over all penalties, the maximisers
// of F(S) - penalty |S| are nested: S = {v > penalty} for one map v, the minimum of
// 1/2 |v - terminal|^2 + sum of coupling |v_i - v_j|. A region whose neighbours outside are decided
// (their couplings folded into the terminals) is cut at its mean:
//   - no part of it is worth more than the mean: v is the mean in all of it, a *block*;
//   - else v >= mean on the largest best set and v < mean elsewhere, so across the border v falls,
//     the couplings there become terminals, and both sides go on by themselves, every connected
//     component as a region of its own.
// Regions are sorted like the parts in quicksort: a level of the recursion touches every pixel at
// most once, and nothing is allocated for a region; in all it takes 160 bytes a pixel. Blocks are
// the connected components of equal v.
// References: Hochbaum, "An efficient algorithm for image segmentation, Markov random fields and
// related problems", JACM 2001; Chambolle and Darbon, "On total variation minimization and surface
// evolution using parametric maximum flows", IJCV 2009; Gallo, Grigoriadis and Tarjan, "A fast
// parametric maximum flow algorithm and applications", SIAM J. Comput. 1989 (nestedness).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "region_flow.h"

namespace mrfmask {

// v = total / count in `count` connected pixels.
struct Block {
  int64_t total, count;
};

// Exact comparison: totals stay below 2^62 and counts below 2^31.
inline bool leaves_later(const Block& a, const Block& b) {
  return static_cast<__int128>(a.total) * b.count > static_cast<__int128>(b.total) * a.count;
}

class EntryMap {
 public:
  // block: by pixel of the image, receives the index into the result of find_blocks().
  EntryMap(RegionPixels pixels, int32_t* block)
      : pixels_(std::move(pixels)), moved_(pixels_), flow_(pixels_), block_(block) {}
  EntryMap(const EntryMap&) = delete;  // flow_ refers to pixels_
  EntryMap& operator=(const EntryMap&) = delete;

  // Calls poll(), which may throw, about every 2^16 steps.
  template <typename Poll>
  std::vector<Block> find_blocks(Poll&& poll);

 private:
  struct Region {
    int32_t begin, end;
  };

  void fold_border(Region region);
  void split(Region region);
  void find_components(Region region);
  void gather(Region region, const Region* parts, size_t count);
  bool settle(Region region);
  void add_block(Region region, int64_t total);
  int64_t total_of(Region region) const;

  RegionPixels pixels_, moved_;
  RegionFlow flow_;
  std::vector<Region> regions_;  // to do
  std::vector<Block> blocks_;
  int32_t* block_;
};

template <typename Poll>
std::vector<Block> EntryMap::find_blocks(Poll&& poll) {
  int64_t steps = 0;
  const auto count_steps = [&](int64_t more) {
    steps += more;
    if (steps < (1 << 16)) return;
    steps = 0;
    poll();
  };
  split({0, pixels_.none()});
  while (!regions_.empty()) {
    const Region region = regions_.back();
    regions_.pop_back();
    const int64_t total = total_of(region);
    if (flow_.balance(region.begin, region.end, total, count_steps)) {
      add_block(region, total);
    } else {
      fold_border(region);
      split(region);
    }
  }
  return std::move(blocks_);
}

inline int64_t EntryMap::total_of(Region region) const {
  int64_t total = 0;
  for (int32_t v = region.begin; v < region.end; ++v) total += pixels_.weights[v].terminal;
  return total;
}

inline void EntryMap::add_block(Region region, int64_t total) {
  for (int32_t v = region.begin; v < region.end; ++v) {
    block_[pixels_.weights[v].pixel] = static_cast<int32_t>(blocks_.size());
  }
  blocks_.push_back({total, region.end - region.begin});
}

// Takes out the couplings between the two sides of a cut.
inline void EntryMap::fold_border(Region region) {
  const int32_t none = pixels_.none();
  for (int32_t v = region.begin; v < region.end; ++v) {
    for (const int k : {kRight, kDown}) {
      const int32_t u = pixels_.links[v].neighbour[k];
      if (u == none || flow_.is_on(u) == flow_.is_on(v)) continue;
      int64_t& coupling = k == kRight ? pixels_.weights[v].right : pixels_.weights[v].down;
      pixels_.weights[flow_.is_on(v) ? v : u].terminal -= coupling;
      pixels_.weights[flow_.is_on(v) ? u : v].terminal += coupling;
      coupling = 0;
      pixels_.links[v].neighbour[k] = none;
      pixels_.links[u].neighbour[opposite(k)] = none;
    }
  }
}

// Makes a region of every connected component, and blocks of the smallest ones at once.
inline void EntryMap::split(Region region) {
  const size_t first = regions_.size();
  find_components(region);
  const size_t parts = regions_.size() - first;
  if (parts > 1) gather(region, &regions_[first], parts);
  size_t kept = first;
  for (size_t r = first; r < regions_.size(); ++r) {
    const Region part = regions_[r];
    if (!settle(part)) regions_[kept++] = part;
  }
  regions_.resize(kept);
}

// Adds a region for every component: where its pixels will stand. Leaves the first of those places
// as their labels.
inline void EntryMap::find_components(Region region) {
  std::vector<RegionPixels::Links>& links = pixels_.links;
  constexpr int32_t kUnknown = -1;
  int32_t* queue = flow_.queue().data();
  int32_t head = 0, tail = 0;
  for (int32_t v = region.begin; v < region.end; ++v) links[v].label = kUnknown;
  for (int32_t seed = region.begin; seed < region.end; ++seed) {
    if (links[seed].label != kUnknown) continue;
    const int32_t start = region.begin + tail;
    links[seed].label = start;
    queue[tail++] = seed;
    while (head < tail) {
      const int32_t* neighbour = links[queue[head++]].neighbour;
      for (int k = 0; k < 4; ++k) {
        const int32_t u = neighbour[k];
        const bool fresh = links[u].label == kUnknown;
        links[u].label = fresh ? start : links[u].label;
        queue[tail] = u;
        tail += fresh;
      }
    }
    regions_.push_back({start, region.begin + tail});
  }
}

// Moves the pixels of every part together; they stay in raster order, which the passes want.
inline void EntryMap::gather(Region region, const Region* parts, size_t count) {
  std::vector<RegionPixels::Links>& links = pixels_.links;
  int32_t* next = flow_.queue().data();  // by the first place of a part: its next free place
  for (size_t r = 0; r < count; ++r) next[parts[r].begin - region.begin] = parts[r].begin;
  for (int32_t v = region.begin; v < region.end; ++v) {
    links[v].label = next[links[v].label - region.begin]++;
  }
  const int32_t none = pixels_.none();
  for (int32_t v = region.begin; v < region.end; ++v) {
    const int32_t place = links[v].label;
    RegionPixels::Links& moved = moved_.links[place];
    for (int k = 0; k < 4; ++k) {
      const int32_t u = links[v].neighbour[k];
      moved.neighbour[k] = u == none ? none : links[u].label;
    }
    moved_.weights[place] = pixels_.weights[v];
  }
  const auto copy = [region](const auto& from, auto& to) {
    std::copy(from.begin() + region.begin, from.begin() + region.end, to.begin() + region.begin);
  };
  copy(moved_.links, pixels_.links);
  copy(moved_.weights, pixels_.weights);
}

// One pixel, or two: most regions are that small, and the answer is a formula.
inline bool EntryMap::settle(Region region) {
  const int32_t v = region.begin;
  const int64_t first = pixels_.weights[v].terminal;
  if (region.end - v == 1) {
    add_block(region, first);
    return true;
  }
  if (region.end - v > 2) return false;
  const RegionPixels::Weights &a = pixels_.weights[v], &b = pixels_.weights[v + 1];
  // All couplings of the two are between them; on a torus there may be several.
  const int64_t coupling = a.right + a.down + b.right + b.down;
  const int64_t sign = first > b.terminal ? 1 : -1;
  if (sign * (first - b.terminal) <= 2 * coupling) {
    add_block(region, first + b.terminal);
  } else {
    add_block({v, v + 1}, first - sign * coupling);
    add_block({v + 1, v + 2}, b.terminal + sign * coupling);
  }
  return true;
}

}  // namespace mrfmask
