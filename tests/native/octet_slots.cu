// One update of an octet in a loop, for counting its instructions (tests/test_cuda_build.py): what
// a thread does in a half-sweep of the kernels, without their barriers.
#include "gibbs_chains.cu"
#include "mean_field_octets.h"

namespace mrfmask {
namespace device {

template <int kParity, bool kKept>
__device__ __forceinline__ void gibbs_slots(const Place* place, Stream stream, float log2_rate,
                                            int32_t sweeps, int64_t* out) {
  auto& memory = *reinterpret_cast<GibbsMemory<714>*>(shared_memory);
  const GibbsWindow<714> w{memory, Window{}, stream, log2_rate};
  const Place at = place[threadIdx.x];
  int64_t sum = 0;
#pragma unroll 1
  for (int32_t i = 0; i < sweeps; ++i) {
    sum += update_octet<kParity, kKept>(w, at, static_cast<uint32_t>(i), log2_rate, kParity == 1);
    __syncthreads();
  }
  out[threadIdx.x] = sum;
}

template <int kParity, bool kKept>
__device__ __forceinline__ void chains_slots(const Place* place, Stream stream, float log2_rate,
                                             int32_t sweeps, int64_t* out) {
  auto& memory = *reinterpret_cast<ChainsMemory<1400>*>(shared_memory);
  stream.chain = threadIdx.x;
  const float* numbers = reinterpret_cast<const float*>(out);
  const ChainTables tables{numbers, numbers, reinterpret_cast<const uint16_t*>(out), sweeps};
  const ChainsWindow<1400> w{memory, Window{}, stream, tables, log2_rate, log2_rate};
  const Place at = place[threadIdx.x / 32];
  int64_t sum = 0;
#pragma unroll 1
  for (int32_t i = 0; i < sweeps; ++i) {
    sum += update_chains<kParity, kKept>(w, at, static_cast<uint32_t>(i), kParity == 1);
    __syncthreads();
  }
  out[threadIdx.x] = sum;
}

template <int kParity>
__device__ __forceinline__ void mean_field_slots(const Place* place, float log2_rate,
                                                 int32_t sweeps, int64_t* out) {
  auto& memory = *reinterpret_cast<MeanFieldMemory<906>*>(shared_memory);
  const Place at = place[threadIdx.x];
  float moved = 0.0f;
#pragma unroll 1
  for (int32_t i = 0; i < sweeps; ++i) {
    moved = fmaxf(moved, update_means<kParity>(memory, at, log2_rate));
    __syncthreads();
  }
  out[threadIdx.x] = static_cast<int64_t>(moved);
}

#define MRFMASK_SLOTS(name, call)                                                              \
  extern "C" __global__ void __launch_bounds__(512)                                            \
      name(const Place* place, uint64_t key, uint32_t number, float log2_rate, int32_t sweeps, \
           int64_t* out) {                                                                     \
    const Stream stream{key, number, 0};                                                       \
    static_cast<void>(stream);                                                                 \
    call;                                                                                      \
  }

MRFMASK_SLOTS(burn_in_even, (gibbs_slots<0, false>(place, stream, log2_rate, sweeps, out)))
MRFMASK_SLOTS(burn_in_odd, (gibbs_slots<1, false>(place, stream, log2_rate, sweeps, out)))
MRFMASK_SLOTS(kept_even, (gibbs_slots<0, true>(place, stream, log2_rate, sweeps, out)))
MRFMASK_SLOTS(kept_odd, (gibbs_slots<1, true>(place, stream, log2_rate, sweeps, out)))
MRFMASK_SLOTS(chains_burn_in_even, (chains_slots<0, false>(place, stream, log2_rate, sweeps, out)))
MRFMASK_SLOTS(chains_kept_odd, (chains_slots<1, true>(place, stream, log2_rate, sweeps, out)))
MRFMASK_SLOTS(mean_field_even, (mean_field_slots<0>(place, log2_rate, sweeps, out)))
MRFMASK_SLOTS(mean_field_odd, (mean_field_slots<1>(place, log2_rate, sweeps, out)))

}  // namespace device
}  // namespace mrfmask
