// What every kernel needs to give the same bits on every machine: fixed-width types, explicit
// fused multiply-add, exact exp2 and flushing, from +, -, *, /, fma and integers only (no libm
// approximations). Compiles as C++17 and as CUDA device code.
//
// Build with -ffp-contract=off (nvcc: --fmad=false): only the fma calls written here may fuse.
#pragma once

#ifdef __CUDACC_RTC__
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#endif

#ifdef __CUDACC__
#define MRFMASK_HD __host__ __device__ __forceinline__
#else
#define MRFMASK_HD inline
#endif

// For functions on vectors, which must stay in registers: a call would spill them.
#define MRFMASK_LANES __attribute__((always_inline)) inline

// Each instruction set compiles these headers in a namespace of its own, so that the linker can
// never merge an inline function of the AVX-512 build into the baseline one. For the same reason
// the loops use no templates of the standard library.
#ifndef MRFMASK_ISA
#define MRFMASK_ISA portable
#endif

namespace mrfmask {
namespace MRFMASK_ISA {

MRFMASK_HD uint32_t float_bits(float value) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(value);
#else
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

MRFMASK_HD float bits_float(uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

// a * b + c with one rounding: exact by IEEE 754, hence the same everywhere.
MRFMASK_HD float fused(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return fmaf(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

// The 64-bit product of two 32-bit numbers.
MRFMASK_HD uint64_t wide_product(uint32_t a, uint32_t b) {
#ifdef __CUDA_ARCH__
  // One instruction; the compiler's own choice for a * b adds a high word of 0.
  uint64_t product;
  asm("mul.wide.u32 %0, %1, %2;" : "=l"(product) : "r"(a), "r"(b));
  return product;
#else
  return static_cast<uint64_t>(a) * b;
#endif
}

MRFMASK_HD float magnitude(float value) { return bits_float(float_bits(value) & 0x7fffffffu); }

// +0 for |value| < 2^-55. Potentials that remain are multiples of 2^-78 and means of mean field are
// multiples of 2^-48, so every sum of their products is 0 or at least 2^-126: no subnormal number
// ever arises, and a device or a host that flushes subnormals to zero computes the same bits.
MRFMASK_HD float flush(float value) { return magnitude(value) < 0x1p-55f ? 0.0f : value; }

// 2^-distance for distance >= 0 (+inf allowed), at least 2^-100.
//
// Round to the nearest integer by adding 1.5 * 2^23, evaluate a degree-6 minimax polynomial on
// [-0.5, 0.5] (relative error 2e-9 before rounding, about 1e-7 after), insert the exponent.
// The fraction is first rounded to a multiple of 2^-22 (by adding 3): one step of it then moves the
// result by two units in the last place, more than rounding can, so the function is monotone.
MRFMASK_HD float exp2_negative(float distance) {
  const float x = -(distance < 100.0f ? distance : 100.0f);
  const float shifted = x + 12582912.0f;
  const float fraction = ((x - (shifted - 12582912.0f)) + 3.0f) - 3.0f;
  float p = 0x1.41fbbcp-13f;
  p = fused(p, fraction, 0x1.5f3e54p-10f);
  p = fused(p, fraction, 0x1.3b2d4cp-7f);
  p = fused(p, fraction, 0x1.c6aee8p-5f);
  p = fused(p, fraction, 0x1.ebfbdcp-3f);
  p = fused(p, fraction, 0x1.62e43p-1f);
  p = fused(p, fraction, 1.0f);
  return bits_float(float_bits(p) + (float_bits(shifted) << 23));
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
