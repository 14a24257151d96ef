// Which kernel runs and how it is launched, by size, batch and device: the one place, for the host
// only. Results do not depend on it.
#pragma once

#include <cstdint>

namespace mrfmask {
namespace launch {

constexpr int32_t divide_up(int32_t a, int32_t b) { return (a + b - 1) / b; }
constexpr int32_t round_up(int32_t a, int32_t b) { return divide_up(a, b) * b; }
constexpr int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

// Octets of a window with its two empty rows, and the threads it needs (octets.h).
constexpr int32_t window_octets(int32_t height, int32_t width) {
  return (2 * divide_up(height, 2) + 2) * divide_up(width, 16);
}
constexpr int32_t window_threads(int32_t height, int32_t width, int32_t places) {
  return round_up(2 * round_up(divide_up(height, 2) * divide_up(width, 16), 32), 32 * places) /
         places;
}

// A build of a kernel that keeps a window of at most `octets` octets in shared memory.
struct WindowKernel {
  int32_t octets;   // the number in its name
  int32_t threads;  // at most
  int32_t places;   // octets of a parity that a thread works on
  bool tiles;       // whether there is one for tiles too
};

// Smallest first. Numbers of octets are 2 more than a multiple of 8, so that threads which load
// neighbouring pixels write to different banks. 978 octets are 120x120 pixels and the most that
// compute capability 9.0 has room for, 714 (100x100) on 8.0, 434 on 8.6 and 12.0.
constexpr int32_t kBuilds = 5;
constexpr WindowKernel kGibbs[kBuilds] = {{82, 64, 1, true},
                                          {210, 96, 2, false},
                                          {434, 224, 2, true},
                                          {714, 704, 1, false},
                                          {978, 480, 2, true}};
constexpr WindowKernel kMeanField[kBuilds] = {{82, 64, 1, true},
                                              {210, 96, 2, false},
                                              {386, 192, 2, true},
                                              {650, 640, 1, false},
                                              {906, 448, 2, true}};
// Builds of gibbs_chains: octets and threads.
constexpr WindowKernel kChains[2] = {{1400, 320, 0, false}, {3392, 512, 0, false}};

// sizeof(GibbsMemory<octets>), sizeof(MeanFieldMemory<octets>) and sizeof(ChainsMemory<octets>).
constexpr int32_t gibbs_shared_bytes(int32_t octets) { return round_up(226 * octets + 512, 16); }
constexpr int32_t mean_field_shared_bytes(int32_t octets) { return 256 * octets + 256; }
constexpr int32_t chains_shared_bytes(int32_t octets) { return round_up(66 * octets + 8192, 16); }

// Whether octets can be laid over an image: a torus must close on whole blocks and both colours.
constexpr bool has_octets(int32_t height, int32_t width, bool periodic) {
  return !periodic || ((width == 1 || width % 16 == 0) && (height == 1 || height % 2 == 0));
}

enum class Kind { kHalfSweeps, kResident, kTiles, kChains };

struct Plan {
  Kind kind = Kind::kHalfSweeps;
  int32_t octets = 0;        // which build
  int32_t threads = 256;     // a block
  int32_t shared_bytes = 0;  // a block
  int32_t tile_rows = 0;     // tiles only
  int32_t tile_blocks = 0;
  int32_t sweeps = 1;  // at most, a launch of tiles: halo rows are twice the sweeps of a launch
};

struct Shape {
  int32_t height;
  int32_t width;
  bool periodic;
  int32_t items;  // chains of all images, or images
};

struct Device {
  int32_t multiprocessors;
  int32_t shared_bytes;  // that a block may ask for
};

// Clock cycles, from instruction counts (docs/cuda.md): good enough to compare plans.
constexpr int64_t kBarrier = 150, kWarpUpdate = 60, kLoadOctet = 4, kLaunch = 4000;

constexpr int64_t half_sweep_cycles(int32_t height, int32_t width) {
  return kBarrier + kWarpUpdate * divide_up(divide_up(height, 2) * divide_up(width, 16), 16);
}

// Cycles a sweep of tiles of `rows` rows and `blocks` column blocks, `sweeps` a launch.
inline int64_t tile_cycles(const Shape& s, const Device& d, int32_t rows, int32_t blocks,
                           int32_t sweeps) {
  const int32_t image_blocks = divide_up(s.width, 16);
  const int32_t tiles_y = divide_up(s.height, rows), tiles_x = divide_up(image_blocks, blocks);
  const int32_t halo = tiles_y > 1 ? 2 * sweeps : 0;
  const int32_t width = 16 * (smaller(blocks, image_blocks) + (tiles_x > 1 ? 2 : 0));
  const int32_t height = smaller(rows, s.height);
  // Half-sweeps leave out more and more of the halo: half of it on average.
  const int64_t tile = kLoadOctet * window_octets(height + 2 * halo, width) +
                       2 * sweeps * half_sweep_cycles(height + halo, width);
  const int64_t tiles = static_cast<int64_t>(s.items) * tiles_y * tiles_x;
  const int64_t rounds = (tiles + d.multiprocessors - 1) / d.multiprocessors;
  return (kLaunch + rounds * tile) / sweeps;
}

// The best plan among the builds of a kernel. most_sweeps: 8, or 1 if every state is needed.
inline Plan choose_window(const Shape& s, const Device& d, const WindowKernel* builds,
                          int32_t (*bytes)(int32_t), bool can_stay, int32_t most_sweeps) {
  Plan best;
  if (!has_octets(s.height, s.width, s.periodic)) return best;
  int64_t best_cycles = INT64_MAX;
  const int32_t image_blocks = divide_up(s.width, 16);
  for (int32_t b = 0; b < kBuilds; ++b) {
    const WindowKernel& k = builds[b];
    if (bytes(k.octets) > d.shared_bytes) continue;
    const auto fits = [&k](int32_t height, int32_t width) {
      return window_octets(height, width) <= k.octets &&
             window_threads(height, width, k.places) <= k.threads;
    };
    if (can_stay && fits(s.height, s.width)) {
      const int64_t rounds = divide_up(s.items, d.multiprocessors);
      const int64_t cycles = rounds * 2 * half_sweep_cycles(s.height, s.width);
      if (cycles < best_cycles) {
        best_cycles = cycles;
        best = Plan{Kind::kResident,
                    k.octets,
                    window_threads(s.height, s.width, k.places),
                    bytes(k.octets),
                    0,
                    0,
                    1};
      }
    }
    if (!k.tiles) continue;
    for (int32_t sweeps = 1; sweeps <= most_sweeps; sweeps *= 2) {
      for (int32_t across = 1; across <= image_blocks; ++across) {
        const int32_t blocks = divide_up(image_blocks, across);
        if (across > 1 && blocks == divide_up(image_blocks, across - 1)) continue;
        const int32_t width = 16 * (blocks + (across > 1 ? 2 : 0));
        // Tiles of fewer than 8 rows are mostly halo.
        const int32_t fewest = divide_up(s.height, k.octets);
        for (int32_t down = fewest; down == fewest || down <= s.height / 8; ++down) {
          const int32_t rows = round_up(divide_up(s.height, down), 2);
          const int32_t height = rows + (down > 1 ? 4 * sweeps : 0);
          if (!fits(height, width)) continue;
          const int64_t cycles = tile_cycles(s, d, rows, blocks, sweeps);
          if (cycles >= best_cycles) continue;
          best_cycles = cycles;
          best = Plan{Kind::kTiles,    k.octets, window_threads(height, width, k.places),
                      bytes(k.octets), rows,     blocks,
                      sweeps};
        }
      }
    }
  }
  return best;
}

// chains: of each image. one_temperature: the same inverse temperature in all sweeps. every_state:
// the states of all kept sweeps are needed one by one, for counts of equal neighbours.
inline Plan choose_gibbs(const Shape& s, const Device& d, int32_t chains, bool one_temperature,
                         bool keep_best, bool every_state) {
  if (chains >= 16 && one_temperature && !keep_best && !every_state &&
      has_octets(s.height, s.width, s.periodic)) {
    for (const WindowKernel& k : kChains) {
      const int32_t bytes = chains_shared_bytes(k.octets);
      if (window_octets(s.height, s.width) <= k.octets && bytes <= d.shared_bytes) {
        return Plan{Kind::kChains, k.octets, k.threads, bytes, 0, 0, 1};
      }
    }
  }
  return choose_window(s, d, kGibbs, gibbs_shared_bytes, !every_state,
                       keep_best || every_state ? 1 : 8);
}

inline Plan choose_mean_field(const Shape& s, const Device& d) {
  return choose_window(s, d, kMeanField, mean_field_shared_bytes, true, 8);
}

}  // namespace launch
}  // namespace mrfmask
