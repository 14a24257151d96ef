// The mean-field kernels of kernels/*.cu, unmodified, on the shim: the bits of the CPU kernels.
// clang-format off: the shim comes first
#include "cuda_problem.h"

#include "../../kernels/launch.h"
#include "../../kernels/mean_field_half_sweep.cu"
#include "../../kernels/mean_field_resident.cu"
#include "../../kernels/mean_field_tiles.cu"
#include "../../kernels/pack.cu"
// clang-format on

namespace {

using problem::Shape;
namespace device = mrfmask::device;

struct Result {
  std::vector<float> mean, change;
  std::vector<int64_t> sweeps;
};

struct Problem {
  problem::Potentials potentials;
  int64_t max_sweeps = 9;
  float tolerance = 0.02f;
  bool start_given;
  std::vector<double> beta;
  std::vector<float> rates, start;

  Problem(const Shape& s, std::mt19937& generator)
      : potentials(s, generator, s.width % 3 > 0),
        start_given(generator() % 2 == 0),
        start(problem::numbers(generator, s.images * s.pixels(), 0.06f)) {
    for (int i = 0; i < s.images; ++i) {
      beta.push_back(i % 3 == 2 ? 0.0 : 0.3 + 0.5 * i);
      rates.push_back(mrfmask::baseline::log2_odds_rate(beta.back()));
    }
    start.resize(static_cast<size_t>(s.images * s.pixels()));
  }

  Result on_cpu() const {
    const Shape& s = potentials.shape;
    Result r{start, {}, {}};
    for (int i = 0; i < s.images; ++i) {
      mrfmask::MeanFieldOutput out{r.mean.data() + i * s.pixels(), 0, 0.0f, nullptr};
      mrfmask::baseline::loops.mean_field(
          potentials.image(i), {beta[static_cast<size_t>(i)], max_sweeps, tolerance, start_given},
          out, problem::no_poll());
      r.change.push_back(out.change);
      r.sweeps.push_back(out.sweeps);
    }
    return r;
  }
};

unsigned pixel_blocks(const Shape& s) {
  return static_cast<unsigned>((s.pixels() + 63) / 64 * s.images);
}

Result start(const Problem& p) {
  const Shape& s = p.potentials.shape;
  const size_t images = static_cast<size_t>(s.images);
  Result r{p.start, std::vector<float>(images), std::vector<int64_t>(images)};
  shim::launch({pixel_blocks(s)}, 64, 0, [&] {
    device::mean_field_start(p.potentials.unary.data(), s.height, s.width, p.rates.data(),
                             p.start_given, r.mean.data(), r.sweeps.data(), r.change.data());
  });
  return r;
}

Result half_sweeps(const Problem& p) {
  const Shape& s = p.potentials.shape;
  const problem::Potentials& v = p.potentials;
  Result r = start(p);
  std::vector<uint32_t> new_change(static_cast<size_t>(s.images));
  for (int64_t sweep = 0; sweep < p.max_sweeps; ++sweep) {
    for (int colour = 0; colour < mrfmask::baseline::num_colours(v.image(0)); ++colour) {
      shim::launch({pixel_blocks(s)}, 64, 0, [&] {
        device::mean_field_half_sweep(v.unary.data(), v.right.data(), v.down.data(), s.height,
                                      s.width, s.periodic, p.rates.data(), p.max_sweeps,
                                      p.tolerance, r.sweeps.data(), r.change.data(), colour,
                                      r.mean.data(), new_change.data());
      });
    }
    shim::launch({1}, 32, 0, [&] {
      device::mean_field_note_sweep(s.images, p.max_sweeps, p.tolerance, r.sweeps.data(),
                                    r.change.data(), new_change.data());
    });
  }
  return r;
}

#define BUILD(name, octets)                                         \
  [](auto... arguments) { device::name##_##octets(arguments...); }, \
      sizeof(device::MeanFieldMemory<octets>)

template <typename Kernel>
Result resident(const Problem& p, int places, Kernel kernel, size_t shared_bytes) {
  const Shape& s = p.potentials.shape;
  const problem::Potentials& v = p.potentials;
  Result r = start(p);
  const unsigned threads =
      static_cast<unsigned>(mrfmask::launch::window_threads(s.height, s.width, places));
  for (const int64_t sweeps : {int64_t{3}, p.max_sweeps}) {  // in two launches
    shim::launch({static_cast<unsigned>(s.images)}, threads, shared_bytes, [&] {
      kernel(v.unary.data(), v.right.data(), v.down.data(), s.height, s.width, s.periodic,
             p.rates.data(), p.max_sweeps, p.tolerance, sweeps, r.mean.data(), r.sweeps.data(),
             r.change.data());
    });
  }
  return r;
}

template <typename Kernel>
Result tiles(const Problem& p, int rows, int blocks, int sweeps, int places, Kernel kernel,
             size_t shared_bytes) {
  const Shape& s = p.potentials.shape;
  const problem::Potentials& v = p.potentials;
  Result r = start(p);
  const int image_blocks = (s.width + 15) / 16;
  const size_t octets = static_cast<size_t>((s.height + 1) / 2 * 2 + 2) * image_blocks;
  const size_t images = static_cast<size_t>(s.images);
  const unsigned parts = static_cast<unsigned>((2 * octets + 31) / 32 * images);
  std::vector<float4> packed(images * device::kRuns * octets), first(images * 4 * octets),
      second(first.size());
  std::vector<uint8_t> given(images * 2 * octets);
  std::vector<int32_t> todo(images), which(images);
  std::vector<uint32_t> changes(images * static_cast<size_t>(sweeps));
  shim::launch({parts}, 32, 0, [&] {
    device::pack_potentials(v.unary.data(), v.right.data(), v.down.data(), s.height, s.width,
                            s.periodic, 1, packed.data(), given.data());
  });
  shim::launch({parts}, 32, 0,
               [&] { device::pack_means(r.mean.data(), s.height, s.width, first.data()); });
  shim::launch({1}, 32, 0, [&] {
    device::mean_field_begin_tiles(s.images, p.max_sweeps, p.tolerance, sweeps, r.sweeps.data(),
                                   r.change.data(), todo.data(), which.data(), changes.data());
  });
  const int tiles_y = (s.height + rows - 1) / rows;
  const int tiles_x = (image_blocks + blocks - 1) / blocks;
  const int halo_rows = tiles_y > 1 ? 2 * sweeps : 0, halo_blocks = tiles_x > 1 ? 1 : 0;
  const unsigned threads = static_cast<unsigned>(mrfmask::launch::window_threads(
      std::min(rows, s.height) + 2 * halo_rows,
      16 * (std::min(blocks, image_blocks) + 2 * halo_blocks), places));
  const auto busy = [&] { return *std::max_element(todo.begin(), todo.end()) > 0; };
  for (int launches = 0; busy() && launches < 40; ++launches) {
    shim::launch({static_cast<unsigned>(tiles_y * tiles_x * s.images)}, threads, shared_bytes, [&] {
      kernel(packed.data(), s.height, s.width, s.periodic, p.rates.data(), sweeps, rows, blocks,
             halo_rows, halo_blocks, first.data(), second.data(), r.sweeps.data(), r.change.data(),
             todo.data(), which.data(), changes.data());
    });
    shim::launch({1}, 32, 0, [&] {
      device::mean_field_end_tiles(s.images, p.max_sweeps, p.tolerance, sweeps, r.sweeps.data(),
                                   r.change.data(), todo.data(), which.data(), changes.data());
    });
  }
  shim::launch({parts}, 32, 0, [&] {
    device::unpack_means(first.data(), second.data(), which.data(), s.height, s.width,
                         r.mean.data());
  });
  return r;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void compare(const std::string& name, const Result& got, const Result& expected) {
  problem::check(same_bits(got.mean, expected.mean), name + ": means");
  problem::check(got.sweeps == expected.sweeps, name + ": sweeps");
  problem::check(same_bits(got.change, expected.change), name + ": change");
}

}  // namespace

int main() {
  static_assert(sizeof(device::MeanFieldMemory<82>) ==
                mrfmask::launch::mean_field_shared_bytes(82));
  static_assert(sizeof(device::MeanFieldMemory<906>) ==
                mrfmask::launch::mean_field_shared_bytes(906));
  std::mt19937 generator(1);
  struct Cut {
    int height, width, rows, blocks, sweeps;
  };
  for (const Cut c :
       {Cut{5, 40, 8, 4, 3}, Cut{9, 40, 4, 3, 1}, Cut{6, 81, 6, 1, 3}, Cut{11, 97, 4, 2, 1},
        Cut{12, 64, 4, 2, 1}, Cut{4, 96, 4, 2, 2}, Cut{22, 32, 8, 1, 1}, Cut{13, 50, 2, 3, 1}}) {
    for (const bool periodic : {false, true}) {
      if (!mrfmask::launch::has_octets(c.height, c.width, periodic)) continue;
      const Shape s{c.height, c.width, periodic, 4, 1};
      const Problem p(s, generator);
      const Result expected = p.on_cpu();
      compare("tiles, " + s.name(),
              tiles(p, c.rows, c.blocks, c.sweeps, 1, BUILD(mean_field_tiles, 82)), expected);
      compare("tiles, two places, " + s.name(),
              tiles(p, c.rows, c.blocks, 2 + c.sweeps, 2, BUILD(mean_field_tiles, 906)), expected);
    }
  }
  for (const bool periodic : {false, true}) {
    for (const int height : {1, 2, 3, 4, 7}) {
      for (const int width : {1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 65}) {
        const Shape s{height, width, periodic, 3, 1};
        const Problem p(s, generator);
        const Result expected = p.on_cpu();
        compare("half sweeps, " + s.name(), half_sweeps(p), expected);
        if (!mrfmask::launch::has_octets(height, width, periodic)) continue;
        compare("resident, " + s.name(), resident(p, 1, BUILD(mean_field_resident, 82)), expected);
        compare("resident, two places, " + s.name(),
                resident(p, 2, BUILD(mean_field_resident, 906)), expected);
      }
    }
  }
  return problem::verdict();
}
