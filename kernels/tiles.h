// Large images, cut into tiles that a block holds in shared memory with a halo.
//
// What lies at the edge of the window lacks neighbours and goes wrong, by one pixel further in with
// each half-sweep; the halo is as wide as a launch has half-sweeps, so the tile is right, and
// exactly: a pixel that several blocks update has the same neighbours (and the same random numbers)
// in all of them.
#pragma once

#include "packed_images.h"

namespace mrfmask {
namespace device {

// How an image is cut. Without a halo in one direction, a tile spans the image in it.
struct Tiling {
  int32_t rows;         // of a tile: even
  int32_t blocks;       // column blocks of a tile
  int32_t halo_rows;    // 0, or 2 * sweeps
  int32_t halo_blocks;  // 0, or 1 and at most 8 sweeps
};

struct Tile {
  Window window;
  int32_t first_row, last_row;  // rows of the window that are the tile's, as from .. to - 1
  int32_t first_block, last_block;
  int32_t item;   // or image
  int32_t index;  // among the tiles of an image
  int32_t count;

  __device__ __forceinline__ bool holds(int32_t row, int32_t block) const {
    return row >= first_row && row < last_row && block >= first_block && block < last_block;
  }
};

// The tile of this block: those of an item follow each other.
__device__ __forceinline__ Tile tile_of_block(const Grid& g, const Tiling& t) {
  const int32_t image_blocks = (g.width + 15) / 16;
  const int32_t tiles_x = (image_blocks + t.blocks - 1) / t.blocks;
  const int32_t count = tiles_x * ((g.height + t.rows - 1) / t.rows);
  const int32_t item = static_cast<int32_t>(blockIdx.x) / count;
  const int32_t index = static_cast<int32_t>(blockIdx.x) % count;
  const int32_t top = index / tiles_x * t.rows, left = index % tiles_x * t.blocks;
  const int32_t rows = min(t.rows, g.height - top), blocks = min(t.blocks, image_blocks - left);
  const int32_t window_blocks = blocks + 2 * t.halo_blocks;
  const Window w{(rows + 1) / 2 + t.halo_rows,
                 window_blocks,
                 reciprocal_of(window_blocks),
                 top - t.halo_rows,
                 left - t.halo_blocks,
                 g.height,
                 image_blocks,
                 wraps_x(g) && t.halo_blocks == 0,
                 wraps_y(g) && t.halo_rows == 0,
                 wraps_x(g) && t.halo_blocks > 0,
                 wraps_y(g) && t.halo_rows > 0};
  return Tile{w,     t.halo_rows, t.halo_rows + rows, t.halo_blocks, t.halo_blocks + blocks, item,
              index, count};
}

// Rows of the window that the tile still depends on when `left` more half-sweeps follow.
struct Rows {
  int32_t from;
  int32_t to;
};

__device__ __forceinline__ Rows useful_rows(const Tile& tile, int32_t left) {
  const Window& w = tile.window;
  if (tile.first_row == 0) return Rows{0, 2 * w.half};
  const Rows rows{tile.first_row - left, tile.last_row + left};
  if (w.wraps_outside_y) return rows;
  return Rows{max(rows.from, -w.top), min(rows.to, w.image_height - w.top)};
}

// Calls visit(octet of the window, octet of the packed image or -1), each from one thread.
template <typename Visit>
__device__ __forceinline__ void for_each_packed_octet(const Window& w, Visit visit) {
#pragma unroll 1
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < w.octets();
       i += static_cast<int32_t>(blockDim.x)) {
    visit(i, packed_octet_of(w, i));
  }
}

template <int kOctets>
__device__ __forceinline__ void copy_potentials(Potentials<kOctets>& p, int32_t octet,
                                                const float4* packed, int64_t octets,
                                                int64_t from) {
  float4* runs = &p.unary[0][0][0];  // kRuns runs of kOctets
#pragma unroll
  for (int32_t run = 0; run < kRuns; ++run) {
    runs[run * kOctets + octet] =
        from >= 0 ? packed[run * octets + from] : float4{0.0f, 0.0f, 0.0f, 0.0f};
  }
}

}  // namespace device
}  // namespace mrfmask
