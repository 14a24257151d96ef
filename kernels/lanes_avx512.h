// Sixteen pixels at once with AVX-512 (F, BW, DQ, VL). Same operations as lanes_avx2.h.
#pragma once

#include <immintrin.h>

#include "philox.h"

namespace mrfmask {
namespace MRFMASK_ISA {

struct Lanes {
  static constexpr int width = 16;
  static constexpr int group_blocks = 8;  // blocks whose draws are made together
  // This order of blocks makes the unpacking in draw_groups come out in pixel order.
  static constexpr int kBlockOrder[group_blocks] = {0, 4, 1, 5, 2, 6, 3, 7};
  using Float = __m512;
  using Int = __m512i;
  using Mask = __mmask16;

  static Float load(const float* from) { return _mm512_loadu_ps(from); }
  static Int load(const uint32_t* from) { return _mm512_load_si512(from); }
  static void store(float* to, Float a) { _mm512_storeu_ps(to, a); }
  // Whole numbers below 2^16.
  static void store(uint16_t* to, Float a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a)));
  }
  static Float set(float a) { return _mm512_set1_ps(a); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  static Float fused(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float magnitude(Float a) { return _mm512_abs_ps(a); }
  // -|a|
  static Float negative(Float a) { return _mm512_or_ps(a, _mm512_set1_ps(-0.0f)); }
  // a with its sign turned where b is negative.
  static Float times_sign(Float a, Float b) {
    return _mm512_xor_ps(a, _mm512_and_ps(b, _mm512_set1_ps(-0.0f)));
  }
  // a * 2^n, where the low bits of `shifted` hold n.
  static Float scale(Float a, Float shifted) {
    return _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(a), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
  }
  static Mask less(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static Mask exclusive_or(Mask a, Mask b) { return _kxor_mask16(a, b); }
  // a and not b.
  static Mask without(Mask a, Mask b) { return _kandn_mask16(b, a); }
  static bool any(Mask a) { return a != 0; }
  static unsigned bits(Mask a) { return a; }
  static void store_bits(uint8_t* to, Mask a) { memcpy(to, &a, sizeof a); }
  static Float select(Mask where, Float yes, Float no) {
    return _mm512_mask_blend_ps(where, no, yes);
  }
  // The upper halves of the draws, all bits turned round where asked, as numbers.
  static Float upper_half(Int draws, Mask turned) {
    const Int all = _mm512_set1_epi32(-1);
    const Int t = _mm512_mask_xor_epi32(draws, turned, draws, all);
    return _mm512_cvtepi32_ps(_mm512_srli_epi32(t, 16));
  }

  // Numbers rounded to whole ones, see whole().
  static Int low_whole(Float a) { return _mm512_cvtps_epi64(_mm512_castps512_ps256(a)); }
  static Int high_whole(Float a) { return _mm512_cvtps_epi64(_mm512_extractf32x8_ps(a, 1)); }

  // A sum of numbers that are rounded to whole ones.
  struct Sum {
    Int low = _mm512_setzero_si512(), high = _mm512_setzero_si512();
    void add(Float a) {
      low = _mm512_add_epi64(low, low_whole(a));
      high = _mm512_add_epi64(high, high_whole(a));
    }
    int64_t total() const { return _mm512_reduce_add_epi64(_mm512_add_epi64(low, high)); }
  };

  // The ten rounds of Philox on n vectors of counters at once: one alone would wait for each round.
  // Words live in the low halves of 64-bit lanes; multiplications ignore the high halves.
  template <int n>
  MRFMASK_LANES static void philox_rounds(Int (&x)[n], Int (&y)[n], Int (&z)[n], Int (&w)[n],
                                          const RoundKeys& keys) {
    const Int multiplier0 = _mm512_set1_epi64(0xD2511F53u),
              multiplier1 = _mm512_set1_epi64(0xCD9E8D57u);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const Int key0 = _mm512_set1_epi64(static_cast<int64_t>(keys.first[round]));
      const Int key1 = _mm512_set1_epi64(static_cast<int64_t>(keys.second[round]));
#pragma GCC unroll 8
      for (int i = 0; i < n; ++i) {
        const Int a = _mm512_mul_epu32(x[i], multiplier0), b = _mm512_mul_epu32(z[i], multiplier1);
        x[i] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(b, 32), y[i], key0, 0x96);
        z[i] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(a, 32), w[i], key1, 0x96);
        y[i] = b;
        w[i] = a;
      }
    }
  }

  // The draws of two groups of blocks, eight sites a block: `to` gets one word a site in site
  // order, the draw in its upper half. blocks: their numbers less `add`, each group in kBlockOrder.
  MRFMASK_LANES static void draw_groups(const uint32_t* blocks, uint32_t add, uint32_t step,
                                        Stream s, const RoundKeys& keys, Purpose purpose,
                                        uint32_t* to) {
    Int x[2], y[2], z[2], w[2];
    for (int i = 0; i < 2; ++i) {
      const Int number =
          _mm512_cvtepu32_epi64(_mm256_load_si256(reinterpret_cast<const __m256i*>(blocks) + i));
      x[i] = _mm512_add_epi64(number, _mm512_set1_epi64(add));
      y[i] = _mm512_set1_epi64(step);
      z[i] = _mm512_set1_epi64(s.stream);
      w[i] = _mm512_set1_epi64(s.chain * 8u + purpose);
    }
    philox_rounds(x, y, z, w, keys);
    // Four words serve eight sites: their upper halves the first four, their lower the others.
    const Int shift = _mm512_set_epi32(16, 16, 16, 16, 0, 0, 0, 0, 16, 16, 16, 16, 0, 0, 0, 0);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const Int xy = _mm512_mask_blend_epi32(0xAAAA, x[i], _mm512_slli_epi64(y[i], 32));
      const Int zw = _mm512_mask_blend_epi32(0xAAAA, z[i], _mm512_slli_epi64(w[i], 32));
      const Int blocks[2] = {_mm512_unpacklo_epi64(xy, zw), _mm512_unpackhi_epi64(xy, zw)};
      for (int k = 0; k < 2; ++k) {
        const Int first = _mm512_shuffle_i32x4(blocks[k], blocks[k], 0x50);
        const Int second = _mm512_shuffle_i32x4(blocks[k], blocks[k], 0xFA);
        _mm512_store_si512(to + (4 * i + 2 * k) * width, _mm512_sllv_epi32(first, shift));
        _mm512_store_si512(to + (4 * i + 2 * k + 1) * width, _mm512_sllv_epi32(second, shift));
      }
    }
  }
};

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
