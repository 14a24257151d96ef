// Tables for many chains of an image: what a pixel does in each of the sixteen states of its
// neighbours, at one inverse temperature.
//
// bars hold, for each state, the number of upper sixteen bits of a draw that turn the pixel on
// whatever the lower ones are, at most 65535: less than the bar is on, more is off, and only the
// bar itself needs the lower bits (turns_on is monotone). fields are the local fields, for the
// draws that need them and for energies. A state has bit 0 for the right neighbour on, 1 left, 2
// down, 3 up.
#pragma once

#include "gibbs.h"
#include "packed_images.h"

namespace mrfmask {
namespace device {

struct ChainTables {
  const float* unaries;  // images x 2 x octets x 8: 0 for a clamped pixel
  const float* fields;   // images x 2 x octets x 8 x 16
  const uint16_t* bars;  // like fields
  int64_t octets;        // of an image, in the order of packed_images.h

  __device__ __forceinline__ ChainTables of_image(int64_t image) const {
    return ChainTables{unaries + image * 16 * octets, fields + image * 256 * octets,
                       bars + image * 256 * octets, octets};
  }
  // Where the table of an octet begins, in entries.
  __device__ __forceinline__ int64_t octet(int32_t parity, int32_t i) const {
    return (parity * octets + i) * 128;
  }
  // Of site s when its neighbours' states are bits 4 s .. 4 s + 3.
  __device__ __forceinline__ uint32_t bar(int64_t table, int32_t s, uint32_t neighbours) const {
    return bars[table + 16 * s + (neighbours >> (4 * s) & 15u)];
  }
  __device__ __forceinline__ float field(int64_t table, int32_t s, uint32_t neighbours) const {
    return fields[table + 16 * s + (neighbours >> (4 * s) & 15u)];
  }
  // The same, for a whole warp at one octet: every lane reads one of the sixteen entries, the same
  // one for all sites, and the lanes exchange them. Only the low four bits of a lane's number
  // count.
  __device__ __forceinline__ uint32_t warp_bar(int64_t table, int32_t s,
                                               uint32_t neighbours) const {
    const uint32_t own = bars[table + (lane() & 15) + 16 * s];
    return __shfl_sync(kAllLanes, own, static_cast<int32_t>(neighbours >> (4 * s)), 16);
  }
  __device__ __forceinline__ float warp_field(int64_t table, int32_t s, uint32_t neighbours) const {
    const float own = fields[table + (lane() & 15) + 16 * s];
    return __shfl_sync(kAllLanes, own, static_cast<int32_t>(neighbours >> (4 * s)), 16);
  }
  __device__ __forceinline__ float unary(int64_t table, int32_t s) const {
    return unaries[table / 16 + s];
  }
};

// Bits 4 s .. 4 s + 3 of the result are bit s of the four bytes.
__device__ __forceinline__ uint32_t nibbles(uint32_t right, uint32_t left, uint32_t down,
                                            uint32_t up) {
  // A matrix of 4 rows of 8 bits, transposed by exchanging blocks of 4, 2 and 1 columns.
  uint32_t low = (right & 15u) | (left & 15u) << 8 | (down & 15u) << 16 | (up & 15u) << 24;
  uint32_t high = right >> 4 | (left >> 4) << 8 | (down >> 4) << 16 | (up >> 4) << 24;
  uint32_t bits[2] = {low, high};
#pragma unroll
  for (int32_t i = 0; i < 2; ++i) {
    uint32_t b = bits[i];  // byte k: row k of a 4 x 4 matrix
    b = (b | b >> 4) & 0x00ff00ffu;
    b = (b | b >> 8) & 0x0000ffffu;  // nibble k: row k
    uint32_t t = (b ^ b >> 3) & 0x0a0au;
    b ^= t ^ t << 3;
    t = (b ^ b >> 6) & 0x00ccu;
    bits[i] = b ^ t ^ t << 6;
  }
  return bits[0] | bits[1] << 16;
}

}  // namespace device
}  // namespace mrfmask
