// Counting bits: how often was each bit of each word set?
//
// Counts stand upright: plane k of a word holds bit k of the counts of its 32 bits, so one adder
// of words serves 32 counts. Seven additions are kept aside and then added at once, which moves a
// quarter of the memory. Reference: Warren, "Hacker's delight", section 5-1 (carry-save adders).
#pragma once

#include "portable.h"

namespace mrfmask {
namespace MRFMASK_ISA {

struct BitCounts {
  static constexpr int64_t kAside = 7;
  static constexpr int64_t kPlanes = 8;
  static constexpr int64_t kMost = 252;  // additions before a drain, a multiple of kAside
  static constexpr int64_t kChunk = 16;  // words whose planes lie together

  uint32_t* planes;  // kPlanes * words
  uint32_t* aside;   // kAside * words
  int64_t words;     // a multiple of kChunk
  int64_t waiting;   // additions that are kept aside

  static int64_t size(int64_t words) { return (kPlanes + kAside) * words; }

  // No counts yet; `memory` has room for size(words).
  static BitCounts on(uint32_t* memory, int64_t words) {
    memset(memory, 0, static_cast<size_t>(size(words)) * sizeof *memory);
    return BitCounts{memory, memory + kPlanes * words, words, 0};
  }

  // Adds 1 to the count of every bit that is set.
  void add(const uint32_t* from) {
    memcpy(aside + waiting * words, from, static_cast<size_t>(words) * sizeof *from);
    if (++waiting == kAside) settle();
  }

  // Adds what is kept aside.
  void settle() {
    const size_t unused = static_cast<size_t>((kAside - waiting) * words);
    memset(aside + waiting * words, 0, unused * sizeof *aside);
    for (int64_t first = 0; first < words; first += kChunk) {
      uint32_t* plane = planes + kPlanes * first;
      for (int64_t i = 0; i < kChunk; ++i) {
        const uint32_t* w = aside + first + i;
        const Sum a = full(w[0], w[words], w[2 * words]);
        const Sum b = full(w[3 * words], w[4 * words], w[5 * words]);
        const Sum ones = full(a.bit, b.bit, w[6 * words]);
        const Sum twos = full(a.carry, b.carry, ones.carry);
        Sum sum = full(plane[i], ones.bit, 0);
        plane[i] = sum.bit;
        sum = full(plane[kChunk + i], twos.bit, sum.carry);
        plane[kChunk + i] = sum.bit;
        sum = full(plane[2 * kChunk + i], twos.carry, sum.carry);
        plane[2 * kChunk + i] = sum.bit;
        for (int64_t k = 3; k < kPlanes; ++k) {
          sum = full(plane[k * kChunk + i], sum.carry, 0);
          plane[k * kChunk + i] = sum.bit;
        }
      }
    }
    waiting = 0;
  }

  // Bit k of the counts of a word.
  uint32_t plane(int64_t k, int64_t word) const {
    return planes[kPlanes * (word / kChunk * kChunk) + k * kChunk + word % kChunk];
  }

  // The count of bit i of all words.
  int32_t count(int64_t i) const {
    uint32_t total = 0;
    for (int64_t k = 0; k < kPlanes; ++k) total |= (plane(k, i / 32) >> (i % 32) & 1u) << k;
    return static_cast<int32_t>(total);
  }

  void clear() {
    memset(planes, 0, static_cast<size_t>(kPlanes * words) * sizeof *planes);
    waiting = 0;
  }

 private:
  struct Sum {
    uint32_t bit, carry;
  };
  static Sum full(uint32_t a, uint32_t b, uint32_t c) {
    return Sum{a ^ b ^ c, (a & b) | (c & (a ^ b))};
  }
};

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
