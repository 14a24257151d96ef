// Random bits for some rows of one colour, made ahead of their use: the rounds of Philox and the
// updates of pixels then each keep the processor busy, instead of waiting for each other.
#pragma once

#include "vector_math.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// A buffer that stays in the nearest cache.
struct DrawBuffer {
  static constexpr int64_t kWords = 4096;  // 16 kB

  uint32_t* words;
  int64_t row_words;  // one word a site, whole groups
  int64_t rows;       // rows that fit

  static int64_t row_size(const PackedShape& s) {
    return (s.sites() + Lanes::group - 1) / Lanes::group * Lanes::group;
  }
  // Words to allocate: at least one row, and room for the unused half of a last pair.
  static int64_t size(const PackedShape& s) {
    return (row_size(s) > kWords ? row_size(s) : kWords) + Lanes::group;
  }
};

inline DrawBuffer make_draw_buffer(const PackedShape& s, uint32_t* words) {
  const int64_t row = DrawBuffer::row_size(s);
  return DrawBuffer{words, row, row > DrawBuffer::kWords ? 1 : DrawBuffer::kWords / row};
}

// Fills the buffer for rows first_row .. first_row + rows - 1 of a colour.
inline void fill_draws(const DrawBuffer& buffer, const PackedShape& s, int colour, Stream stream,
                       const RoundKeys& keys, uint32_t sweep, int64_t first_row, int64_t rows) {
  const uint32_t blocks_per_row = (static_cast<uint32_t>(s.width) + 15) / 16;
  const int64_t groups_per_row = buffer.row_words / Lanes::group;
  const int64_t groups = rows * groups_per_row;
  for (int64_t first = 0; first < groups; first += 2) {
    uint32_t block[2], step[2];
    uint32_t* out[2];
    for (int64_t i = 0; i < 2; ++i) {
      const int64_t row = (first + i) / groups_per_row, group = (first + i) % groups_per_row;
      const uint32_t y = static_cast<uint32_t>(first_row + row);
      block[i] = y * blocks_per_row + static_cast<uint32_t>(group * (Lanes::group / 8));
      step[i] = 2 * sweep + ((y + static_cast<uint32_t>(colour)) & 1u);
      out[i] = buffer.words + (first + i) * Lanes::group;
    }
    Lanes::draw_groups(block, step, stream, keys, kHeatBathHigh, out);
  }
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
