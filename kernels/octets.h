// A window of an image in the shared memory of a block, laid out for updates of eight pixels at
// once.
//
// An octet is what one block of random bits serves (philox.h): the eight pixels of one column
// parity among sixteen neighbours of a row; site s of the octet of parity p at column block k is
// column 16 k + 2 s + p. A half-sweep of colour c updates, in row y, the octets of parity (y + c)
// % 2.
//
// Rows are stored by parity, odd rows in front of even ones, with an empty row before and after:
//   slot 0: empty, slots 1 .. half: rows 1, 3, 5 ..., slots half + 1 .. 2 half: rows 0, 2, 4 ...,
//   slot 2 half + 1: empty.
// Then the rows above and below lie at a fixed distance that depends on the row's parity alone,
// what is missing above or below is an empty row without couplings, and the threads of a warp,
// which work on neighbouring octets of rows of one parity, all do the same. Octets of a slot lie
// side by side; potentials are split into the lower and the upper four sites of an octet, so that a
// warp reads 512 consecutive bytes: no bank conflicts. A coupling that does not exist is 0, which
// leaves a field unchanged.
#pragma once

#include "batch.h"

namespace mrfmask {
namespace device {

// How a window maps to the image. Row 0 of the window is an even row of the image and column 0 a
// multiple of 16, so parities, colours and blocks of random bits are those of the image.
struct Window {
  int32_t half;         // half the rows
  int32_t blocks;       // column blocks of 16
  uint32_t reciprocal;  // ceil(2^32 / blocks)
  int32_t top;          // image row of the window's row 0: may be negative
  int32_t left_block;   // column block of the image where the window starts: may be negative
  int32_t image_height;
  int32_t image_blocks;  // column blocks of the image
  bool wraps_inside_x;   // the window holds whole rows of a torus
  bool wraps_inside_y;
  bool wraps_outside_x;  // the window's rows go on at the other side of the image
  bool wraps_outside_y;

  __device__ __forceinline__ int32_t octets() const { return (2 * half + 2) * blocks; }
  // n / blocks for 0 <= n < 65536, blocks < 65536.
  __device__ __forceinline__ int32_t divide(int32_t n) const {
    return blocks == 1 ? n : static_cast<int32_t>(__umulhi(static_cast<uint32_t>(n), reciprocal));
  }
};

__device__ __forceinline__ uint32_t reciprocal_of(int32_t divisor) {
  const uint32_t d = static_cast<uint32_t>(divisor);
  return 0xffffffffu / d + 1u;
}

// An image that fits into one block.
__device__ __forceinline__ Window whole_image(const Grid& g) {
  const int32_t blocks = (g.width + 15) / 16;
  return Window{(g.height + 1) / 2,
                blocks,
                reciprocal_of(blocks),
                0,
                0,
                g.height,
                blocks,
                wraps_x(g),
                wraps_y(g),
                false,
                false};
}

// The image row of a row of the window, or -1 where the image has none.
__device__ __forceinline__ int32_t image_row(const Window& w, int32_t row) {
  int32_t y = w.top + row;
  if (w.wraps_outside_y) {
    y %= w.image_height;
    return y < 0 ? y + w.image_height : y;
  }
  return y >= 0 && y < w.image_height ? y : -1;
}

// The image's column block of one of the window; may lie outside.
__device__ __forceinline__ int32_t image_block(const Window& w, int32_t block) {
  int32_t k = w.left_block + block;
  if (w.wraps_outside_x) {
    k %= w.image_blocks;
    if (k < 0) k += w.image_blocks;
  }
  return k;
}

// An octet of the window and its neighbours: indices for the arrays below.
struct Place {
  int32_t self;
  int32_t up;
  int32_t down;
  int32_t before;  // the octet whose site 7 is left of this one's site 0
  int32_t after;   // the octet whose site 0 is right of this one's site 7
  uint32_t draws;  // the block of random bits
};

// Row of the window and column block of an octet that is in no empty row: seldom needed, so not
// kept.
__device__ __forceinline__ bool is_odd_row(const Window& w, int32_t octet) {
  return octet < (w.half + 1) * w.blocks;
}
__device__ __forceinline__ int32_t block_of(const Window& w, int32_t octet) {
  return octet - w.divide(octet) * w.blocks;
}
__device__ __forceinline__ int32_t row_of(const Window& w, int32_t octet) {
  const int32_t slot = w.divide(octet);
  return slot <= w.half ? 2 * slot - 1 : 2 * (slot - 1 - w.half);
}

// Place n of the rows of one parity (odd: 0 or 1).
__device__ __forceinline__ Place place_of(const Window& w, int32_t odd, int32_t n) {
  const int32_t line = w.divide(n), block = n - line * w.blocks;
  const int32_t all = w.half * w.blocks;
  Place p;
  p.self = n + w.blocks + (odd ? 0 : all);
  p.up = odd ? p.self + all : p.self - all - w.blocks;
  p.down = odd ? p.self + all + w.blocks : p.self - all;
  if (w.wraps_inside_y && !odd && line == 0) p.up += all;
  if (w.wraps_inside_y && odd && line == w.half - 1) p.down -= all;
  p.before = p.self - 1;
  p.after = p.self + 1;
  if (w.wraps_inside_x && block == 0) p.before += w.blocks;
  if (w.wraps_inside_x && block == w.blocks - 1) p.after -= w.blocks;
  p.draws =
      static_cast<uint32_t>(image_row(w, 2 * line + odd) * w.image_blocks + image_block(w, block));
  return p;
}

// The places that this thread works on, the same ones in every half-sweep; self is -1 for none. The
// threads of a warp have rows of one parity. A window needs blockDim.x * kPlaces to be at least
// twice half * blocks, rounded up to whole warps.
template <int kPlaces>
struct OwnPlaces {
  Place place[kPlaces];
};

template <int kPlaces>
__device__ __forceinline__ OwnPlaces<kPlaces> own_places(const Window& w) {
  const int32_t places = w.half * w.blocks, span = (places + 31) / 32 * 32;
  OwnPlaces<kPlaces> own;
#pragma unroll
  for (int32_t j = 0; j < kPlaces; ++j) {
    const int32_t i = static_cast<int32_t>(threadIdx.x + j * blockDim.x);
    const int32_t odd = i >= span ? 1 : 0, n = i - (odd ? span : 0);
    own.place[j] = place_of(w, odd, n < places ? n : 0);
    if (n >= places) own.place[j].self = -1;
  }
  return own;
}

// Eight numbers, one a site; always unrolled, so they stay in registers.
struct Octet {
  float site[8];
};

// Potentials of a window of at most kOctets octets, by column parity and half.
template <int kOctets>
struct Potentials {
  float4 unary[2][2][kOctets];  // of a clamped pixel: 0 or what it is clamped to
  float4 right[2][2][kOctets];
  float4 down[2][2][kOctets];
};

template <int kOctets>
__device__ __forceinline__ Octet octet_of(const float4 (&halves)[2][kOctets], int32_t i) {
  const float4 low = halves[0][i], high = halves[1][i];
  return Octet{{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

// Local fields of the octet of parity kParity at a place, summed in the order unary, right, left,
// down, up. states(parity, octet) gives the eight states there, and beside(parity, octet) the one
// of its site 0 (parity 0) or 7 (parity 1), as +-1 or means.
template <int kParity, int kOctets, typename States, typename Beside>
__device__ __forceinline__ Octet octet_field(const Potentials<kOctets>& p, const Place& at,
                                             States states, Beside beside) {
  Octet f = octet_of(p.unary[kParity], at.self);
  const Octet centre = states(1 - kParity, at.self);
  const Octet right = octet_of(p.right[kParity], at.self);
  const Octet other = octet_of(p.right[1 - kParity], at.self);
  if (kParity == 0) {
    // Columns 16 k + 2 s: right of each is site s of the odd columns, left of it site s - 1.
    const float4 last = p.right[1][1][at.before];
    const float left_state = beside(1, at.before);
    for (int s = 0; s < 8; ++s) {
      f.site[s] = fused(right.site[s], centre.site[s], f.site[s]);
      f.site[s] = fused(s == 0 ? last.w : other.site[(s + 7) % 8],
                        s == 0 ? left_state : centre.site[(s + 7) % 8], f.site[s]);
    }
  } else {
    // Columns 16 k + 2 s + 1: left of each is site s of the even columns, right of it site s + 1.
    const float right_state = beside(0, at.after);
    for (int s = 0; s < 8; ++s) {
      f.site[s] = fused(right.site[s], s == 7 ? right_state : centre.site[(s + 1) % 8], f.site[s]);
      f.site[s] = fused(other.site[s], centre.site[s], f.site[s]);
    }
  }
  const Octet below = states(kParity, at.down);
  const Octet coupling_below = octet_of(p.down[kParity], at.self);
  for (int s = 0; s < 8; ++s) {
    f.site[s] = fused(coupling_below.site[s], below.site[s], f.site[s]);
  }
  const Octet above = states(kParity, at.up);
  const Octet coupling_above = octet_of(p.down[kParity], at.up);
  for (int s = 0; s < 8; ++s) {
    f.site[s] = fused(coupling_above.site[s], above.site[s], f.site[s]);
  }
  return f;
}

// Calls visit(octet, site, image row or -1, image column of the site of parity 0) for every site of
// the arrays, empty rows included, by the threads of a block: eight consecutive threads take the
// sites of an octet, and all threads of a warp call it together; `octet` is -1 for those with none.
template <typename Visit>
__device__ __forceinline__ void for_each_site(const Window& w, Visit visit) {
  const int32_t sites = 8 * w.octets(), threads = static_cast<int32_t>(blockDim.x);
#pragma unroll 1
  for (int32_t first = 0; first < sites; first += threads) {
    const int32_t i = first + static_cast<int32_t>(threadIdx.x);
    const int32_t octet = i < sites ? i / 8 : 0, site = i % 8;
    const int32_t slot = w.divide(octet), block = octet - slot * w.blocks;
    const bool empty = slot == 0 || slot > 2 * w.half;
    visit(i < sites ? octet : -1, site, empty ? -1 : image_row(w, row_of(w, octet)),
          16 * image_block(w, block) + 2 * site);
  }
}

// The number of one site among the floats of an octet's halves.
template <int kOctets>
__device__ __forceinline__ float& site_of(float4 (&halves)[2][kOctets], int32_t octet,
                                          int32_t site) {
  return reinterpret_cast<float*>(&halves[site / 4][octet])[site % 4];
}

// Reads the potentials of a window. A warp reads 64 consecutive pixels of a row at a time.
template <bool kKeepClamps, int kOctets>
__device__ __forceinline__ void load_potentials(const Grid& g, const Window& w,
                                                Potentials<kOctets>& p) {
  const int64_t columns = right_columns(g), rows = down_rows(g);
  for_each_site(w, [&](int32_t octet, int32_t site, int32_t y, int32_t x0) {
    if (octet < 0) return;
#pragma unroll
    for (int32_t parity = 0; parity < 2; ++parity) {
      const int32_t x = x0 + parity;
      const bool inside = y >= 0 && x >= 0 && x < g.width;
      const int64_t pixel = static_cast<int64_t>(y) * g.width + x;
      const float unary = inside ? g.unary[pixel] : 0.0f;
      const float right = inside && x < columns ? g.right[y * columns + x] : 0.0f;
      const float down = inside && y < rows ? g.down[pixel] : 0.0f;
      site_of(p.unary[parity], octet, site) = is_clamp(unary) && !kKeepClamps ? 0.0f : flush(unary);
      site_of(p.right[parity], octet, site) = flush(right);
      site_of(p.down[parity], octet, site) = flush(down);
    }
  });
}

}  // namespace device
}  // namespace mrfmask
