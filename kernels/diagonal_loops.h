// The CPU loops over one image with diagonals; as loops.h.
#pragma once

#include "diagonal_grid.h"
#include "loops.h"

namespace mrfmask {

// All chains of a run one after the other. equal: counts of the diagonals as those of right and
// down in GibbsOutput.
struct DiagonalGibbsOutput {
  GibbsOutput all;
  int64_t* down_right_equal;
  int64_t* down_left_equal;
};

struct DiagonalLoops {
  const char* name;
  int64_t (*workspace_bytes)(const Grid& grid);
  void (*gibbs)(const DiagonalGrid& grid, const GibbsRun& run, const DiagonalGibbsOutput& out,
                Poll poll);
  void (*mean_field)(const DiagonalGrid& grid, const MeanFieldRun& run, MeanFieldOutput& out,
                     Poll poll);
};

// As find_loops.
const DiagonalLoops* find_diagonal_loops(const char* name = nullptr);

}  // namespace mrfmask
