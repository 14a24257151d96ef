// Random batches and what the CPU makes of them, for tests that run CUDA kernels on the shim.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

#include "cuda_shim.h"

#define MRFMASK_ISA baseline
#include "../../kernels/loops.cpp"

namespace problem {

inline int passed = 0;
inline int failed = 0;

inline void check(bool ok, const std::string& what) {
  ok ? ++passed : ++failed;
  if (!ok) std::printf("fails: %s\n", what.c_str());
  if (!ok && shim::left_out() != nullptr) std::exit(EXIT_FAILURE);  // one is enough
}

inline int verdict() {
  std::printf("%d passed, %d failed, %ld barriers\n", passed, failed, shim::machine.barriers);
  return failed == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct Shape {
  int height, width;
  bool periodic;
  int images, chains;

  int columns() const { return periodic && width > 1 ? width : width - 1; }
  int rows() const { return periodic && height > 1 ? height : height - 1; }
  int pixels() const { return height * width; }
  int items() const { return images * chains; }
  std::string name() const {
    return std::to_string(height) + "x" + std::to_string(width) + (periodic ? " torus" : "") +
           ", images " + std::to_string(images) + ", chains " + std::to_string(chains);
  }
};

// Fields of all sizes: some decide by themselves, some are 0, some tiny, and pixels are clamped.
inline std::vector<float> numbers(std::mt19937& generator, int count, float scale) {
  std::uniform_real_distribution<float> values(-1.0f, 1.0f);
  std::vector<float> out(static_cast<size_t>(count) + 1);  // never empty
  for (float& value : out) {
    value = values(generator) * scale;
    const auto kind = generator() % 64;
    if (kind == 0) value = 0.0f;
    if (kind == 1) value *= 0x1p-40f;
    if (kind == 2) value *= 16.0f;
    if (kind == 3) value = -0x1p-56f;
  }
  return out;
}

struct Potentials {
  Shape shape;
  std::vector<float> unary, right, down;

  Potentials(const Shape& s, std::mt19937& generator, bool clamped)
      : shape(s),
        unary(numbers(generator, s.images * s.pixels(), 1.0f)),
        right(numbers(generator, s.images * s.height * s.columns(), 0.7f)),
        down(numbers(generator, s.images * s.rows() * s.width, 0.7f)) {
    for (size_t i = 0; clamped && i < unary.size(); i += 1 + generator() % 17) {
      unary[i] = generator() % 2 ? INFINITY : -INFINITY;
    }
  }
  mrfmask::Grid image(int i) const {
    return mrfmask::Grid{unary.data() + i * shape.pixels(),
                         right.data() + i * shape.height * shape.columns(),
                         down.data() + i * shape.rows() * shape.width,
                         shape.height,
                         shape.width,
                         shape.periodic};
  }
};

inline mrfmask::Poll no_poll() {
  return mrfmask::Poll{[](void*) {}, nullptr};
}

struct GibbsResult {
  std::vector<uint8_t> mask, best;
  std::vector<int32_t> counts;
  std::vector<int64_t> right_equal, down_equal;  // over all chains of an image
  std::vector<int64_t> units;                    // energies as kernels give them
  std::vector<double> energies;

  GibbsResult(const Shape& s, int kept)
      : mask(static_cast<size_t>(s.items() * s.pixels())),
        best(mask.size()),
        counts(mask.size()),
        right_equal(static_cast<size_t>(s.images * s.height * s.columns()) + 1),
        down_equal(static_cast<size_t>(s.images * s.rows() * s.width) + 1),
        units(static_cast<size_t>(s.items() * kept)),
        energies(units.size()) {}
};

struct GibbsProblem {
  Potentials potentials;
  int burn_in, kept;
  bool start_given;
  int64_t offset;
  std::vector<double> beta;  // images x sweeps: falls, as in annealing
  std::vector<float> rates;
  std::vector<float> units_per_energy;
  std::vector<int64_t> seed;
  std::vector<uint8_t> start;

  GibbsProblem(const Shape& s, int burn, int keep, std::mt19937& generator, bool clamped = true)
      : potentials(s, generator, clamped),
        burn_in(burn),
        kept(keep),
        start_given(generator() % 2 == 0),
        offset(static_cast<int64_t>(generator() % 1000)) {
    for (int i = 0; i < s.images; ++i) {
      for (int sweep = 0; sweep < burn + keep; ++sweep) {
        beta.push_back(sweep % 5 == 4 ? 0.0 : 0.4 + 0.1 * sweep + 0.3 * i);
        rates.push_back(mrfmask::baseline::log2_odds_rate(beta.back()));
      }
      units_per_energy.push_back(mrfmask::baseline::energy_units(potentials.image(i)).per_energy);
      seed.push_back(static_cast<int64_t>(generator()) << 31 ^ generator());
      seed.push_back(static_cast<int64_t>(generator() % 100));
    }
    start.resize(static_cast<size_t>(s.items() * s.pixels()));
    for (uint8_t& state : start) state = generator() % 2;
  }

  void use_one_temperature() {
    const size_t sweeps = static_cast<size_t>(burn_in + kept);
    for (size_t i = 0; i < beta.size(); ++i) {
      beta[i] = beta[i / sweeps * sweeps];
      rates[i] = rates[i / sweeps * sweeps];
    }
  }

  GibbsResult on_cpu() const {
    const Shape& s = potentials.shape;
    GibbsResult r(s, kept);
    r.mask = start;
    for (int item = 0; item < s.items(); ++item) {
      const int image = item / s.chains;
      const int64_t at = static_cast<int64_t>(item) * s.pixels();
      const mrfmask::GibbsRun run{beta.data() + image * (burn_in + kept),
                                  burn_in,
                                  kept,
                                  static_cast<uint32_t>(offset),
                                  static_cast<uint64_t>(seed[2 * image]),
                                  static_cast<uint32_t>(seed[2 * image + 1]),
                                  static_cast<uint32_t>(item % s.chains),
                                  1,
                                  start_given,
                                  true};
      mrfmask::baseline::loops.gibbs(
          potentials.image(image), run,
          {r.mask.data() + at, r.counts.data() + at, r.energies.data() + item * kept,
           r.best.data() + at, r.right_equal.data() + image * s.height * s.columns(),
           r.down_equal.data() + image * s.rows() * s.width, nullptr},
          no_poll());
    }
    return r;
  }

  // What the caller makes of the kernels' energies.
  void scale_energies(GibbsResult& r) const {
    const int per_image = potentials.shape.chains * kept;
    for (size_t i = 0; i < r.units.size(); ++i) {
      const int image = static_cast<int>(i) / per_image;
      r.energies[i] = static_cast<double>(r.units[i]) *
                      mrfmask::baseline::energy_units(potentials.image(image)).energy;
    }
  }
};

}  // namespace problem
