// Energies as sums of whole numbers, so that no order of summation can change a bit of them.
//
// Every term (a unary or a local field, times a state) is rounded to a multiple of one unit an
// image, a power of two chosen so that a term has at most 51 bits and the sum of all at most 62.
#pragma once

#include "grid.h"

namespace mrfmask {
namespace MRFMASK_ISA {

struct EnergyUnits {
  float per_energy;  // units in an energy of 1, a power of two
  double energy;     // of one unit
};

#ifndef __CUDACC_RTC__
// For the host: the bits of the largest finite size of `count` potentials, or `largest`.
inline uint32_t largest_bits(const float* from, int64_t count, uint32_t largest) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = float_bits(from[i]) & 0x7fffffffu;
    const uint32_t finite = bits < 0x7f800000u ? bits : 0u;
    largest = finite > largest ? finite : largest;
  }
  return largest;
}

inline uint32_t largest_potential_bits(const Grid& g) {
  const int64_t height = g.height, width = g.width;
  uint32_t largest = float_bits(0x1p-55f);  // smaller potentials count 0
  largest = largest_bits(g.unary, height * width, largest);
  largest = largest_bits(g.right, height * right_columns(g), largest);
  return largest_bits(g.down, down_rows(g) * width, largest);
}

// Terms are sums of at most five potentials, of which `largest` has the bits of the largest.
inline EnergyUnits units_for(const Grid& g, uint32_t largest) {
  int32_t pixel_bits = 0;
  while ((int64_t{1} << pixel_bits) < static_cast<int64_t>(g.height) * g.width) ++pixel_bits;
  const int32_t spare = pixel_bits > 11 ? pixel_bits - 11 : 0;
  // All terms are below 2^(exponent + 4).
  const int32_t exponent = static_cast<int32_t>(largest >> 23) - 127;
  const int32_t unit = exponent + 4 - 51 + spare;
  return EnergyUnits{bits_float(static_cast<uint32_t>(127 - unit) << 23),
                     __builtin_ldexp(1.0, unit)};
}

inline EnergyUnits energy_units(const Grid& g) { return units_for(g, largest_potential_bits(g)); }

#endif

// The nearest whole number, |value| <= 2^51, ties to even.
MRFMASK_HD int64_t whole(float value) {
#ifdef __CUDA_ARCH__
  return __float2ll_rn(value);
#else
  // Numbers about 1.5 * 2^52 have a last place of 1.
  const double shifted = static_cast<double>(value) + 0x1.8p52, shift = 0x1.8p52;
  int64_t high, low;
  memcpy(&high, &shifted, sizeof high);
  memcpy(&low, &shift, sizeof low);
  return high - low;
#endif
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
