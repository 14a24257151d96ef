// The mean-field update of eight pixels by one thread, the bits of mean_field.h.
//
// A clamped pixel keeps its +-inf as unary: its field is infinite and its mean +-1 by itself.
#pragma once

#include "mean_field.h"
#include "octets.h"

namespace mrfmask {
namespace device {

// numerator / denominator, correctly rounded as IEEE 754 says, for the quotients of
// mean_from_log2_odds: numerator = 1 - e and denominator = 1 + e, rounded. No operand or result is
// subnormal, so one Newton step on a reciprocal that is right to one unit in the last place, and
// one on the quotient, give the rounded quotient (Markstein, "Computation of elementary functions
// on the IBM RISC System/6000 processor", 1990) but for one e, 1 - 2^-23, which exp2_negative never
// gives. tests/native/test_quotient.cpp tries what it gives.
__device__ __forceinline__ float mean_quotient(float numerator, float denominator) {
  const float rough = reciprocal_roughly(denominator);
  const float r = fused(fused(-denominator, rough, 1.0f), rough, rough);
  const float q = numerator * r;
  return fused(fused(-denominator, q, numerator), r, q);
}

__device__ __forceinline__ float mean_of_odds(float log2_odds) {
  const float e = exp2_negative(magnitude(log2_odds));
  const float mean = mean_quotient(1.0f - e, 1.0f + e);
  return log2_odds < 0.0f ? -mean : mean;
}

// Base-2 log odds from a field that is +-inf for a clamped pixel; 0 * inf would be NaN.
__device__ __forceinline__ float odds_of_field(float log2_rate, float field) {
  if (log2_rate == 0.0f) return is_clamp(field) ? field : 0.0f;
  return log2_rate * field;
}

// A window of an image: 256 bytes an octet, and the changes. mean_field_shared_bytes() in launch.h
// says so too.
template <int kOctets>
struct MeanFieldMemory {
  Potentials<kOctets> potentials;
  float4 mean[2][2][kOctets];  // by column parity and half
  float change[2][32];         // a number a warp, for two sweeps in turn
};

// Updates one octet; returns the largest change of a mean.
template <int kParity, int kOctets>
__device__ __forceinline__ float update_means(MeanFieldMemory<kOctets>& m, const Place& at,
                                              float log2_rate) {
  const Octet field = octet_field<kParity>(
      m.potentials, at, [&m](int32_t p, int32_t i) { return octet_of(m.mean[p], i); },
      [&m](int32_t p, int32_t i) { return p == 0 ? m.mean[0][0][i].x : m.mean[1][1][i].w; });
  const Octet old = octet_of(m.mean[kParity], at.self);
  Octet mean;
  float change = 0.0f;
#pragma unroll
  for (int32_t s = 0; s < 8; ++s) {
    mean.site[s] = mean_of_odds(odds_of_field(log2_rate, field.site[s]));
    change = fmaxf(change, fabsf(mean.site[s] - old.site[s]));
  }
  m.mean[kParity][0][at.self] = float4{mean.site[0], mean.site[1], mean.site[2], mean.site[3]};
  m.mean[kParity][1][at.self] = float4{mean.site[4], mean.site[5], mean.site[6], mean.site[7]};
  return change;
}

}  // namespace device
}  // namespace mrfmask
