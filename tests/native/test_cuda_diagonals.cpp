// The kernels for diagonals of kernels/*.cu, unmodified, on the shim: the bits of the CPU kernels.
// clang-format off: the shim comes first
#include "cuda_problem.h"

#include "../../kernels/diagonal_loops.cpp"

#include "../../kernels/diagonal_gibbs.cu"
#include "../../kernels/diagonal_mean_field.cu"
#include "../../kernels/gibbs_half_sweep.cu"
#include "../../kernels/mean_field_half_sweep.cu"
// clang-format on

namespace {

using problem::GibbsProblem;
using problem::GibbsResult;
using problem::Shape;
namespace device = mrfmask::device;
namespace baseline = mrfmask::baseline;

struct Diagonals {
  const problem::Potentials& cross;
  std::vector<float> down_right, down_left;
  std::vector<float> units_per_energy;

  Diagonals(const problem::Potentials& p, std::mt19937& generator)
      : cross(p),
        down_right(problem::numbers(generator, p.shape.images * couplings(), 0.5f)),
        down_left(problem::numbers(generator, p.shape.images * couplings(), 0.5f)) {
    for (int i = 0; i < p.shape.images; ++i) {
      units_per_energy.push_back(baseline::diagonal_energy_units(image(i)).per_energy);
    }
  }
  int couplings() const { return cross.shape.rows() * cross.shape.columns(); }
  mrfmask::DiagonalGrid image(int i) const {
    return {cross.image(i), down_right.data() + i * couplings(),
            down_left.data() + i * couplings()};
  }
};

struct Result {
  GibbsResult all;
  std::vector<int64_t> down_right_equal, down_left_equal;

  Result(const Shape& s, int kept)
      : all(s, kept),
        down_right_equal(static_cast<size_t>(s.images * s.rows() * s.columns()) + 1),
        down_left_equal(down_right_equal.size()) {}
};

Result on_cpu(const GibbsProblem& p, const Diagonals& d) {
  const Shape& s = p.potentials.shape;
  Result r(s, p.kept);
  r.all.mask = p.start;
  for (int image = 0; image < s.images; ++image) {
    const int64_t at = static_cast<int64_t>(image) * s.chains * s.pixels();
    const int sweeps = p.burn_in + p.kept;
    const mrfmask::GibbsRun run{p.beta.data() + image * sweeps,
                                p.burn_in,
                                p.kept,
                                static_cast<uint32_t>(p.offset),
                                static_cast<uint64_t>(p.seed[2 * image]),
                                static_cast<uint32_t>(p.seed[2 * image + 1]),
                                0,
                                s.chains,
                                p.start_given,
                                true};
    const mrfmask::GibbsOutput out{r.all.mask.data() + at,
                                   r.all.counts.data() + at,
                                   r.all.energies.data() + image * s.chains * p.kept,
                                   nullptr,
                                   r.all.right_equal.data() + image * s.height * s.columns(),
                                   r.all.down_equal.data() + image * s.rows() * s.width,
                                   nullptr};
    baseline::diagonal_loops.gibbs(d.image(image), run,
                                   {out, r.down_right_equal.data() + image * d.couplings(),
                                    r.down_left_equal.data() + image * d.couplings()},
                                   problem::no_poll());
  }
  return r;
}

Result on_device(const GibbsProblem& p, const Diagonals& d) {
  const Shape& s = p.potentials.shape;
  const problem::Potentials& v = p.potentials;
  Result r(s, p.kept);
  r.all.mask = p.start;
  const unsigned parts = static_cast<unsigned>((s.pixels() + 63) / 64);
  const unsigned items = static_cast<unsigned>(s.items()), blocks = parts * items;
  std::vector<int64_t> partial(2 * blocks);  // two warps a block
  shim::launch({blocks}, 64, 0, [&] {
    device::gibbs_start(v.unary.data(), s.height, s.width, s.chains, p.seed.data(), p.start_given,
                        r.all.mask.data());
  });
  for (int sweep = 0; sweep < p.burn_in + p.kept; ++sweep) {
    for (int colour = 0; colour < baseline::num_diagonal_colours(v.image(0)); ++colour) {
      shim::launch({blocks}, 64, 0, [&] {
        device::diagonal_gibbs_colour(v.unary.data(), v.right.data(), v.down.data(),
                                      d.down_right.data(), d.down_left.data(), s.height, s.width,
                                      s.periodic, s.chains, p.rates.data(), p.burn_in + p.kept,
                                      p.seed.data(), &p.offset, sweep, colour, r.all.mask.data());
      });
    }
    if (sweep < p.burn_in) continue;
    shim::launch({blocks}, 64, 0, [&] {
      device::gibbs_count(r.all.mask.data(), static_cast<int64_t>(r.all.mask.size()),
                          r.all.counts.data());
    });
    shim::launch({parts * static_cast<unsigned>(s.images)}, 64, 0, [&] {
      device::diagonal_gibbs_count_equal(r.all.mask.data(), s.height, s.width, s.periodic, s.chains,
                                         r.down_right_equal.data(), r.down_left_equal.data());
    });
    shim::launch({blocks}, 64, 0, [&] {
      device::diagonal_gibbs_energy(v.unary.data(), v.right.data(), v.down.data(),
                                    d.down_right.data(), d.down_left.data(), s.height, s.width,
                                    s.periodic, s.chains, d.units_per_energy.data(),
                                    r.all.mask.data(), partial.data());
    });
    shim::launch({items}, 32, 0, [&] {
      device::gibbs_sum_energy(partial.data(), static_cast<int32_t>(2 * parts), 1, p.kept,
                               sweep - p.burn_in, r.all.units.data());
    });
  }
  for (size_t i = 0; i < r.all.units.size(); ++i) {
    const int image = static_cast<int>(i) / (s.chains * p.kept);
    r.all.energies[i] = static_cast<double>(r.all.units[i]) *
                        baseline::diagonal_energy_units(d.image(image)).energy;
  }
  return r;
}

// Means after so many sweeps of all images.
void compare_means(const GibbsProblem& p, const Diagonals& d) {
  const Shape& s = p.potentials.shape;
  const problem::Potentials& v = p.potentials;
  const size_t images = static_cast<size_t>(s.images);
  const int64_t sweeps = 5;
  const float tolerance = 1e-9f;
  const unsigned blocks = static_cast<unsigned>((s.pixels() + 63) / 64 * s.images);
  std::vector<float> rates, mean(images * static_cast<size_t>(s.pixels())), change(images);
  std::vector<float> expected(mean.size());
  std::vector<int64_t> done(images);
  std::vector<uint32_t> new_change(images);
  for (int i = 0; i < s.images; ++i) rates.push_back(baseline::log2_odds_rate(0.4 + i));
  shim::launch({blocks}, 64, 0, [&] {
    device::mean_field_start(v.unary.data(), s.height, s.width, rates.data(), 0, mean.data(),
                             done.data(), change.data());
  });
  for (int64_t sweep = 0; sweep < sweeps; ++sweep) {
    for (int colour = 0; colour < baseline::num_diagonal_colours(v.image(0)); ++colour) {
      shim::launch({blocks}, 64, 0, [&] {
        device::diagonal_mean_field_colour(
            v.unary.data(), v.right.data(), v.down.data(), d.down_right.data(), d.down_left.data(),
            s.height, s.width, s.periodic, rates.data(), sweeps, tolerance, done.data(),
            change.data(), colour, mean.data(), new_change.data());
      });
    }
    shim::launch({1}, 32, 0, [&] {
      device::mean_field_note_sweep(s.images, sweeps, tolerance, done.data(), change.data(),
                                    new_change.data());
    });
  }
  for (int i = 0; i < s.images; ++i) {
    mrfmask::MeanFieldOutput out{expected.data() + i * s.pixels(), 0, 0.0f, nullptr};
    baseline::diagonal_loops.mean_field(d.image(i), {0.4 + i, sweeps, tolerance, false}, out,
                                        problem::no_poll());
    problem::check(out.change == change[static_cast<size_t>(i)], "last change, " + s.name());
    problem::check(out.sweeps == done[static_cast<size_t>(i)], "sweeps, " + s.name());
  }
  problem::check(mean == expected, "means, " + s.name());
}

}  // namespace

int main() {
  std::mt19937 generator(1);
  for (const bool periodic : {false, true}) {
    for (const int height : {1, 2, 3, 4}) {
      for (const int width : {1, 2, 3, 8, 17, 33}) {
        const Shape s{height, width, periodic, 2, 1 + width % 2};
        const GibbsProblem p(s, 1, 3, generator);
        const Diagonals d(p.potentials, generator);
        const Result got = on_device(p, d), expected = on_cpu(p, d);
        problem::check(got.all.mask == expected.all.mask, "mask, " + s.name());
        problem::check(got.all.counts == expected.all.counts, "counts, " + s.name());
        problem::check(got.all.energies == expected.all.energies, "energies, " + s.name());
        problem::check(got.down_right_equal == expected.down_right_equal,
                       "down right, " + s.name());
        problem::check(got.down_left_equal == expected.down_left_equal, "down left, " + s.name());
        compare_means(p, d);
      }
    }
  }
  return problem::verdict();
}
