// Maximum flow / minimum cut of one image: source -> pixels of a 4-connected grid -> sink.
//
// Three stages, each leaving a residual network to the next:
//   1. raster passes push excess about (residual_grid.h): 98 to 99.9 % of the flow;
//   2. if the rest is thinly spread, waves (arc_grid.h) move all of it at once, one step at a time
//      towards the nearest deficits, in tiles that fit a cache;
//   3. search trees (search_trees.h) find what is left path by path and prove the result. If the
//      paths are long and many (an image near the point where it turns all on or all off), the
//      trees would be repaired over and over: then waves over the whole image take turns with them.
// There is no list of edges: 28 bytes a pixel (48 with 64-bit capacities) and the queues.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "arc_grid.h"
#include "search_trees.h"

namespace mrfmask {

// A flow to start from, within the capacities, and the source side of the cut of the problem that
// it once solved.
template <typename Capacity>
struct FlowStart {
  const Capacity* right;
  const Capacity* down;
  const uint8_t* source_side;
};

// Capacity: int32_t or int64_t. The caller keeps |terminal| + 2 sum of its couplings below 2^30
// (2^61) for every pixel, so that no residual overflows.
template <typename Capacity>
class GridMaxFlow : private SearchTrees<ArcGrid<Capacity>> {
  using Trees = SearchTrees<ArcGrid<Capacity>>;

 public:
  // A periodic side of one pixel has no edge along it, of two pixels two parallel ones.
  GridMaxFlow(int64_t height, int64_t width, bool periodic) : Trees(height, width, periodic) {}

  using ResidualGrid<Capacity>::right_columns;
  using ResidualGrid<Capacity>::down_rows;

  // The value of the maximum flow. terminal > 0: capacity from the source, < 0: to the sink. right
  // (height x right_columns()) and down (down_rows() x width): symmetric capacities, not negative.
  // poll() is called about every 2^16 steps and may throw; the object can be used again then.
  template <typename Poll>
  int64_t solve(const Capacity* terminal, const Capacity* right, const Capacity* down, Poll&& poll,
                const FlowStart<Capacity>* start = nullptr);

  // The source side of a minimum cut, 1 or 0 per pixel: the smallest (all that the source reaches)
  // or the largest one (all that cannot reach the sink).
  using Trees::source_side;

  // Net flow of every edge, > 0 to the right and down. With the terminals it proves the cut
  // minimal: by weak duality no cut is below the sum over pixels of max(t, 0) - max(t - out, 0),
  // where `out` is the net flow out of the pixel, and the minimum cut equals that sum. Excess that
  // found no way to the sink stays where it got stuck, so `out` may leave the range from 0 to t.
  using ResidualGrid<Capacity>::edge_flows;

 private:
  using Trees::size_;

  // If no more than one pixel in so many is disturbed, searches alone are quickest.
  static constexpr int32_t kFewDisturbed = 50;
  // Nodes and residuals of a tile fit a second-level cache of 1 MiB; over a large image a wave
  // costs three times as much a pixel.
  static constexpr int32_t kTile = 128, kWholeImage = std::numeric_limits<int32_t>::max();
  static constexpr int kTileWaves = 16, kImageWaves = 64;
  // Effort of the first search and of those after waves, over the number of pixels.
  static constexpr int64_t kFirstEffort = 16, kLaterEffort = 4;
};

template <typename Capacity>
template <typename Poll>
int64_t GridMaxFlow<Capacity>::solve(const Capacity* terminal, const Capacity* right,
                                     const Capacity* down, Poll&& poll,
                                     const FlowStart<Capacity>* start) {
  int64_t steps = 0;
  const auto count_steps = [&](int64_t more) {
    steps += more;
    if (steps < (1 << 16)) return;
    steps = 0;
    poll();
  };
  int64_t supply = 0;
  for (int32_t v = 0; v < size_; ++v) supply += std::max<Capacity>(terminal[v], 0);
  bool far = true;
  if (start) {
    this->load(terminal, right, down, start->right, start->down);
    far = this->disturbed(start->source_side) > size_ / kFewDisturbed;
  }
  // A flow of quite another problem is a worse start than none.
  if (!start || (far && this->surplus() > supply / 2)) {
    this->load(terminal, right, down, nullptr, nullptr);
  }
  // Passes pay as long as a pair of them adds half a percent to the flow.
  const int64_t waiting = this->surplus();
  int64_t flow = 0, before = 0;
  for (int pair = 0; far && (pair == 0 || flow - before > flow / 200); ++pair) {
    before = flow;
    this->spread_pair(pair % 2 == 1, count_steps);
    flow = waiting - this->surplus();
  }
  this->open_arcs();
  if (far && this->thinly_spread()) this->run_waves(kTile, kTileWaves, count_steps);
  int64_t effort = kFirstEffort * size_;
  while (!this->search(effort, count_steps)) {
    this->run_waves(kWholeImage, kImageWaves, count_steps);
    effort = kLaterEffort * size_;
  }
  return supply - this->surplus();
}

}  // namespace mrfmask
