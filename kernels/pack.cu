// Brings potentials, states and means into the order of packed_images.h and back.
//
// Launch: ceil(2 * packed_octets / threads) blocks an image (an item for states), no shared memory.
// A thread reads and writes the sites of its own octet: no race.
#include "gibbs_octets.h"
#include "packed_images.h"

namespace mrfmask {
namespace device {

extern "C" {

// packed: images x kRuns x octets, where a clamped pixel keeps its unary if keep_clamps, else has
// 0; given: images x 2 x octets, a bit a site.
__global__ void pack_potentials(const float* unary, const float* right, const float* down,
                                int32_t height, int32_t width, int32_t periodic,
                                int32_t keep_clamps, float4* packed, uint8_t* given) {
  const Batch batch{unary, right, down, height, width, periodic, 1};
  const PackedPlace at = packed_place(height, width);
  if (at.octet < 0) return;
  const Grid g = batch.image(at.image);
  const int64_t columns = right_columns(g), rows = down_rows(g);
  uint32_t clamped = 0;
  for (int32_t half = 0; half < 2; ++half) {
    float potentials[3][4];
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      const int32_t x = at.x0 + 2 * (4 * half + i);
      const bool inside = at.y >= 0 && x < width;
      const int64_t pixel = static_cast<int64_t>(at.y) * width + x;
      const float u = inside ? g.unary[pixel] : 0.0f;
      if (is_clamp(u)) clamped |= 1u << (4 * half + i);
      potentials[0][i] = is_clamp(u) && !keep_clamps ? 0.0f : flush(u);
      potentials[1][i] = inside && x < columns ? flush(g.right[at.y * columns + x]) : 0.0f;
      potentials[2][i] = inside && at.y < rows ? flush(g.down[pixel]) : 0.0f;
    }
#pragma unroll
    for (int32_t kind = 0; kind < 3; ++kind) {
      const int64_t run = at.image * kRuns + 4 * kind + 2 * at.parity + half;
      const float* v = potentials[kind];
      packed[run * at.octets + at.octet] = float4{v[0], v[1], v[2], v[3]};
    }
  }
  given[(2 * at.image + at.parity) * at.octets + at.octet] = static_cast<uint8_t>(clamped);
}

// states: items x 2 x octets; what lies outside the image is on.
__global__ void pack_states(const uint8_t* mask, int32_t height, int32_t width, uint2* states) {
  const PackedPlace at = packed_place(height, width);
  if (at.octet < 0) return;
  const uint8_t* state = mask + at.image * height * width;
  uint2 bytes{kAllOn, kAllOn};
#pragma unroll
  for (int32_t s = 0; s < 8; ++s) {
    const int32_t x = at.x0 + 2 * s;
    if (at.y >= 0 && x < width && !state[static_cast<int64_t>(at.y) * width + x]) {
      (s < 4 ? bytes.x : bytes.y) |= 0x80u << (8 * (s % 4));
    }
  }
  states[(2 * at.image + at.parity) * at.octets + at.octet] = bytes;
}

// Back again; and adds the tallies (a byte a site, as states) to the counts and sets them to 0.
__global__ void unpack_states(const uint2* states, int32_t height, int32_t width, uint8_t* mask,
                              uint2* tally, int32_t* counts) {
  const PackedPlace at = packed_place(height, width);
  if (at.octet < 0 || at.y < 0) return;
  const int64_t i = (2 * at.image + at.parity) * at.octets + at.octet;
  const uint2 bytes = states[i], ons = tally[i];
  tally[i] = uint2{0, 0};
  const int64_t row = (at.image * height + at.y) * width;
#pragma unroll
  for (int32_t s = 0; s < 8; ++s) {
    const int32_t x = at.x0 + 2 * s;
    if (x >= width) break;
    const int32_t shift = 8 * (s % 4);
    mask[row + x] = ((s < 4 ? bytes.x : bytes.y) >> shift & 0x80u) == 0;
    counts[row + x] += static_cast<int32_t>((s < 4 ? ons.x : ons.y) >> shift & 0xffu);
  }
}

// means: images x 2 x 2 x octets, by column parity and half; 0 outside the image.
__global__ void pack_means(const float* mean, int32_t height, int32_t width, float4* means) {
  const PackedPlace at = packed_place(height, width);
  if (at.octet < 0) return;
  for (int32_t half = 0; half < 2; ++half) {
    float site[4];
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      const int32_t x = at.x0 + 2 * (4 * half + i);
      const int64_t pixel = (at.image * height + at.y) * width + x;
      site[i] = at.y >= 0 && x < width ? mean[pixel] : 0.0f;
    }
    means[((2 * at.image + at.parity) * 2 + half) * at.octets + at.octet] =
        float4{site[0], site[1], site[2], site[3]};
  }
}

// Back again. Each image's means are in the first or the second of two arrays: which[image].
__global__ void unpack_means(const float4* first, const float4* second, const int32_t* which,
                             int32_t height, int32_t width, float* mean) {
  const PackedPlace at = packed_place(height, width);
  if (at.octet < 0 || at.y < 0) return;
  const float4* means = which[at.image] == 0 ? first : second;
  for (int32_t half = 0; half < 2; ++half) {
    const float4 v = means[((2 * at.image + at.parity) * 2 + half) * at.octets + at.octet];
    const float site[4] = {v.x, v.y, v.z, v.w};
    const int64_t row = (at.image * height + at.y) * width;
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      const int32_t x = at.x0 + 2 * (4 * half + i);
      if (x < width) mean[row + x] = site[i];
    }
  }
}

}  // extern "C"

}  // namespace device
}  // namespace mrfmask
