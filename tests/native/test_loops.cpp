// The loops of one instruction set under AddressSanitizer and UndefinedBehaviorSanitizer, for sides
// around every vector and block edge. Compile with -DMRFMASK_ISA=name and that set's flags; what
// the loops answer is compared elsewhere (tests/test_bits.py).
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "../../kernels/diagonal_loops.cpp"
#include "../../kernels/loops.cpp"

namespace {

using mrfmask::Grid;
using mrfmask::MRFMASK_ISA::diagonal_loops;
using mrfmask::MRFMASK_ISA::loops;

int passed = 0;
int failed = 0;

void check(bool ok, const char* what, const Grid& g) {
  ok ? ++passed : ++failed;
  if (!ok) std::printf("%s fails for %dx%d, periodic %d\n", what, g.height, g.width, g.periodic);
}

std::vector<float> uniform(std::mt19937& generator, int size) {
  std::uniform_real_distribution<float> values(-1.0f, 1.0f);
  std::vector<float> out(static_cast<size_t>(size));
  for (float& value : out) value = values(generator);
  return out;
}

const mrfmask::Poll kNoPoll{[](void*) {}, nullptr};

// Filled with NaN, so that anything read before it was written shows.
void* make_workspace(int64_t needed) {
  const size_t bytes = (static_cast<size_t>(needed) + 63) / 64 * 64;
  if (bytes == 0) return nullptr;
  void* memory = std::aligned_alloc(64, bytes);
  std::memset(memory, 0xff, bytes);
  return memory;
}

void run_gibbs(const Grid& g, size_t right_size, size_t down_size, int64_t chains) {
  const size_t pixels = static_cast<size_t>(chains) * static_cast<size_t>(g.height * g.width);
  const std::vector<double> beta(7, 0.5);
  std::vector<double> energies(static_cast<size_t>(5 * chains));
  std::vector<uint8_t> mask(pixels), best(pixels);
  std::vector<int32_t> counts(pixels);
  std::vector<int64_t> right_equal(right_size + 1), down_equal(down_size + 1);
  void* workspace = make_workspace(loops.workspace_bytes(g, chains));
  loops.gibbs(g, {beta.data(), 2, 5, 0, 1, 0, 0, chains, false, true},
              {mask.data(), counts.data(), energies.data(), best.data(), right_equal.data(),
               down_equal.data(), workspace},
              kNoPoll);
  bool finite = true, counted = true;
  for (double energy : energies) finite &= std::isfinite(energy);
  for (int32_t count : counts) counted &= count >= 0 && count <= 5;
  for (int64_t count : right_equal) counted &= count >= 0 && count <= 5 * chains;
  for (int64_t count : down_equal) counted &= count >= 0 && count <= 5 * chains;
  check(finite, "energy", g);
  check(counted, "count", g);
  std::free(workspace);
}

void run_kawasaki(const Grid& g, size_t right_size, size_t down_size) {
  const int64_t pixels = static_cast<int64_t>(g.height) * g.width;
  std::vector<uint8_t> mask(static_cast<size_t>(pixels));
  std::vector<int32_t> counts(mask.size());
  std::vector<int64_t> right_equal(right_size + 1), down_equal(down_size + 1);
  double energies[3];
  int64_t clamped_on = 0, clamped_off = 0;
  for (int64_t i = 0; i < pixels; ++i) {
    clamped_on += g.unary[i] == INFINITY;
    clamped_off += g.unary[i] == -INFINITY;
  }
  const int64_t most = pixels - clamped_off;
  void* workspace = make_workspace(loops.kawasaki_bytes(g));
  for (const int64_t count : {clamped_on, (clamped_on + most) / 2, most}) {
    mrfmask::KawasakiOutput out{
        mask.data(), counts.data(), energies, right_equal.data(), down_equal.data(), 0, workspace};
    loops.kawasaki(g, {0.5, 2, 3, 0, 1, 0, 0, false, count, true}, out, kNoPoll);
    int64_t on = 0, visits = 0;
    for (uint8_t state : mask) on += state;
    for (int32_t times : counts) visits += times;
    check(on == count && visits == 3 * count, "number of pixels on", g);
    check(std::isfinite(energies[0] + energies[1] + energies[2]), "energy", g);
    check(count != most || out.exchanges == 0, "only mask", g);
  }
  std::free(workspace);
}

void run_diagonals(const Grid& g, int rows, int columns, std::mt19937& generator) {
  const std::vector<float> down_right = uniform(generator, rows * columns);
  const std::vector<float> down_left = uniform(generator, rows * columns);
  const mrfmask::DiagonalGrid d{g, down_right.data(), down_left.data()};
  const size_t pixels = static_cast<size_t>(g.height * g.width), size = down_right.size() + 1;
  const std::vector<double> beta(5, 0.5);
  std::vector<double> energies(2 * 3);
  std::vector<uint8_t> mask(2 * pixels), best(2 * pixels);
  std::vector<int32_t> counts(2 * pixels);
  std::vector<int64_t> right_equal(pixels), down_equal(pixels), one(size), other(size);
  void* workspace = make_workspace(diagonal_loops.workspace_bytes(g));
  diagonal_loops.gibbs(d, {beta.data(), 2, 3, 0, 1, 0, 0, 2, false, true},
                       {{mask.data(), counts.data(), energies.data(), best.data(),
                         right_equal.data(), down_equal.data(), workspace},
                        one.data(),
                        other.data()},
                       kNoPoll);
  bool finite = true, counted = true;
  for (double energy : energies) finite &= std::isfinite(energy);
  for (int32_t count : counts) counted &= count >= 0 && count <= 3;
  for (int64_t count : one) counted &= count >= 0 && count <= 6;
  for (int64_t count : other) counted &= count >= 0 && count <= 6;
  check(finite, "energy with diagonals", g);
  check(counted, "count with diagonals", g);
  std::vector<float> mean(pixels);
  mrfmask::MeanFieldOutput out{mean.data(), 0, 0.0f, workspace};
  diagonal_loops.mean_field(d, {1.0, 7, 1e-9f, false}, out, kNoPoll);
  bool inside = std::isfinite(out.change);
  for (float m : mean) inside &= m >= -1.0f && m <= 1.0f;
  check(inside, "mean with diagonals", g);
  std::free(workspace);
}

void run(int height, int width, bool periodic, std::mt19937& generator) {
  const int columns = periodic && width > 1 ? width : width - 1;
  const int rows = periodic && height > 1 ? height : height - 1;
  std::vector<float> unary = uniform(generator, height * width);
  for (size_t i = 0; i < unary.size(); i += 9) unary[i] = i % 2 ? INFINITY : -INFINITY;
  const std::vector<float> right = uniform(generator, height * columns);
  const std::vector<float> down = uniform(generator, rows * width);
  const Grid g{unary.data(), right.data(), down.data(), height, width, periodic};

  for (int64_t chains : {int64_t{1}, int64_t{3}, loops.chains_at_once}) {
    if (chains <= loops.chains_at_once) run_gibbs(g, right.size(), down.size(), chains);
  }

  run_kawasaki(g, right.size(), down.size());
  run_diagonals(g, rows, columns, generator);

  void* workspace = make_workspace(loops.workspace_bytes(g, 1));
  std::vector<float> mean(unary.size());
  mrfmask::MeanFieldOutput out{mean.data(), 0, 0.0f, workspace};
  loops.mean_field(g, {1.0, 7, 1e-9f, false}, out, kNoPoll);
  bool inside = std::isfinite(out.change);
  for (float m : mean) inside &= m >= -1.0f && m <= 1.0f;
  check(inside, "mean", g);
  std::free(workspace);
}

}  // namespace

int main() {
  std::mt19937 generator(1);
  for (const bool periodic : {false, true}) {
    for (int height = 1; height <= 5; ++height) {
      for (int width = 1; width <= 150; width += width < 70 ? 1 : 13) {
        run(height, width, periodic, generator);
      }
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
