// What every run starts from on the CPU, and what counts of pairs it keeps.
#pragma once

#include "gibbs.h"
#include "loops.h"
#include "mean_field.h"

namespace mrfmask {
namespace MRFMASK_ISA {

// Sets the mask of one chain to its start.
inline void start_chain(const Grid& g, const GibbsRun& run, uint8_t* mask) {
  const Stream stream{run.key, run.stream, run.chain};
  LastBlock last;
  for (int32_t y = 0; y < g.height; ++y) {
    for (int32_t parity = 0; parity < 2; ++parity) {
      for (int32_t x = parity; x < g.width; x += 2) {
        const int64_t i = static_cast<int64_t>(y) * g.width + x;
        if (run.start_given && !is_clamp(g.unary[i])) continue;
        mask[i] = gibbs_start(g, y, x, stream, last);
      }
    }
  }
}

// Sets means to their start: the one that is given, or those of the model without couplings.
// Clamped pixels are exact at once.
inline void start_means(const Grid& g, const MeanFieldRun& run, float* mean) {
  const float rate = log2_odds_rate(run.beta);
  for (int64_t i = 0; i < static_cast<int64_t>(g.height) * g.width; ++i) {
    const bool clamped = is_clamp(g.unary[i]);
    mean[i] = run.start_given && !clamped
                  ? mean_field_start(mean[i])
                  : mean_from_log2_odds(clamped ? g.unary[i] : rate * flush(g.unary[i]));
  }
}

// Adds 1 where the two pixels of a coupling are equal.
inline void count_equal(const Grid& g, const uint8_t* mask, int64_t* right_equal,
                        int64_t* down_equal) {
  const int64_t columns = right_columns(g);
  for (int64_t y = 0; y < g.height; ++y) {
    const uint8_t* here = mask + y * g.width;
    for (int64_t x = 0; x < columns; ++x) {
      right_equal[y * columns + x] += here[x] == here[x + 1 < g.width ? x + 1 : 0];
    }
  }
  for (int64_t y = 0; y < down_rows(g); ++y) {
    const uint8_t* here = mask + y * g.width;
    const uint8_t* below = mask + (y + 1 < g.height ? y + 1 : 0) * g.width;
    for (int64_t x = 0; x < g.width; ++x) down_equal[y * g.width + x] += here[x] == below[x];
  }
}

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
