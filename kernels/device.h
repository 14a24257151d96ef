// What kernels take from the device besides the language: shared memory and the few operations that
// C++ has no name for. A block has at most 1024 threads, in whole warps of 32, along x.
//
// Kernels use dynamic shared memory only (the launch says how much, see launch.h), so that a test
// can fill it with rubbish first and watch its end. tests/native/cuda_shim.h gives all of this on a
// CPU.
#pragma once

#include "portable.h"

// Compute capabilities whose blocks get less than 100 kB of it: no builds for larger windows.
#if defined(__CUDA_ARCH__) && \
    (__CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200)
#define MRFMASK_SMALL_SHARED_MEMORY
#endif

// One declaration for every kernel: 16-byte aligned.
extern __shared__ uint4 shared_memory[];

namespace mrfmask {
namespace device {

constexpr uint32_t kAllLanes = 0xffffffffu;

__device__ __forceinline__ int32_t lane() { return static_cast<int32_t>(threadIdx.x & 31u); }
__device__ __forceinline__ int32_t warp() { return static_cast<int32_t>(threadIdx.x >> 5); }
__device__ __forceinline__ int32_t warps() { return static_cast<int32_t>(blockDim.x >> 5); }

// Sum over the lanes of a warp; every lane gets it.
__device__ __forceinline__ int64_t warp_sum(int64_t value) {
  for (int32_t distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}

// Sum over the first `count` <= 32 numbers; every lane gets it.
__device__ __forceinline__ int64_t warp_sum_of(const int64_t* numbers, int32_t count) {
  return warp_sum(lane() < count ? numbers[lane()] : int64_t{0});
}

// Largest over the lanes of a warp of numbers that are not negative (their bits sort as they do).
__device__ __forceinline__ float warp_max(float value) {
  return __uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(value)));
}

// 2^x with a relative error below 2^-21: good enough to reject or accept where exact arithmetic
// could not say otherwise, never for a result.
__device__ __forceinline__ float exp2_roughly(float x) {
#ifdef MRFMASK_CUDA_SHIM
  return shim::exp2_roughly(x);
#else
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

// 1 / x for 1 <= x <= 2, right to one unit in the last place.
__device__ __forceinline__ float reciprocal_roughly(float x) {
#ifdef MRFMASK_CUDA_SHIM
  return shim::reciprocal_roughly(x);
#else
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

}  // namespace device
}  // namespace mrfmask
