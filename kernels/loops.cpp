// Compiled once per instruction set, with MRFMASK_ISA naming its namespace.
#include "loops.h"

#include "energy.h"
#include "kawasaki.h"
#include "starts.h"
#ifdef __AVX2__
#include "chains_run.h"
#include "gibbs_run.h"
#include "packed_mean_field.h"
#endif

namespace mrfmask {
namespace MRFMASK_ISA {
namespace {

// Visits every pixel of one colour, row by row.
template <typename Visit>
void for_each_pixel(const Grid& g, int32_t wanted, Visit visit) {
  const bool checkerboard = num_colours(g) == 2;
  for (int32_t y = 0; y < g.height; ++y) {
    if (checkerboard) {
      for (int32_t x = (y + wanted) & 1; x < g.width; x += 2) visit(y, x);
    } else {
      for (int32_t x = 0; x < g.width; ++x) {
        if (colour(g, y, x) == wanted) visit(y, x);
      }
    }
  }
}

// Energy without the constant.
double energy(const Grid& g, const EnergyUnits& units, const uint8_t* mask) {
  int64_t total = 0;
  for (int32_t y = 0; y < g.height; ++y) {
    for (int32_t x = 0; x < g.width; ++x) total += energy_term(g, units.per_energy, mask, y, x);
  }
  return -static_cast<double>(total) * units.energy;
}

// One chain from its start; the caller zeroes the counts.
void gibbs_chain(const Grid& g, const GibbsRun& run, const GibbsOutput& out, Poll poll) {
  start_chain(g, run, out.mask);
#ifdef __AVX2__
  if (can_pack(g)) return packed_gibbs(g, run, out, poll);
#endif
  const int64_t pixels = static_cast<int64_t>(g.height) * g.width;
  const Stream stream{run.key, run.stream, run.chain};
  const EnergyUnits units = energy_units(g);
  double best = 0.0;
  for (int64_t sweep = 0; sweep < run.burn_in + run.sweeps; ++sweep) {
    const float rate = log2_odds_rate(run.beta[sweep]);
    const uint32_t number = run.sweep_offset + static_cast<uint32_t>(sweep);
    LastBlock last;
    for (int32_t c = 0; c < num_colours(g); ++c) {
      for_each_pixel(g, c, [&](int32_t y, int32_t x) {
        out.mask[static_cast<int64_t>(y) * g.width + x] =
            gibbs_update(g, out.mask, y, x, rate, number, stream, last);
      });
    }
    poll();
    if (sweep < run.burn_in) continue;
    const int64_t kept = sweep - run.burn_in;
    for (int64_t i = 0; i < pixels; ++i) out.counts[i] += out.mask[i];
    if (run.keep_pairs) count_equal(g, out.mask, out.right_equal, out.down_equal);
    out.energies[kept] = energy(g, units, out.mask);
    if (out.best_mask && (kept == 0 || out.energies[kept] < best)) {
      best = out.energies[kept];
      memcpy(out.best_mask, out.mask, static_cast<size_t>(pixels));
    }
  }
}

void gibbs_image(const Grid& g, const GibbsRun& run, const GibbsOutput& out, Poll poll) {
  const int64_t pixels = static_cast<int64_t>(g.height) * g.width;
  memset(out.counts, 0, static_cast<size_t>(run.chains * pixels) * sizeof *out.counts);
#ifdef __AVX2__
  if (run.chains > 1 && can_pack(g)) return packed_chains(g, run, out, poll);
#endif
  for (int64_t c = 0; c < run.chains; ++c) {
    GibbsRun one = run;
    one.chain += static_cast<uint32_t>(c);
    GibbsOutput to = out;
    to.mask += c * pixels;
    to.counts += c * pixels;
    to.energies += c * run.sweeps;
    if (to.best_mask) to.best_mask += c * pixels;
    gibbs_chain(g, one, to, poll);
  }
}

template <bool torus>
void kawasaki_chain(const Grid& g, const KawasakiRun& run, KawasakiOutput& out, Poll poll) {
  const int64_t pixels = static_cast<int64_t>(g.height) * g.width;
  for (int64_t i = 0; i < pixels; ++i) {
    if (is_clamp(g.unary[i]) || !run.start_given) out.mask[i] = g.unary[i] == INFINITY;
  }
  Exchange e = make_exchange(g, run.beta, out.mask, out.workspace);
  const Stream stream{run.key, run.stream, run.chain};
  if (!run.start_given) start_at_random(e, run, stream);
  const EnergyUnits units = energy_units(g);
  memset(out.counts, 0, static_cast<size_t>(pixels) * sizeof *out.counts);
  out.exchanges = 0;
  for (int64_t sweep = 0; sweep < run.burn_in + run.sweeps; ++sweep) {
    poll();
    list_pixels(e);
    const uint32_t number = run.sweep_offset + static_cast<uint32_t>(sweep);
    const int64_t exchanges = exchange_sweep<torus>(e, stream, number, poll);
    if (sweep < run.burn_in) continue;
    for (int64_t i = 0; i < pixels; ++i) out.mask[i] = e.spins[i] > 0;
    for (int64_t i = 0; i < pixels; ++i) out.counts[i] += out.mask[i];
    if (run.keep_pairs) count_equal(g, out.mask, out.right_equal, out.down_equal);
    out.energies[sweep - run.burn_in] = energy_of(g, units, e.spins);
    out.exchanges += exchanges;
  }
}

void kawasaki_image(const Grid& g, const KawasakiRun& run, KawasakiOutput& out, Poll poll) {
  g.periodic ? kawasaki_chain<true>(g, run, out, poll) : kawasaki_chain<false>(g, run, out, poll);
}

bool one_exchange(const Grid& g, double beta, const uint32_t* draws, uint8_t* mask,
                  void* workspace) {
  Exchange e = make_exchange(g, beta, mask, workspace);
  list_pixels(e);
  const bool moved = exchange<true>(e, draws[0], draws[1], draws[2]);
  for (int64_t i = 0; i < e.pixels; ++i) mask[i] = e.spins[i] > 0;
  return moved;
}

void mean_field_image(const Grid& g, const MeanFieldRun& run, MeanFieldOutput& out, Poll poll) {
  const float rate = log2_odds_rate(run.beta);
  start_means(g, run, out.mean);
  out.sweeps = 0;
  out.change = static_cast<int64_t>(g.height) * g.width > 0 ? INFINITY : 0.0f;
#ifdef __AVX2__
  if (can_pack(g)) return packed_mean_field(g, run, out, poll);
#endif
  while (out.sweeps < run.max_sweeps && out.change > run.tolerance) {
    float change = 0.0f;
    for (int32_t c = 0; c < num_colours(g); ++c) {
      for_each_pixel(g, c, [&](int32_t y, int32_t x) {
        float& mean = out.mean[static_cast<int64_t>(y) * g.width + x];
        const float updated = mean_field_update(g, out.mean, y, x, rate);
        const float moved = magnitude(updated - mean);
        if (moved > change) change = moved;
        mean = updated;
      });
    }
    out.change = change;
    ++out.sweeps;
    poll();
  }
}

bool on(float log2_odds, uint32_t r) { return turns_on(heat_bath(log2_odds), r); }

#ifdef __AVX2__
constexpr int64_t kChainsAtOnce = ChainLanes::chains;

int64_t workspace_bytes(const Grid& g, int64_t chains) {
  if (!can_pack(g)) return 0;
  return chains > 1 ? chains_bytes(g) : packed_gibbs_bytes(g);
}
#else
constexpr int64_t kChainsAtOnce = 1;

int64_t workspace_bytes(const Grid&, int64_t) { return 0; }
#endif

}  // namespace

extern const Loops loops;
const Loops loops{MRFMASK_STRING(MRFMASK_ISA),
                  kChainsAtOnce,
                  workspace_bytes,
                  gibbs_image,
                  mean_field_image,
                  kawasaki_bytes,
                  kawasaki_image,
                  on,
                  one_exchange};

}  // namespace MRFMASK_ISA
}  // namespace mrfmask
