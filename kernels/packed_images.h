// Whole images in global memory, in the order of octets.h, for kernels that work on parts of them:
// what a tile needs is then read in runs of whole octets.
#pragma once

#include "octets.h"

namespace mrfmask {
namespace device {

// Twelve runs of octets an image (unary, right, down; column parity; lower and upper half), each in
// the order of the window of the whole image, empty rows included.
constexpr int32_t kRuns = 12;

__device__ __forceinline__ int64_t packed_octets(int32_t height, int32_t width) {
  return static_cast<int64_t>((height + 1) / 2 * 2 + 2) * ((width + 15) / 16);
}

// Octet of the whole image that holds row y of column block k.
__device__ __forceinline__ int64_t packed_octet(int32_t height, int32_t image_blocks, int32_t y,
                                                int32_t k) {
  const int32_t slot = 1 + y / 2 + (y % 2 ? 0 : (height + 1) / 2);
  return static_cast<int64_t>(slot) * image_blocks + k;
}

// The octet of the whole image at an octet of a window, or -1.
__device__ __forceinline__ int64_t packed_octet_of(const Window& w, int32_t octet) {
  const int32_t slot = w.divide(octet);
  if (slot == 0 || slot > 2 * w.half) return -1;
  const int32_t y = image_row(w, row_of(w, octet)), k = image_block(w, block_of(w, octet));
  if (y < 0 || k < 0 || k >= w.image_blocks) return -1;
  return packed_octet(w.image_height, w.image_blocks, y, k);
}

// Where a thread of a packing kernel works: one thread an octet of one parity of an image or item.
struct PackedPlace {
  int64_t octets;  // of an image
  int64_t image;
  int64_t octet;  // -1 for a thread without one
  int32_t parity;
  int32_t y;   // -1 for an empty row
  int32_t x0;  // column of site 0
};

__device__ __forceinline__ PackedPlace packed_place(int32_t height, int32_t width) {
  PackedPlace p;
  p.octets = packed_octets(height, width);
  const int64_t threads = (2 * p.octets + blockDim.x - 1) / blockDim.x * blockDim.x;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  p.image = i / threads;
  const int64_t j = i % threads;
  p.parity = j >= p.octets ? 1 : 0;
  p.octet = j < 2 * p.octets ? j - p.parity * p.octets : -1;
  const int32_t blocks = (width + 15) / 16, half = (height + 1) / 2;
  const int32_t slot = static_cast<int32_t>(p.octet / blocks);
  const bool empty = p.octet < 0 || slot == 0 || slot > 2 * half;
  p.y = empty ? -1 : slot <= half ? 2 * slot - 1 : 2 * (slot - 1 - half);
  if (p.y >= height) p.y = -1;
  p.x0 = 16 * static_cast<int32_t>(p.octet - static_cast<int64_t>(slot) * blocks) + p.parity;
  return p;
}

}  // namespace device
}  // namespace mrfmask
