// What runs per pixel: sweeps, draws and the plans of CUDA launches, for Python.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <string>
#include <vector>

#include "batches.h"
#include "launch.h"
#include "loops.h"
#include "philox.h"
#include "threads.h"

namespace mrfmask::bindings {

namespace {

const Loops& loops_named(const std::string& isa) { return named(isa, find_loops); }

// Chains of one image that one thread runs together.
struct ChainGroup {
  int64_t image, first, count;
};

// All chains of all images in groups. Thirty-two chains at once take about as long as twelve of
// them one by one, so they go together where that finishes earlier. Results do not depend on it.
std::vector<ChainGroup> chain_groups(int64_t images, int64_t chains, int64_t at_once, int threads) {
  const auto rounds = [](int64_t items, int64_t per) { return (items + per - 1) / per; };
  const int64_t together = 12 * rounds(images * rounds(chains, at_once), threads);
  const int64_t size = together < rounds(images * chains, threads) ? at_once : 1;
  std::vector<ChainGroup> groups;
  for (int64_t image = 0; image < images; ++image) {
    for (int64_t first = 0; first < chains; first += size) {
      groups.push_back({image, first, std::min(size, chains - first)});
    }
  }
  return groups;
}

void gibbs(Array<const float, 3> unary, Array<const float, 3> right, Array<const float, 3> down,
           bool periodic, Array<const double, 2> beta, Array<const int64_t, 2> seed,
           int64_t burn_in, int64_t sweep_offset, bool start_given, Array<uint8_t, 4> mask,
           Array<int32_t, 4> counts, Array<double, 3> energies, Array<uint8_t, 4> best_mask,
           Array<int64_t, 3> right_equal, Array<int64_t, 3> down_equal, int threads,
           const std::string& isa) {
  const Loops& loops = loops_named(isa);
  const Batch batch{unary, right, down, periodic};
  const int64_t chains = static_cast<int64_t>(mask.shape(1));
  const int64_t sweeps = static_cast<int64_t>(energies.shape(2));
  const bool keep_best = best_mask.shape(0) > 0;
  const bool keep_pairs = right_equal.shape(0) > 0;
  const int64_t right_size = static_cast<int64_t>(right.shape(1) * right.shape(2));
  const int64_t down_size = static_cast<int64_t>(down.shape(1) * down.shape(2));
  const nb::gil_scoped_release release;
  const std::vector<ChainGroup> groups =
      chain_groups(batch.size(), chains, loops.chains_at_once, threads);
  std::mutex pairs;
  const auto run_group = [&](int64_t item, auto poll) {
    const auto [image, first, count] = groups[static_cast<size_t>(item)];
    const GibbsRun run{beta.data() + image * (burn_in + sweeps),
                       burn_in,
                       sweeps,
                       static_cast<uint32_t>(sweep_offset),
                       static_cast<uint64_t>(seed.data()[2 * image]),
                       static_cast<uint32_t>(seed.data()[2 * image + 1]),
                       static_cast<uint32_t>(first),
                       count,
                       start_given,
                       keep_pairs};
    const Workspace workspace = make_workspace(loops.workspace_bytes(batch.image(image), count));
    PairCounts right_pairs(right_equal.data() + image * right_size, keep_pairs ? right_size : 0,
                           pairs);
    PairCounts down_pairs(down_equal.data() + image * down_size, keep_pairs ? down_size : 0, pairs);
    const int64_t chain = image * chains + first;
    const int64_t offset = chain * batch.pixels();
    const GibbsOutput out{mask.data() + offset,
                          counts.data() + offset,
                          energies.data() + chain * sweeps,
                          keep_best ? best_mask.data() + offset : nullptr,
                          right_pairs.data(),
                          down_pairs.data(),
                          workspace.get()};
    loops.gibbs(batch.image(image), run, out, as_poll(poll));
    right_pairs.add_to_total();
    down_pairs.add_to_total();
  };
  for_each_item(static_cast<int64_t>(groups.size()), threads, run_group, SignalCheck());
}

// exchanges: images x chains.
void kawasaki(Array<const float, 3> unary, Array<const float, 3> right, Array<const float, 3> down,
              bool periodic, Array<const double, 1> beta, Array<const int64_t, 1> count,
              Array<const int64_t, 2> seed, int64_t burn_in, int64_t sweep_offset, bool start_given,
              Array<uint8_t, 4> mask, Array<int32_t, 4> counts, Array<double, 3> energies,
              Array<int64_t, 3> right_equal, Array<int64_t, 3> down_equal,
              Array<int64_t, 2> exchanges, int threads, const std::string& isa) {
  const Loops& loops = loops_named(isa);
  const Batch batch{unary, right, down, periodic};
  const int64_t chains = static_cast<int64_t>(mask.shape(1));
  const int64_t sweeps = static_cast<int64_t>(energies.shape(2));
  const bool keep_pairs = right_equal.shape(0) > 0;
  const int64_t right_size = static_cast<int64_t>(right.shape(1) * right.shape(2));
  const int64_t down_size = static_cast<int64_t>(down.shape(1) * down.shape(2));
  const nb::gil_scoped_release release;
  std::mutex pairs;
  const auto run_chain = [&](int64_t item, auto poll) {
    const int64_t image = item / chains;
    const Grid grid = batch.image(image);
    const KawasakiRun run{beta.data()[image],
                          burn_in,
                          sweeps,
                          static_cast<uint32_t>(sweep_offset),
                          static_cast<uint64_t>(seed.data()[2 * image]),
                          static_cast<uint32_t>(seed.data()[2 * image + 1]),
                          static_cast<uint32_t>(item % chains),
                          start_given,
                          count.data()[image],
                          keep_pairs};
    const Workspace workspace = make_workspace(loops.kawasaki_bytes(grid));
    PairCounts right_pairs(right_equal.data() + image * right_size, keep_pairs ? right_size : 0,
                           pairs);
    PairCounts down_pairs(down_equal.data() + image * down_size, keep_pairs ? down_size : 0, pairs);
    KawasakiOutput out{mask.data() + item * batch.pixels(),
                       counts.data() + item * batch.pixels(),
                       energies.data() + item * sweeps,
                       right_pairs.data(),
                       down_pairs.data(),
                       0,
                       workspace.get()};
    loops.kawasaki(grid, run, out, as_poll(poll));
    right_pairs.add_to_total();
    down_pairs.add_to_total();
    exchanges.data()[item] = out.exchanges;
  };
  for_each_item(batch.size() * chains, threads, run_chain, SignalCheck());
}

// Moves of one mask, one after the other from their three draws each: which of them exchanged two
// pixels. Every move starts with the lists in the order of the pixels.
void exchange(Array<const float, 3> unary, Array<const float, 3> right, Array<const float, 3> down,
              bool periodic, double beta, Array<const uint32_t, 2> draws, Array<uint8_t, 3> mask,
              Array<uint8_t, 1> exchanged, const std::string& isa) {
  const Loops& loops = loops_named(isa);
  const Grid grid = Batch{unary, right, down, periodic}.image(0);
  const Workspace workspace = make_workspace(loops.kawasaki_bytes(grid));
  for (size_t move = 0; move < exchanged.shape(0); ++move) {
    exchanged.data()[move] =
        loops.exchange(grid, beta, draws.data() + 3 * move, mask.data(), workspace.get());
  }
}

void mean_field(Array<const float, 3> unary, Array<const float, 3> right,
                Array<const float, 3> down, bool periodic, Array<const double, 1> beta,
                int64_t max_sweeps, float tolerance, bool start_given, Array<float, 3> mean,
                Array<int64_t, 1> sweeps, Array<float, 1> change, int threads,
                const std::string& isa) {
  const Loops& loops = loops_named(isa);
  const Batch batch{unary, right, down, periodic};
  const nb::gil_scoped_release release;
  const auto run_image = [&](int64_t image, auto poll) {
    const MeanFieldRun run{beta.data()[image], max_sweeps, tolerance, start_given};
    const Workspace workspace = make_workspace(loops.workspace_bytes(batch.image(image), 1));
    MeanFieldOutput out{mean.data() + image * batch.pixels(), 0, 0.0f, workspace.get()};
    loops.mean_field(batch.image(image), run, out, as_poll(poll));
    sweeps.data()[image] = out.sweeps;
    change.data()[image] = out.change;
  };
  for_each_item(batch.size(), threads, run_image, SignalCheck());
}

// Uniform numbers in [0, 1) of 53 bits for exact samples: out[sample, draw].
void exact_uniforms(Array<const int64_t, 1> seed, Array<double, 2> out) {
  using MRFMASK_ISA::Stream;
  const size_t samples = out.shape(0), draws = out.shape(1);
  for (size_t sample = 0; sample < samples; ++sample) {
    const Stream stream{static_cast<uint64_t>(seed.data()[0]),
                        static_cast<uint32_t>(seed.data()[1]), static_cast<uint32_t>(sample)};
    for (size_t d = 0; d < draws; ++d) {
      const auto words =
          MRFMASK_ISA::draw(stream, static_cast<uint32_t>(d), 0, MRFMASK_ISA::kExact);
      const uint64_t bits = (static_cast<uint64_t>(words.word[0]) << 32) | words.word[1];
      out.data()[sample * draws + d] = static_cast<double>(bits >> 11) * 0x1p-53;
    }
  }
}

std::vector<uint32_t> philox(const std::vector<uint32_t>& counter, uint64_t key) {
  const auto out = MRFMASK_ISA::philox(
      MRFMASK_ISA::Philox4{{counter.at(0), counter.at(1), counter.at(2), counter.at(3)}}, key);
  return {out.word, out.word + 4};
}

void heat_bath_on(Array<const float, 1> log2_odds, Array<const uint32_t, 1> draws,
                  Array<uint8_t, 1> on, const std::string& isa) {
  const Loops& loops = loops_named(isa);
  for (size_t i = 0; i < on.shape(0); ++i) {
    on.data()[i] = loops.heat_bath_on(log2_odds.data()[i], draws.data()[i]);
  }
}

using PlanNumbers = std::vector<int32_t>;

// kind, octets, threads, shared bytes, tile rows, tile blocks, sweeps a launch.
PlanNumbers numbers_of(const launch::Plan& p) {
  return {static_cast<int32_t>(p.kind),
          p.octets,
          p.threads,
          p.shared_bytes,
          p.tile_rows,
          p.tile_blocks,
          p.sweeps};
}

PlanNumbers plan_gibbs(int32_t height, int32_t width, bool periodic, int32_t items,
                       int32_t multiprocessors, int32_t shared_bytes, int32_t chains,
                       bool one_temperature, bool keep_best, bool every_state) {
  return numbers_of(launch::choose_gibbs({height, width, periodic, items},
                                         {multiprocessors, shared_bytes}, chains, one_temperature,
                                         keep_best, every_state));
}

PlanNumbers plan_mean_field(int32_t height, int32_t width, bool periodic, int32_t items,
                            int32_t multiprocessors, int32_t shared_bytes) {
  return numbers_of(
      launch::choose_mean_field({height, width, periodic, items}, {multiprocessors, shared_bytes}));
}

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const char* name : {"avx512", "avx2", "baseline"}) {
    if (find_loops(name)) names.emplace_back(name);
  }
  return names;
}

}  // namespace

void bind_kernels(nb::module_& m) {
  m.def("gibbs", &gibbs);
  m.def("mean_field", &mean_field);
  m.def("kawasaki", &kawasaki);
  m.def("exchange", &exchange, "Kawasaki moves from given draws, for tests.");
  m.def("exact_uniforms", &exact_uniforms);
  m.def("philox", &philox, "Philox4x32-10 of a counter of four words under a 64-bit key.");
  m.def("heat_bath_on", &heat_bath_on, "The acceptance rule, for tests.");
  m.def("plan_gibbs", &plan_gibbs, "How to launch Gibbs sweeps on a CUDA device: launch.h.");
  m.def("plan_mean_field", &plan_mean_field, "How to launch mean field on a CUDA device.");
  m.def("isas", &isas, "Instruction sets this machine can run, best first.");
}

}  // namespace mrfmask::bindings
