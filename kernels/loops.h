// The CPU loops over one image: what they are given, what they write, and the choice among their
// builds (one per instruction set) at run time. They allocate nothing.
#pragma once

#include "grid.h"

// A macro's value as a string: the name of an instruction set.
#define MRFMASK_STRING_OF(name) #name
#define MRFMASK_STRING(name) MRFMASK_STRING_OF(name)

namespace mrfmask {

// Called between sweeps; may throw to stop the run.
struct Poll {
  void (*call)(void*);
  void* state;
  __attribute__((always_inline)) void operator()() const { call(state); }
};

struct GibbsRun {
  const double* beta;  // burn_in + sweeps values, the inverse temperature of each sweep
  int64_t burn_in;
  int64_t sweeps;
  uint32_t sweep_offset;  // number of the first sweep, so that a run can be continued
  uint64_t key;
  uint32_t stream;
  uint32_t chain;  // the first one
  int64_t chains;  // how many, at most Loops::chains_at_once
  bool start_given;
  bool keep_pairs;  // whether to count equal neighbours
};

// What a run writes. mask holds the start (if given) and then the state after the last sweep.
struct GibbsOutput {
  uint8_t* mask;         // chains x height x width
  int32_t* counts;       // chains x height x width: kept sweeps in which the pixel was on
  double* energies;      // chains x sweeps: energy after each kept sweep without the model's
                         // constant, from float32 fields (energy_units.h)
  uint8_t* best_mask;    // chains x height x width, or null: the kept state of lowest energy
  int64_t* right_equal;  // like right: raised by the kept states, over all chains, in which the two
                         // pixels were equal; unused without keep_pairs
  int64_t* down_equal;   // like down
  void* workspace;       // workspace_bytes(grid, chains) bytes, aligned to 64
};

// One chain of masks with a given number of pixels on.
struct KawasakiRun {
  double beta;
  int64_t burn_in;
  int64_t sweeps;
  uint32_t sweep_offset;
  uint64_t key;
  uint32_t stream;
  uint32_t chain;
  bool start_given;
  int64_t count;  // pixels on, clamped ones included; a start that is given has so many
  bool keep_pairs;
};

// As GibbsOutput, of one chain.
struct KawasakiOutput {
  uint8_t* mask;
  int32_t* counts;
  double* energies;
  int64_t* right_equal;
  int64_t* down_equal;
  int64_t exchanges;  // moves of kept sweeps that exchanged two pixels
  void* workspace;    // kawasaki_bytes(grid) bytes, aligned to 64
};

struct MeanFieldRun {
  double beta;
  int64_t max_sweeps;
  float tolerance;
  bool start_given;
};

struct MeanFieldOutput {
  float* mean;      // height x width: holds the start (if given), then the result
  int64_t sweeps;   // sweeps done
  float change;     // largest change of a pixel's mean in the last sweep
  void* workspace;  // workspace_bytes(grid) bytes, aligned to 64
};

// The loops as one instruction set compiles them.
struct Loops {
  const char* name;
  int64_t chains_at_once;  // that one run may have; 1 where there is no vector code for more
  int64_t (*workspace_bytes)(const Grid& grid, int64_t chains);
  void (*gibbs)(const Grid& grid, const GibbsRun& run, const GibbsOutput& out, Poll poll);
  void (*mean_field)(const Grid& grid, const MeanFieldRun& run, MeanFieldOutput& out, Poll poll);
  int64_t (*kawasaki_bytes)(const Grid& grid);
  void (*kawasaki)(const Grid& grid, const KawasakiRun& run, KawasakiOutput& out, Poll poll);
  bool (*heat_bath_on)(float log2_odds, uint32_t r);
  // One Kawasaki move of a mask, from three given draws: for tests.
  bool (*exchange)(const Grid& grid, double beta, const uint32_t* draws, uint8_t* mask,
                   void* workspace);
};

// The best loops that this processor can run, or the named ones ("avx512", "avx2", "baseline");
// null if this build or this processor does not have them. All give the same bits.
const Loops* find_loops(const char* name = nullptr);

}  // namespace mrfmask
