// Random bits for a piece of a stripe, made ahead of their use: the rounds of Philox and the
// updates of pixels then each keep the processor busy, instead of waiting for each other.
#pragma once

#include "vector_math.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// Draws for kPiece slots at a time, in a buffer that stays in the nearest cache.
struct Draws {
  static constexpr int64_t kPiece = 4096;

  uint32_t* words;   // kPiece
  uint32_t* blocks;  // number of the block of every eight slots of an even row stripe

  // Both in words, whole vectors; see number_blocks.
  static int64_t block_words(const PackedShape& shape) {
    return round_up(shape.slots(0), kPiece) / kBlock;
  }
  static int64_t size(const PackedShape& shape) { return kPiece + block_words(shape); }
};

// Numbers the blocks of the even rows, as draw_address does, in the order in which draw_groups
// takes them. Odd rows have the numbers of the even ones above them plus those of a row.
inline Draws number_blocks(const PackedShape& shape, uint32_t* memory) {
  const Draws draws{memory, memory + Draws::kPiece};
  const int64_t row_blocks = shape.stride() / kBlock, used = (shape.width + 15) / 16;
  for (int64_t i = 0; i < Draws::block_words(shape); ++i) {
    const int64_t at =
        i / Lanes::group_blocks * Lanes::group_blocks + Lanes::kBlockOrder[i % Lanes::group_blocks];
    draws.blocks[i] = static_cast<uint32_t>(at / row_blocks * 2 * used + at % row_blocks);
  }
  return draws;
}

// Fills the buffer for the slots of a stripe from `first`, a multiple of kPiece, up to `end`.
inline void fill_draws(const Draws& draws, const PackedShape& shape, int stripe, Stream stream,
                       const RoundKeys& keys, uint32_t sweep, int64_t first, int64_t end) {
  const uint32_t row_blocks = (static_cast<uint32_t>(shape.width) + 15) / 16;
  const uint32_t add = row_parity(stripe) ? row_blocks : 0;
  const uint32_t step = 2 * sweep + static_cast<uint32_t>(column_parity(stripe));
  const uint32_t* blocks = draws.blocks + first / kBlock;
  for (int64_t at = 0; at < end - first; at += 2 * kBlock * Lanes::group_blocks) {
    Lanes::draw_groups(blocks + at / kBlock, add, step, stream, keys, kHeatBathHigh,
                       draws.words + at);
  }
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
