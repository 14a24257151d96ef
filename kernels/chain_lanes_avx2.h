// Thirty-two chains at once with AVX2. Same operations as chain_lanes_avx512.h.
#pragma once

#include "lanes_avx2.h"

namespace mrfmask {
namespace MRFMASK_ISA {

struct ChainLanes {
  static constexpr int64_t chains = 32;
  using Index = __m256i;  // one byte a chain

  struct Decision {
    uint32_t on;
    uint32_t undecided;
  };

  struct Sums {
    __m256i part[8] = {};
    void store(int64_t* to) const {
      for (int i = 0; i < 8; ++i) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 4 * i), part[i]);
      }
    }
  };

  // to[32 * site + ...] holds the chains 0-7, 16-23, 8-15, 24-31: the order in which decide()
  // unpacks thresholds.
  MRFMASK_LANES static void draw_block(uint32_t block, uint32_t step, Stream s,
                                       const RoundKeys& keys, Purpose purpose, uint16_t* to) {
    const __m256i lanes = _mm256_set_epi64x(20, 16, 4, 0);
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t offset[4] = {0, 2, 1, 3};
      __m256i words[4][4];
      for (int pair = 0; pair < 2; ++pair) {
        __m256i x[2], y[2], z[2], w[2];
        for (int i = 0; i < 2; ++i) {
          x[i] = _mm256_set1_epi64x(block);
          y[i] = _mm256_set1_epi64x(step);
          z[i] = _mm256_set1_epi64x(s.stream);
          const __m256i chain = _mm256_add_epi64(
              lanes, _mm256_set1_epi64x(s.chain + 8 * half + offset[2 * pair + i]));
          w[i] = _mm256_add_epi64(_mm256_slli_epi64(chain, 3), _mm256_set1_epi64x(purpose));
        }
        Lanes::philox_rounds(x, y, z, w, keys);
        for (int i = 0; i < 2; ++i) {
          words[0][2 * pair + i] = x[i];
          words[1][2 * pair + i] = y[i];
          words[2][2 * pair + i] = z[i];
          words[3][2 * pair + i] = w[i];
        }
      }
      for (int k = 0; k < 4; ++k) {
        const __m256i* v = words[k];
        const __m256i even = _mm256_blend_epi32(v[0], _mm256_slli_epi64(v[1], 32), 0xAA);
        const __m256i odd = _mm256_blend_epi32(v[2], _mm256_slli_epi64(v[3], 32), 0xAA);
        const __m256i upper = _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xAA);
        const __m256i lower = _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xAA);
        __m256i* site = reinterpret_cast<__m256i*>(to) + half;
        _mm256_store_si256(site + 2 * k, upper);
        _mm256_store_si256(site + 2 * (k + 4), lower);
      }
    }
  }

  MRFMASK_LANES static uint32_t coins(const uint16_t* draws) {
    const __m256i* r = reinterpret_cast<const __m256i*>(draws);
    return static_cast<uint32_t>(
        _mm256_movemask_epi8(_mm256_packs_epi16(_mm256_load_si256(r), _mm256_load_si256(r + 1))));
  }

  // Byte c is all ones where bit c of `states` is set.
  MRFMASK_LANES static __m256i spread(uint32_t states) {
    const __m256i byte_of =
        _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
    const __m256i bytes =
        _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int32_t>(states)), byte_of);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  }

  MRFMASK_LANES static Index index(uint32_t right, uint32_t left, uint32_t down, uint32_t up) {
    const auto weighted = [](uint32_t states, char weight) {
      return _mm256_and_si256(spread(states), _mm256_set1_epi8(weight));
    };
    return _mm256_or_si256(_mm256_or_si256(weighted(right, 1), weighted(left, 2)),
                           _mm256_or_si256(weighted(down, 4), weighted(up, 8)));
  }

  MRFMASK_LANES static Decision decide(const uint16_t* thresholds, Index i, const uint16_t* draws) {
    const __m256i bytes_apart =
        _mm256_set_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0, 15, 13, 11, 9, 7, 5,
                        3, 1, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m256i table = _mm256_shuffle_epi8(
        _mm256_load_si256(reinterpret_cast<const __m256i*>(thresholds)), bytes_apart);
    // Low bytes of all sixteen thresholds in both halves, then high bytes.
    const __m256i low = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(table, 0x88), i);
    const __m256i high = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(table, 0xDD), i);
    const __m256i* r = reinterpret_cast<const __m256i*>(draws);
    __m256i off[2], tie[2];
    for (int half = 0; half < 2; ++half) {
      const __m256i bar =
          half == 0 ? _mm256_unpacklo_epi8(low, high) : _mm256_unpackhi_epi8(low, high);
      const __m256i draw = _mm256_load_si256(r + half);
      off[half] = _mm256_cmpeq_epi16(_mm256_max_epu16(draw, bar), draw);
      tie[half] = _mm256_cmpeq_epi16(draw, bar);
    }
    const auto bits = [](const __m256i* halves) {
      return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(halves[0], halves[1])));
    };
    return Decision{~bits(off), bits(tie)};
  }

  // Eight chains' bits, turned into sign bits where off.
  MRFMASK_LANES static __m256 off_signs(uint32_t on, int eight) {
    const __m256i bit = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
    const __m256i byte = _mm256_set1_epi32(static_cast<int32_t>(on >> (8 * eight)));
    const __m256i off = _mm256_cmpeq_epi32(_mm256_and_si256(byte, bit), _mm256_setzero_si256());
    return _mm256_and_ps(_mm256_castsi256_ps(off), _mm256_set1_ps(-0.0f));
  }

  MRFMASK_LANES static void add_fields(const Lanes::Float (&fields)[2], Index i, uint32_t on,
                                       Sums& sums) {
    const __m256 low = fields[0], high = fields[1];
    alignas(32) uint8_t bytes[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), i);
    for (int eight = 0; eight < 4; ++eight) {
      const __m256i number = _mm256_cvtepu8_epi32(
          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + 8 * eight)));
      const __m256 is_high = _mm256_castsi256_ps(_mm256_slli_epi32(number, 28));
      const __m256 field = _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, number),
                                            _mm256_permutevar8x32_ps(high, number), is_high);
      const __m256 term = _mm256_xor_ps(field, off_signs(on, eight));
      __m256i* part = sums.part + 2 * eight;
      part[0] = _mm256_add_epi64(part[0], Lanes::low_whole(term));
      part[1] = _mm256_add_epi64(part[1], Lanes::high_whole(term));
    }
  }

  MRFMASK_LANES static void add_value(int64_t value, uint32_t on, Sums& sums) {
    const __m256i all = _mm256_set1_epi64x(value), bit = _mm256_set_epi64x(8, 4, 2, 1);
    for (int four = 0; four < 8; ++four) {
      const __m256i bits = _mm256_set1_epi64x(static_cast<int64_t>(on >> (4 * four)));
      const __m256i lanes = _mm256_cmpeq_epi64(_mm256_and_si256(bits, bit), bit);
      sums.part[four] = _mm256_add_epi64(sums.part[four], _mm256_and_si256(all, lanes));
    }
  }
};

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
