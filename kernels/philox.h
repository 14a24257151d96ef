// Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011. A draw is a pure function of (key, counter), so results
// cannot depend on the number of threads, the split of a batch, the tiling or the device.
#pragma once

#include "portable.h"

namespace mrfmask {
namespace MRFMASK_ISA {

struct Philox4 {
  uint32_t word[4];
};

MRFMASK_HD uint32_t word_of(const Philox4& words, uint32_t index) {
#ifdef __CUDA_ARCH__
  // Registers cannot be indexed, so an index would send the words through memory.
  const uint32_t even = index & 2u ? words.word[2] : words.word[0];
  const uint32_t odd = index & 2u ? words.word[3] : words.word[1];
  return index & 1u ? odd : even;
#else
  return words.word[index];
#endif
}

MRFMASK_HD Philox4 philox(Philox4 counter, uint64_t key) {
  uint32_t key0 = static_cast<uint32_t>(key);
  uint32_t key1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = wide_product(0xD2511F53u, c0);
    const uint64_t b = wide_product(0xCD9E8D57u, c2);
    c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(b);
    c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(a);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return Philox4{{c0, c1, c2, c3}};
}

// The keys of the ten rounds, widened for vector code; the same for all draws of an image.
struct RoundKeys {
  uint64_t first[10];
  uint64_t second[10];
};

MRFMASK_HD RoundKeys round_keys(uint64_t key) {
  RoundKeys keys;
  uint32_t first = static_cast<uint32_t>(key), second = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    keys.first[round] = first;
    keys.second[round] = second;
    first += 0x9E3779B9u;
    second += 0xBB67AE85u;
  }
  return keys;
}

// What a draw is for: draws of different purposes never share a counter.
enum Purpose : uint32_t {
  kHeatBathHigh = 0,  // upper 16 bits of a heat-bath draw
  kHeatBathLow = 1,   // lower 16 bits, looked at once in about 2^16 updates
  kStart = 2,         // state before the first sweep
  kExact = 3,         // independent exact samples
  kExchange = 4,      // which two pixels a move picks, and whether they are exchanged
};

// One stream of draws: an image (key, stream) and a chain.
struct Stream {
  uint64_t key;
  uint32_t stream;
  uint32_t chain;  // below 2^29
};

MRFMASK_HD Philox4 draw(Stream s, uint32_t block, uint32_t step, Purpose purpose) {
  return philox(Philox4{{block, step, s.stream, s.chain * 8u + purpose}}, s.key);
}

// Where pixel (y, x) finds its 16 bits. A block serves the eight pixels of one column parity among
// sixteen neighbours of a row: these are updated together, one counter for all of them.
struct DrawAddress {
  uint32_t block;  // index of the sixteen pixels
  uint32_t step;   // 2 * sweep + column parity
  uint32_t word;   // 0..3
  uint32_t shift;  // 0 or 16
};

MRFMASK_HD DrawAddress draw_address(uint32_t y, uint32_t x, uint32_t width, uint32_t sweep) {
  const uint32_t blocks_per_row = (width + 15u) / 16u;
  const uint32_t slot = (x & 15u) >> 1;
  return DrawAddress{y * blocks_per_row + (x >> 4), 2u * sweep + (x & 1u), slot & 3u,
                     slot < 4u ? 16u : 0u};
}

MRFMASK_HD uint32_t draw16(Stream s, DrawAddress at, Purpose purpose) {
  return (word_of(draw(s, at.block, at.step, purpose), at.word) >> at.shift) & 0xffffu;
}

// The block of the last draw, kept: pixels that are updated one after the other share blocks.
struct LastBlock {
  uint32_t block = 0;
  uint32_t step = 0;
  Purpose purpose = kStart;
  bool valid = false;
  Philox4 words = {};
};

MRFMASK_HD uint32_t draw16(Stream s, DrawAddress at, Purpose purpose, LastBlock& last) {
  if (!last.valid || last.block != at.block || last.step != at.step || last.purpose != purpose) {
    last = LastBlock{at.block, at.step, purpose, true, draw(s, at.block, at.step, purpose)};
  }
  return (word_of(last.words, at.word) >> at.shift) & 0xffffu;
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
