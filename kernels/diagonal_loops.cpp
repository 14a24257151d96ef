// Compiled once per instruction set, with MRFMASK_ISA naming its namespace.
#include "diagonal_loops.h"

#include "diagonal_gibbs.h"
#include "diagonal_mean_field.h"
#include "starts.h"
#ifdef __AVX2__
#include "packed_diagonal_gibbs.h"
#include "packed_diagonal_mean_field.h"
#endif

namespace mrfmask {
namespace MRFMASK_ISA {
namespace {

// The rows or columns of one class: every second from the first, or only the last.
struct Lines {
  int32_t first, end;

  Lines(int32_t wanted, int32_t classes, int32_t side)
      : first(wanted == 2 ? side - 1 : wanted), end(wanted < 2 && classes == 3 ? side - 1 : side) {}
};

// Visits every pixel, colour by colour, and row by row within one.
template <typename Visit>
void for_each_in_colours(const Grid& g, Visit visit) {
  const int32_t columns = column_classes(g);
  for (int32_t c = 0; c < num_diagonal_colours(g); ++c) {
    const Lines in_y(c / columns, row_classes(g), g.height), in_x(c % columns, columns, g.width);
    for (int32_t y = in_y.first; y < in_y.end; y += 2) {
      for (int32_t x = in_x.first; x < in_x.end; x += 2) visit(y, x);
    }
  }
}

// A chain of one image, pixel by pixel, with its state in the mask.
struct PlainChain {
  const DiagonalGrid& d;
  Stream stream;
  EnergyUnits units;
  uint8_t* mask;

  PlainChain(const DiagonalGrid& grid, const GibbsRun& run, uint8_t* start, void*)
      : d(grid),
        stream{run.key, run.stream, run.chain},
        units(diagonal_energy_units(grid)),
        mask(start) {}

  void do_sweep(uint32_t number, float log2_rate) {
    LastBlock last;
    for_each_in_colours(d.grid, [&](int32_t y, int32_t x) {
      mask[static_cast<int64_t>(y) * d.grid.width + x] =
          diagonal_gibbs_update(d, mask, y, x, log2_rate, number, stream, last);
    });
  }

  void read(uint8_t*) const {}

  double energy() const {
    int64_t total = 0;
    for (int32_t y = 0; y < d.grid.height; ++y) {
      for (int32_t x = 0; x < d.grid.width; ++x) {
        total += diagonal_energy_term(d, units.per_energy, mask, y, x);
      }
    }
    return -static_cast<double>(total) * units.energy;
  }
};

void count_equal_diagonals(const Grid& g, const DiagonalGibbsOutput& out) {
  const int64_t columns = right_columns(g);
  for (int64_t y = 0; y < down_rows(g); ++y) {
    const uint8_t* here = out.all.mask + y * g.width;
    const uint8_t* below = out.all.mask + (y + 1 < g.height ? y + 1 : 0) * g.width;
    for (int64_t x = 0; x < columns; ++x) {
      const int64_t next = x + 1 < g.width ? x + 1 : 0;
      out.down_right_equal[y * columns + x] += here[x] == below[next];
      out.down_left_equal[y * columns + x] += here[next] == below[x];
    }
  }
}

// One chain from its start; the caller zeroes the counts.
template <typename Chain>
void run_chain(const DiagonalGrid& d, const GibbsRun& run, const DiagonalGibbsOutput& output,
               Poll poll) {
  const GibbsOutput& out = output.all;
  const int64_t pixels = static_cast<int64_t>(d.grid.height) * d.grid.width;
  start_chain(d.grid, run, out.mask);
  Chain chain(d, run, out.mask, out.workspace);
  double best = 0.0;
  for (int64_t sweep = 0; sweep < run.burn_in + run.sweeps; ++sweep) {
    chain.do_sweep(run.sweep_offset + static_cast<uint32_t>(sweep),
                   log2_odds_rate(run.beta[sweep]));
    poll();
    if (sweep < run.burn_in) continue;
    const int64_t kept = sweep - run.burn_in;
    chain.read(out.mask);
    for (int64_t i = 0; i < pixels; ++i) out.counts[i] += out.mask[i];
    if (run.keep_pairs) {
      count_equal(d.grid, out.mask, out.right_equal, out.down_equal);
      count_equal_diagonals(d.grid, output);
    }
    out.energies[kept] = chain.energy();
    if (out.best_mask && (kept == 0 || out.energies[kept] < best)) {
      best = out.energies[kept];
      memcpy(out.best_mask, out.mask, static_cast<size_t>(pixels));
    }
  }
  chain.read(out.mask);
}

void gibbs_image(const DiagonalGrid& d, const GibbsRun& run, const DiagonalGibbsOutput& out,
                 Poll poll) {
  const int64_t pixels = static_cast<int64_t>(d.grid.height) * d.grid.width;
  memset(out.all.counts, 0, static_cast<size_t>(run.chains * pixels) * sizeof *out.all.counts);
  for (int64_t c = 0; c < run.chains; ++c) {
    GibbsRun one = run;
    one.chain += static_cast<uint32_t>(c);
    DiagonalGibbsOutput to = out;
    to.all.mask += c * pixels;
    to.all.counts += c * pixels;
    to.all.energies += c * run.sweeps;
    if (to.all.best_mask) to.all.best_mask += c * pixels;
#ifdef __AVX2__
    if (can_pack(d.grid)) {
      run_chain<PackedDiagonalChain>(d, one, to, poll);
      continue;
    }
#endif
    run_chain<PlainChain>(d, one, to, poll);
  }
}

void mean_field_image(const DiagonalGrid& d, const MeanFieldRun& run, MeanFieldOutput& out,
                      Poll poll) {
  const Grid& g = d.grid;
  start_means(g, run, out.mean);
  out.sweeps = 0;
  out.change = static_cast<int64_t>(g.height) * g.width > 0 ? INFINITY : 0.0f;
#ifdef __AVX2__
  if (can_pack(g)) return packed_diagonal_mean_field(d, run, out, poll);
#endif
  const float rate = log2_odds_rate(run.beta);
  while (out.sweeps < run.max_sweeps && out.change > run.tolerance) {
    float change = 0.0f;
    for_each_in_colours(g, [&](int32_t y, int32_t x) {
      float& mean = out.mean[static_cast<int64_t>(y) * g.width + x];
      const float updated = diagonal_mean_field_update(d, out.mean, y, x, rate);
      const float moved = magnitude(updated - mean);
      if (moved > change) change = moved;
      mean = updated;
    });
    out.change = change;
    ++out.sweeps;
    poll();
  }
}

#ifdef __AVX2__
int64_t workspace_bytes(const Grid& g) { return can_pack(g) ? packed_diagonal_gibbs_bytes(g) : 0; }
#else
int64_t workspace_bytes(const Grid&) { return 0; }
#endif

}  // namespace

extern const DiagonalLoops diagonal_loops;
const DiagonalLoops diagonal_loops{MRFMASK_STRING(MRFMASK_ISA), workspace_bytes, gibbs_image,
                                   mean_field_image};

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
