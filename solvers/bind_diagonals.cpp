// Sweeps over grids with diagonals, for Python.
#include <nanobind/stl/string.h>

#include "batches.h"
#include "diagonal_loops.h"
#include "threads.h"

namespace mrfmask::bindings {

namespace {

struct DiagonalBatch {
  Batch batch;
  Array<const float, 3> down_right, down_left;

  int64_t couplings() const {
    return static_cast<int64_t>(down_right.shape(1) * down_right.shape(2));
  }
  DiagonalGrid image(int64_t b) const {
    return DiagonalGrid{batch.image(b), down_right.data() + b * couplings(),
                        down_left.data() + b * couplings()};
  }
};

// As gibbs of bind_kernels.cpp.
void diagonal_gibbs(Array<const float, 3> unary, Array<const float, 3> right,
                    Array<const float, 3> down, Array<const float, 3> down_right,
                    Array<const float, 3> down_left, bool periodic, Array<const double, 2> beta,
                    Array<const int64_t, 2> seed, int64_t burn_in, int64_t sweep_offset,
                    bool start_given, Array<uint8_t, 4> mask, Array<int32_t, 4> counts,
                    Array<double, 3> energies, Array<uint8_t, 4> best_mask,
                    Array<int64_t, 3> right_equal, Array<int64_t, 3> down_equal,
                    Array<int64_t, 3> down_right_equal, Array<int64_t, 3> down_left_equal,
                    int threads, const std::string& isa) {
  const DiagonalLoops& loops = named(isa, find_diagonal_loops);
  const DiagonalBatch grids{{unary, right, down, periodic}, down_right, down_left};
  const Batch& batch = grids.batch;
  const int64_t chains = static_cast<int64_t>(mask.shape(1));
  const int64_t sweeps = static_cast<int64_t>(energies.shape(2));
  const bool keep_best = best_mask.shape(0) > 0;
  const bool keep_pairs = right_equal.shape(0) > 0;
  const nb::gil_scoped_release release;
  std::mutex mutex;
  const auto run_chain = [&](int64_t item, auto poll) {
    const int64_t image = item / chains;
    const DiagonalGrid grid = grids.image(image);
    const GibbsRun run{beta.data() + image * (burn_in + sweeps),
                       burn_in,
                       sweeps,
                       static_cast<uint32_t>(sweep_offset),
                       static_cast<uint64_t>(seed.data()[2 * image]),
                       static_cast<uint32_t>(seed.data()[2 * image + 1]),
                       static_cast<uint32_t>(item % chains),
                       1,
                       start_given,
                       keep_pairs};
    const Workspace workspace = make_workspace(loops.workspace_bytes(grid.grid));
    const auto pairs = [&](Array<int64_t, 3>& total) {
      const int64_t size = static_cast<int64_t>(total.shape(1) * total.shape(2));
      return PairCounts(total.data() + image * size, keep_pairs ? size : 0, mutex);
    };
    PairCounts equal[4] = {pairs(right_equal), pairs(down_equal), pairs(down_right_equal),
                           pairs(down_left_equal)};
    const int64_t offset = item * batch.pixels();
    const GibbsOutput out{mask.data() + offset,
                          counts.data() + offset,
                          energies.data() + item * sweeps,
                          keep_best ? best_mask.data() + offset : nullptr,
                          equal[0].data(),
                          equal[1].data(),
                          workspace.get()};
    loops.gibbs(grid, run, {out, equal[2].data(), equal[3].data()}, as_poll(poll));
    for (PairCounts& counted : equal) counted.add_to_total();
  };
  for_each_item(batch.size() * chains, threads, run_chain, SignalCheck());
}

void diagonal_mean_field(Array<const float, 3> unary, Array<const float, 3> right,
                         Array<const float, 3> down, Array<const float, 3> down_right,
                         Array<const float, 3> down_left, bool periodic,
                         Array<const double, 1> beta, int64_t max_sweeps, float tolerance,
                         bool start_given, Array<float, 3> mean, Array<int64_t, 1> sweeps,
                         Array<float, 1> change, int threads, const std::string& isa) {
  const DiagonalLoops& loops = named(isa, find_diagonal_loops);
  const DiagonalBatch grids{{unary, right, down, periodic}, down_right, down_left};
  const nb::gil_scoped_release release;
  const auto run_image = [&](int64_t image, auto poll) {
    const DiagonalGrid grid = grids.image(image);
    const MeanFieldRun run{beta.data()[image], max_sweeps, tolerance, start_given};
    const Workspace workspace = make_workspace(loops.workspace_bytes(grid.grid));
    MeanFieldOutput out{mean.data() + image * grids.batch.pixels(), 0, 0.0f, workspace.get()};
    loops.mean_field(grid, run, out, as_poll(poll));
    sweeps.data()[image] = out.sweeps;
    change.data()[image] = out.change;
  };
  for_each_item(grids.batch.size(), threads, run_image, SignalCheck());
}

}  // namespace

void bind_diagonals(nb::module_& m) {
  m.def("diagonal_gibbs", &diagonal_gibbs);
  m.def("diagonal_mean_field", &diagonal_mean_field);
}

}  // namespace mrfmask::bindings
