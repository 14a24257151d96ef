// Eight pixels at once with AVX2 and FMA. Same operations as lanes_avx512.h.
#pragma once

#include <immintrin.h>

#include "philox.h"

namespace mrfmask {
namespace MRFMASK_ISA {

struct Lanes {
  static constexpr int width = 8;
  static constexpr int group_blocks = 4;  // blocks whose draws are made together
  // This order of blocks makes the unpacking in draw_groups come out in pixel order.
  static constexpr int kBlockOrder[group_blocks] = {0, 2, 1, 3};
  using Float = __m256;
  using Int = __m256i;
  using Mask = __m256;

  static Float load(const float* from) { return _mm256_loadu_ps(from); }
  static Int load(const uint32_t* from) {
    return _mm256_load_si256(reinterpret_cast<const Int*>(from));
  }
  static void store(float* to, Float a) { _mm256_storeu_ps(to, a); }
  // Whole numbers below 2^16.
  static void store(uint16_t* to, Float a) {
    const Int whole = _mm256_cvtps_epi32(a);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(to),
        _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1)));
  }
  static Float set(float a) { return _mm256_set1_ps(a); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float fused(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float magnitude(Float a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  // -|a|
  static Float negative(Float a) { return _mm256_or_ps(a, _mm256_set1_ps(-0.0f)); }
  // a with its sign turned where b is negative.
  static Float times_sign(Float a, Float b) {
    return _mm256_xor_ps(a, _mm256_and_ps(b, _mm256_set1_ps(-0.0f)));
  }
  // a * 2^n, where the low bits of `shifted` hold n.
  static Float scale(Float a, Float shifted) {
    return _mm256_castsi256_ps(_mm256_add_epi32(
        _mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
  }
  static Mask less(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static Mask exclusive_or(Mask a, Mask b) { return _mm256_xor_ps(a, b); }
  // a and not b.
  static Mask without(Mask a, Mask b) { return _mm256_andnot_ps(b, a); }
  static bool any(Mask a) { return _mm256_movemask_ps(a) != 0; }
  static unsigned bits(Mask a) { return static_cast<unsigned>(_mm256_movemask_ps(a)); }
  static void store_bits(uint8_t* to, Mask a) { *to = static_cast<uint8_t>(bits(a)); }
  static Float select(Mask where, Float yes, Float no) { return _mm256_blendv_ps(no, yes, where); }
  // The upper halves of the draws, all bits turned round where asked, as numbers.
  static Float upper_half(Int draws, Mask turned) {
    const Int t = _mm256_xor_si256(draws, _mm256_castps_si256(turned));
    return _mm256_cvtepi32_ps(_mm256_srli_epi32(t, 16));
  }

  // Numbers rounded to whole ones, see whole().
  static Int whole(__m128 a) {
    const __m256d shift = _mm256_set1_pd(0x1.8p52);
    return _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(_mm256_cvtps_pd(a), shift)),
                            _mm256_castpd_si256(shift));
  }
  static Int low_whole(Float a) { return whole(_mm256_castps256_ps128(a)); }
  static Int high_whole(Float a) { return whole(_mm256_extractf128_ps(a, 1)); }

  // A sum of numbers that are rounded to whole ones.
  struct Sum {
    Int low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
    void add(Float a) {
      low = _mm256_add_epi64(low, low_whole(a));
      high = _mm256_add_epi64(high, high_whole(a));
    }
    int64_t total() const {
      alignas(32) int64_t lanes[4];
      _mm256_store_si256(reinterpret_cast<Int*>(lanes), _mm256_add_epi64(low, high));
      return lanes[0] + lanes[1] + lanes[2] + lanes[3];
    }
  };

  // The ten rounds of Philox on n vectors of counters at once: one alone would wait for each round.
  // Words live in the low halves of 64-bit lanes; multiplications ignore the high halves.
  template <int n>
  MRFMASK_LANES static void philox_rounds(Int (&x)[n], Int (&y)[n], Int (&z)[n], Int (&w)[n],
                                          const RoundKeys& keys) {
    const Int multiplier0 = _mm256_set1_epi64x(0xD2511F53u),
              multiplier1 = _mm256_set1_epi64x(0xCD9E8D57u);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const Int key0 = _mm256_set1_epi64x(static_cast<int64_t>(keys.first[round]));
      const Int key1 = _mm256_set1_epi64x(static_cast<int64_t>(keys.second[round]));
#pragma GCC unroll 8
      for (int i = 0; i < n; ++i) {
        const Int a = _mm256_mul_epu32(x[i], multiplier0), b = _mm256_mul_epu32(z[i], multiplier1);
        x[i] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(b, 32), y[i]), key0);
        z[i] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(a, 32), w[i]), key1);
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
          _mm256_cvtepu32_epi64(_mm_load_si128(reinterpret_cast<const __m128i*>(blocks) + i));
      x[i] = _mm256_add_epi64(number, _mm256_set1_epi64x(add));
      y[i] = _mm256_set1_epi64x(step);
      z[i] = _mm256_set1_epi64x(s.stream);
      w[i] = _mm256_set1_epi64x(s.chain * 8u + purpose);
    }
    philox_rounds(x, y, z, w, keys);
    // Four words serve eight sites: their upper halves the first four, their lower the others.
    const Int shift = _mm256_set_epi32(16, 16, 16, 16, 0, 0, 0, 0);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const Int xy = _mm256_blend_epi32(x[i], _mm256_slli_epi64(y[i], 32), 0xAA);
      const Int zw = _mm256_blend_epi32(z[i], _mm256_slli_epi64(w[i], 32), 0xAA);
      const Int blocks[2] = {_mm256_unpacklo_epi64(xy, zw), _mm256_unpackhi_epi64(xy, zw)};
      for (int k = 0; k < 2; ++k) {
        const Int first = _mm256_permute2x128_si256(blocks[k], blocks[k], 0x00);
        const Int second = _mm256_permute2x128_si256(blocks[k], blocks[k], 0x11);
        Int* at = reinterpret_cast<Int*>(to) + 4 * i + 2 * k;
        _mm256_store_si256(at, _mm256_sllv_epi32(first, shift));
        _mm256_store_si256(at + 1, _mm256_sllv_epi32(second, shift));
      }
    }
  }
};

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
