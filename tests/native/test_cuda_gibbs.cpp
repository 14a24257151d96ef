// The Gibbs kernels of kernels/*.cu, unmodified, on the shim: the bits of the CPU kernels.
// clang-format off: the shim comes first
#include "cuda_problem.h"

#include "../../kernels/chain_tables.cu"
#include "../../kernels/gibbs_chains.cu"
#include "../../kernels/gibbs_half_sweep.cu"
#include "../../kernels/gibbs_resident.cu"
#include "../../kernels/gibbs_tiles.cu"
#include "../../kernels/launch.h"
#include "../../kernels/pack.cu"
// clang-format on

namespace {

using problem::GibbsProblem;
using problem::GibbsResult;
using problem::Shape;
namespace device = mrfmask::device;

void start(const GibbsProblem& p, GibbsResult& r) {
  const Shape& s = p.potentials.shape;
  r.mask = p.start;
  const unsigned blocks = static_cast<unsigned>((s.pixels() + 63) / 64 * s.items());
  shim::launch({blocks}, 64, 0, [&] {
    device::gibbs_start(p.potentials.unary.data(), s.height, s.width, s.chains, p.seed.data(),
                        p.start_given, r.mask.data());
  });
}

GibbsResult half_sweeps(const GibbsProblem& p) {
  const Shape& s = p.potentials.shape;
  const problem::Potentials& v = p.potentials;
  GibbsResult r(s, p.kept);
  start(p, r);
  const unsigned parts = static_cast<unsigned>((s.pixels() + 63) / 64);
  const unsigned items = static_cast<unsigned>(s.items()), blocks = parts * items;
  std::vector<int64_t> partial(blocks), best(items);
  for (int sweep = 0; sweep < p.burn_in + p.kept; ++sweep) {
    for (int colour = 0; colour < mrfmask::baseline::num_colours(v.image(0)); ++colour) {
      shim::launch({blocks}, 64, 0, [&] {
        device::gibbs_half_sweep(v.unary.data(), v.right.data(), v.down.data(), s.height, s.width,
                                 s.periodic, s.chains, p.rates.data(), p.burn_in + p.kept,
                                 p.seed.data(), &p.offset, sweep, colour, r.mask.data());
      });
    }
    if (sweep < p.burn_in) continue;
    const int kept = sweep - p.burn_in;
    shim::launch({blocks}, 64, 0, [&] {
      device::gibbs_count(r.mask.data(), static_cast<int64_t>(r.mask.size()), r.counts.data());
    });
    shim::launch({parts * static_cast<unsigned>(s.images)}, 64, 0, [&] {
      device::gibbs_count_equal(r.mask.data(), s.height, s.width, s.periodic, s.chains,
                                r.right_equal.data(), r.down_equal.data());
    });
    shim::launch({blocks}, 64, 32 * sizeof(int64_t), [&] {
      device::gibbs_energy(v.unary.data(), v.right.data(), v.down.data(), s.height, s.width,
                           s.periodic, s.chains, p.units_per_energy.data(), r.mask.data(),
                           partial.data());
    });
    shim::launch({items}, 32, 0, [&] {
      device::gibbs_sum_energy(partial.data(), static_cast<int32_t>(parts), 1, p.kept, kept,
                               r.units.data());
    });
    shim::launch({blocks}, 64, 0, [&] {
      device::gibbs_keep_best(r.mask.data(), r.units.data(), best.data(), s.pixels(), p.kept, kept,
                              r.best.data());
    });
    shim::launch({(items + 31) / 32}, 32, 0, [&] {
      device::gibbs_note_best(r.units.data(), items, p.kept, kept, best.data());
    });
  }
  p.scale_energies(r);
  return r;
}

// One of the builds of the resident kernel.
#define RESIDENT(octets)                                                    \
  [](auto... arguments) { device::gibbs_resident_##octets(arguments...); }, \
      sizeof(device::GibbsMemory<octets>)

template <typename Kernel>
GibbsResult resident(const GibbsProblem& p, unsigned places_per_thread, bool keep_best,
                     Kernel kernel, size_t shared_bytes) {
  const Shape& s = p.potentials.shape;
  const problem::Potentials& v = p.potentials;
  GibbsResult r(s, p.kept);
  start(p, r);
  std::vector<int64_t> best(static_cast<size_t>(s.items()));
  const int sweeps = p.burn_in + p.kept;
  const int cut = sweeps / 3;  // in two launches
  const unsigned threads = static_cast<unsigned>(
      mrfmask::launch::window_threads(s.height, s.width, static_cast<int32_t>(places_per_thread)));
  for (int first : {0, cut}) {
    shim::launch({static_cast<unsigned>(s.items())}, threads, shared_bytes, [&] {
      kernel(v.unary.data(), v.right.data(), v.down.data(), s.height, s.width, s.periodic, s.chains,
             p.rates.data(), sweeps, p.seed.data(), &p.offset, p.burn_in, first,
             first == 0 ? cut : sweeps - cut, p.units_per_energy.data(), r.mask.data(),
             r.counts.data(), r.units.data(), keep_best ? r.best.data() : nullptr, best.data());
    });
  }
  p.scale_energies(r);
  return r;
}

GibbsResult many_chains(const GibbsProblem& p, unsigned threads) {
  const Shape& s = p.potentials.shape;
  const problem::Potentials& v = p.potentials;
  GibbsResult r(s, p.kept);
  start(p, r);
  const int total = p.burn_in + p.kept, cut = total / 2;
  const unsigned blocks = static_cast<unsigned>(s.images * ((s.chains + 31) / 32));
  const size_t octets = static_cast<size_t>(mrfmask::launch::window_octets(s.height, s.width));
  const size_t entries = static_cast<size_t>(s.images) * octets * 16;
  std::vector<float> unaries(entries), fields(16 * entries);
  std::vector<uint16_t> bars(16 * entries);
  shim::launch({static_cast<unsigned>(s.images) * static_cast<unsigned>(octets)}, 256, 0, [&] {
    device::chain_tables_build(v.unary.data(), v.right.data(), v.down.data(), s.height, s.width,
                               s.periodic, p.rates.data(), total, unaries.data(), fields.data(),
                               bars.data());
  });
  for (const int first : {0, cut}) {
    const int sweeps = first == 0 ? cut : total - cut;
    const int kept = first + sweeps - std::max(first, p.burn_in);
    std::vector<uint8_t> history(blocks * static_cast<size_t>(std::max(kept, 0)) * octets * 64);
    shim::launch({blocks}, threads, sizeof(device::ChainsMemory<1400>), [&] {
      device::gibbs_chains_1400(
          v.unary.data(), s.height, s.width, s.periodic, s.chains, p.rates.data(), total,
          p.seed.data(), &p.offset, p.burn_in, first, sweeps, unaries.data(), fields.data(),
          bars.data(), p.units_per_energy.data(), r.mask.data(), r.units.data(), history.data());
    });
    if (kept <= 0) continue;
    const unsigned warps = blocks * static_cast<unsigned>(2 * octets);
    shim::launch({(warps + 1) / 2}, 64, 0, [&] {
      device::gibbs_count_chains(history.data(), s.height, s.width, s.chains, s.images, kept,
                                 r.counts.data());
    });
  }
  p.scale_energies(r);
  return r;
}

// A build of the tile kernel with tiles of the given size; a number of rows or blocks that covers
// the image needs no halo in that direction.
#define TILES(octets)                                                    \
  [](auto... arguments) { device::gibbs_tiles_##octets(arguments...); }, \
      sizeof(device::GibbsMemory<octets>)

template <typename Kernel>
GibbsResult tiles(const GibbsProblem& p, int rows, int blocks, int sweeps_per_launch,
                  int places_per_thread, Kernel kernel, size_t shared_bytes) {
  const Shape& s = p.potentials.shape;
  const problem::Potentials& v = p.potentials;
  GibbsResult r(s, p.kept);
  start(p, r);
  const int image_blocks = (s.width + 15) / 16;
  const size_t octets = static_cast<size_t>((s.height + 1) / 2 * 2 + 2) * image_blocks;
  const size_t images = static_cast<size_t>(s.images), items = static_cast<size_t>(s.items());
  const unsigned parts = static_cast<unsigned>((2 * octets + 31) / 32);
  std::vector<float4> packed(images * device::kRuns * octets);
  std::vector<uint8_t> given(images * 2 * octets);
  std::vector<uint2> states(items * 2 * octets), new_states(states), tally(states.size(), {0, 0});
  shim::launch({parts * static_cast<unsigned>(images)}, 32, 0, [&] {
    device::pack_potentials(v.unary.data(), v.right.data(), v.down.data(), s.height, s.width,
                            s.periodic, 0, packed.data(), given.data());
  });
  shim::launch({parts * static_cast<unsigned>(items)}, 32, 0,
               [&] { device::pack_states(r.mask.data(), s.height, s.width, states.data()); });
  const int tiles_y = (s.height + rows - 1) / rows;
  const int tiles_x = (image_blocks + blocks - 1) / blocks;
  const int halo_blocks = tiles_x > 1 ? 1 : 0;
  const int total = p.burn_in + p.kept;
  for (int first = 0; first < total; first += sweeps_per_launch) {
    const int sweeps = std::min(sweeps_per_launch, total - first);
    const int halo_rows = tiles_y > 1 ? 2 * sweeps : 0;
    const int first_kept = std::max(first, p.burn_in), kept = first + sweeps - first_kept;
    const unsigned blocks_launched =
        static_cast<unsigned>(tiles_y * tiles_x) * static_cast<unsigned>(items);
    std::vector<int64_t> partial(blocks_launched * static_cast<size_t>(std::max(kept, 0)));
    const unsigned threads = static_cast<unsigned>(mrfmask::launch::window_threads(
        std::min(rows, s.height) + 2 * halo_rows,
        16 * (std::min(blocks, image_blocks) + 2 * halo_blocks), places_per_thread));
    shim::launch({blocks_launched}, threads, shared_bytes, [&] {
      kernel(packed.data(), given.data(), s.height, s.width, s.periodic, s.chains, p.rates.data(),
             total, p.seed.data(), &p.offset, p.burn_in, first, sweeps, p.units_per_energy.data(),
             rows, blocks, halo_rows, halo_blocks, states.data(), new_states.data(), tally.data(),
             partial.data());
    });
    std::swap(states, new_states);
    if (kept <= 0) continue;
    shim::launch({static_cast<unsigned>(items) * static_cast<unsigned>(kept)}, 32, 0, [&] {
      device::gibbs_sum_energy(partial.data(), tiles_y * tiles_x, kept, p.kept,
                               first_kept - p.burn_in, r.units.data());
    });
  }
  shim::launch({parts * static_cast<unsigned>(items)}, 32, 0, [&] {
    device::unpack_states(states.data(), s.height, s.width, r.mask.data(), tally.data(),
                          r.counts.data());
  });
  p.scale_energies(r);
  return r;
}

// As launch.h would have it on a device. Returns false for a plan that has no run here.
bool run_planned(const GibbsProblem& p, const mrfmask::launch::Device& d, GibbsResult& r) {
  using mrfmask::launch::Kind;
  const Shape& s = p.potentials.shape;
  const mrfmask::launch::Plan plan = mrfmask::launch::choose_gibbs(
      {s.height, s.width, s.periodic, s.items()}, d, s.chains, false, false, false);
  const int rows = plan.tile_rows, blocks = plan.tile_blocks, sweeps = plan.sweeps;
  const bool stays = plan.kind == Kind::kResident;
  switch (plan.kind == Kind::kHalfSweeps ? 0 : plan.octets) {
    case 82:
      r = stays ? resident(p, 1, true, RESIDENT(82)) : tiles(p, rows, blocks, sweeps, 1, TILES(82));
      return true;
    case 434:
      r = stays ? resident(p, 2, true, RESIDENT(434))
                : tiles(p, rows, blocks, sweeps, 2, TILES(434));
      return true;
    case 714:
      r = resident(p, 1, true, RESIDENT(714));
      return true;
    case 978:
      r = stays ? resident(p, 2, true, RESIDENT(978))
                : tiles(p, rows, blocks, sweeps, 2, TILES(978));
      return true;
    default:
      return false;
  }
}

// Every plan must fit the build that it names.
void check_plan(const mrfmask::launch::Shape& s, const mrfmask::launch::Device& d,
                const mrfmask::launch::Plan& plan, const mrfmask::launch::WindowKernel* builds) {
  using namespace mrfmask::launch;
  if (plan.kind == Kind::kHalfSweeps) {
    problem::check(!has_octets(s.height, s.width, s.periodic), "half sweeps only where needed");
    return;
  }
  const int blocks = (s.width + 15) / 16;
  int height = s.height, width = s.width;
  if (plan.kind == Kind::kTiles) {
    const bool whole_y = plan.tile_rows >= s.height, whole_x = plan.tile_blocks >= blocks;
    height = whole_y ? s.height : plan.tile_rows + 4 * plan.sweeps;
    width = 16 * (whole_x ? blocks : plan.tile_blocks + 2);
    problem::check(plan.tile_rows % 2 == 0 && plan.sweeps <= 8, "tiles are even");
  }
  bool fits = false;
  for (int b = 0; b < kBuilds; ++b) {
    if (builds[b].octets != plan.octets) continue;
    fits = window_octets(height, width) <= plan.octets && plan.threads <= builds[b].threads &&
           window_threads(height, width, builds[b].places) <= plan.threads &&
           plan.shared_bytes <= d.shared_bytes;
  }
  problem::check(fits, "plan for " + std::to_string(s.height) + "x" + std::to_string(s.width));
}

void check_plans() {
  using namespace mrfmask::launch;
  for (const Device d : {Device{132, 232448}, Device{108, 166912}, Device{128, 101376}}) {
    for (const int height : {1, 7, 100, 121, 350, 4096}) {
      for (const int width : {1, 17, 100, 128, 1242}) {
        for (const int items : {1, 16, 300}) {
          const mrfmask::launch::Shape s{height, width, items == 16, items};
          check_plan(s, d, choose_gibbs(s, d, 1, false, false, false), kGibbs);
          check_plan(s, d, choose_gibbs(s, d, 1, false, false, true), kGibbs);
          check_plan(s, d, choose_mean_field(s, d), kMeanField);
        }
      }
    }
  }
}

void compare(const std::string& name, const GibbsResult& got, const GibbsResult& expected,
             bool best, bool pairs) {
  problem::check(got.mask == expected.mask, name + ": mask");
  problem::check(got.counts == expected.counts, name + ": counts");
  problem::check(got.energies == expected.energies, name + ": energies");
  if (best) problem::check(got.best == expected.best, name + ": best mask");
  if (!pairs) return;
  problem::check(got.right_equal == expected.right_equal, name + ": equal to the right");
  problem::check(got.down_equal == expected.down_equal, name + ": equal below");
}

}  // namespace

int main() {
  static_assert(sizeof(device::ChainsMemory<1400>) == mrfmask::launch::chains_shared_bytes(1400));
  static_assert(sizeof(device::GibbsMemory<82>) == mrfmask::launch::gibbs_shared_bytes(82));
  static_assert(sizeof(device::GibbsMemory<978>) == mrfmask::launch::gibbs_shared_bytes(978));
  std::mt19937 generator(1);
  struct Cut {
    int height, width, rows, blocks, sweeps;
  };
  for (const Cut c :
       {Cut{5, 40, 8, 4, 3}, Cut{9, 40, 4, 3, 1}, Cut{6, 81, 6, 1, 3}, Cut{11, 97, 4, 2, 1},
        Cut{12, 64, 4, 2, 1}, Cut{4, 96, 4, 2, 2}, Cut{22, 32, 8, 1, 1}, Cut{13, 50, 2, 3, 1}}) {
    for (const bool periodic : {false, true}) {
      if (!mrfmask::launch::has_octets(c.height, c.width, periodic)) continue;
      const Shape s{c.height, c.width, periodic, 2, 2};
      const GibbsProblem p(s, 2, 4, generator);
      compare("tiles, " + s.name(), tiles(p, c.rows, c.blocks, c.sweeps, 1, TILES(82)), p.on_cpu(),
              false, false);
      compare("tiles, two places, " + s.name(),
              tiles(p, c.rows, c.blocks, 2 + c.sweeps, 2, TILES(978)), p.on_cpu(), false, false);
    }
  }
  for (const bool periodic : {false, true}) {
    for (const int height : {1, 2, 3, 4, 7}) {
      for (const int width : {1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 65}) {
        const Shape s{height, width, periodic, 2, 1 + width % 2};
        const GibbsProblem p(s, 2, 4, generator, width % 3 > 0);
        const GibbsResult expected = p.on_cpu();
        compare("half sweeps, " + s.name(), half_sweeps(p), expected, true, true);
        if (!mrfmask::launch::has_octets(height, width, periodic)) continue;
        compare("resident, " + s.name(), resident(p, 1, true, RESIDENT(82)), expected, true, false);
        compare("resident, two places, " + s.name(), resident(p, 2, false, RESIDENT(978)), expected,
                false, false);
      }
    }
  }
  for (const bool periodic : {false, true}) {
    for (const int height : {1, 2, 5, 6}) {
      for (const int width : {1, 2, 16, 17, 31, 32}) {
        if (!mrfmask::launch::has_octets(height, width, periodic)) continue;
        const Shape s{height, width, periodic, 2, height == 5 ? 31 + width % 3 : 3};
        GibbsProblem p(s, 1, 3, generator);
        p.use_one_temperature();
        compare("chains, " + s.name(), many_chains(p, 96), p.on_cpu(), false, false);
      }
    }
  }
  check_plans();
  for (const Shape s :
       {Shape{100, 100, false, 2, 1}, Shape{96, 96, true, 1, 1}, Shape{150, 90, false, 2, 1}}) {
    for (const mrfmask::launch::Device d :
         {mrfmask::launch::Device{1, 232448}, mrfmask::launch::Device{2, 101376}}) {
      const GibbsProblem p(s, 1, 2, generator);
      GibbsResult r(s, p.kept);
      problem::check(run_planned(p, d, r), "a plan to run for " + s.name());
      compare("as planned, " + s.name(), r, p.on_cpu(), false, false);
    }
  }
  return problem::verdict();
}
