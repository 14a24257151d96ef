// Thirty-two chains at once with AVX-512. Same operations as chain_lanes_avx2.h.
#pragma once

#include "lanes_avx512.h"

namespace mrfmask {
namespace MRFMASK_ISA {

struct ChainLanes {
  static constexpr int64_t chains = 32;
  using Index = __m512i;  // neighbours' states of each chain as a number, 0..15

  // The state of a site that decides nothing yet, and the chains that need their lower 16 bits.
  struct Decision {
    uint32_t on;
    uint32_t undecided;
  };

  // Sums of whole numbers, one a chain.
  struct Sums {
    __m512i part[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                       _mm512_setzero_si512()};
    void store(int64_t* to) const {
      for (int i = 0; i < 4; ++i) _mm512_storeu_si512(to + 8 * i, part[i]);
    }
  };

  // The 16-bit draws of the chains s.chain .. s.chain + 31 for the sites of a block:
  // to[32 * site + chain].
  MRFMASK_LANES static void draw_block(uint32_t block, uint32_t step, Stream s,
                                       const RoundKeys& keys, Purpose purpose, uint16_t* to) {
    // The order of chains that the packing of halves below turns into 0, 1, 2...
    const __m512i lanes = _mm512_set_epi64(28, 24, 20, 16, 12, 8, 4, 0);
    const uint32_t offset[4] = {0, 2, 1, 3};
    __m512i x[4], y[4], z[4], w[4];
    for (int i = 0; i < 4; ++i) {
      x[i] = _mm512_set1_epi64(block);
      y[i] = _mm512_set1_epi64(step);
      z[i] = _mm512_set1_epi64(s.stream);
      const __m512i chain = _mm512_add_epi64(lanes, _mm512_set1_epi64(s.chain + offset[i]));
      w[i] = _mm512_add_epi64(_mm512_slli_epi64(chain, 3), _mm512_set1_epi64(purpose));
    }
    Lanes::philox_rounds(x, y, z, w, keys);
    const __m512i* words[4] = {x, y, z, w};
    for (int k = 0; k < 4; ++k) {
      const __m512i* v = words[k];
      const __m512i even = _mm512_mask_blend_epi32(0xAAAA, v[0], _mm512_slli_epi64(v[1], 32));
      const __m512i odd = _mm512_mask_blend_epi32(0xAAAA, v[2], _mm512_slli_epi64(v[3], 32));
      const __m512i upper = _mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_srli_epi32(even, 16), odd);
      const __m512i lower = _mm512_mask_blend_epi16(0xAAAAAAAA, even, _mm512_slli_epi32(odd, 16));
      _mm512_store_si512(to + chains * k, upper);
      _mm512_store_si512(to + chains * (k + 4), lower);
    }
  }

  // The highest bits of the draws of a site.
  MRFMASK_LANES static uint32_t coins(const uint16_t* draws) {
    return _mm512_movepi16_mask(_mm512_load_si512(draws));
  }

  MRFMASK_LANES static Index index(uint32_t right, uint32_t left, uint32_t down, uint32_t up) {
    __m512i i = _mm512_maskz_set1_epi16(right, 1);
    i = _mm512_mask_add_epi16(i, left, i, _mm512_set1_epi16(2));
    i = _mm512_mask_add_epi16(i, down, i, _mm512_set1_epi16(4));
    return _mm512_mask_add_epi16(i, up, i, _mm512_set1_epi16(8));
  }

  MRFMASK_LANES static Decision decide(const uint16_t* thresholds, Index i, const uint16_t* draws) {
    const __m512i table =
        _mm512_castsi256_si512(_mm256_load_si256(reinterpret_cast<const __m256i*>(thresholds)));
    const __m512i bar = _mm512_permutexvar_epi16(i, table);
    const __m512i r = _mm512_load_si512(draws);
    return Decision{_mm512_cmplt_epu16_mask(r, bar), _mm512_cmpeq_epi16_mask(r, bar)};
  }

  // sums += field where on, -field where off.
  MRFMASK_LANES static void add_fields(const Lanes::Float (&fields)[1], Index i, uint32_t on,
                                       Sums& sums) {
    const __m512 table = fields[0], sign = _mm512_set1_ps(-0.0f);
    for (int half = 0; half < 2; ++half) {
      const __m256i narrow =
          half == 0 ? _mm512_castsi512_si256(i) : _mm512_extracti64x4_epi64(i, 1);
      const __m512 field = _mm512_permutexvar_ps(_mm512_cvtepu16_epi32(narrow), table);
      const __mmask16 off = static_cast<__mmask16>(~on >> (16 * half));
      const __m512 term = _mm512_mask_xor_ps(field, off, field, sign);
      __m512i* part = sums.part + 2 * half;
      part[0] = _mm512_add_epi64(part[0], Lanes::low_whole(term));
      part[1] = _mm512_add_epi64(part[1], Lanes::high_whole(term));
    }
  }

  // sums += value where on.
  MRFMASK_LANES static void add_value(int64_t value, uint32_t on, Sums& sums) {
    const __m512i all = _mm512_set1_epi64(value);
    for (int k = 0; k < 4; ++k) {
      const __mmask8 lanes = static_cast<__mmask8>(on >> (8 * k));
      sums.part[k] = _mm512_mask_add_epi64(sums.part[k], lanes, sums.part[k], all);
    }
  }
};

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
