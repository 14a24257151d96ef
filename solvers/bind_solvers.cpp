// The combinatorial solvers, for Python.
#include <algorithm>

#include "bindings.h"
#include "budget_path.h"
#include "cost_limit.h"
#include "exact_count.h"
#include "graph_cut.h"
#include "long_range.h"
#include "strip_dual.h"
#include "threads.h"

namespace mrfmask::bindings {

namespace {

// Flows of an earlier cut, in 32 or 64 bits.
using Flows = nb::ndarray<nb::ro, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <typename Real, typename Capacity>
void graph_cut(Array<const Real, 3> unary, Array<const Real, 3> right, Array<const Real, 3> down,
               bool periodic, Flows start_right, Flows start_down,
               Array<const uint8_t, 3> start_mask, Array<const int64_t, 1> start_exponent,
               bool tie_max, Array<uint8_t, 3> mask, Array<int64_t, 1> exponent,
               Array<double, 1> bound, Array<double, 1> rounding, Array<Capacity, 3> flow_right,
               Array<Capacity, 3> flow_down, int threads) {
  const int64_t height = static_cast<int64_t>(unary.shape(1));
  const int64_t width = static_cast<int64_t>(unary.shape(2));
  const int64_t right_size = static_cast<int64_t>(right.shape(1) * right.shape(2));
  const int64_t down_size = static_cast<int64_t>(down.shape(1) * down.shape(2));
  const bool warm = start_exponent.shape(0) > 0;
  const bool wide = start_right.dtype() == nb::dtype<int64_t>();
  const auto flow_at = [wide](const Flows& flows, int64_t offset) {
    return static_cast<const char*>(flows.data()) + offset * (wide ? 8 : 4);
  };
  const nb::gil_scoped_release release;
  const auto run_image = [&](int64_t b, auto poll) {
    const CutImage<Real> image{unary.data() + b * height * width,
                               right.data() + b * right_size,
                               down.data() + b * down_size,
                               height,
                               width,
                               periodic};
    CutStart start{};
    if (warm) {
      start = {flow_at(start_right, b * right_size), flow_at(start_down, b * down_size), wide,
               start_mask.data() + b * height * width, start_exponent.data()[b]};
    }
    CutOutput<Capacity> out{mask.data() + b * height * width,
                            flow_right.data() + b * right_size,
                            flow_down.data() + b * down_size,
                            0,
                            0.0,
                            0.0};
    graph_cut_image(image, start, tie_max, out, poll);
    exponent.data()[b] = out.exponent;
    bound.data()[b] = out.bound;
    rounding.data()[b] = out.rounding;
  };
  for_each_item(static_cast<int64_t>(unary.shape(0)), threads, run_image, SignalCheck());
}

template <typename Real>
void reach_count(Array<const Real, 3> unary, Array<const Real, 3> right, Array<const Real, 3> down,
                 bool periodic, Array<const int64_t, 1> count, Array<uint8_t, 3> mask,
                 int threads) {
  const int64_t height = static_cast<int64_t>(unary.shape(1));
  const int64_t width = static_cast<int64_t>(unary.shape(2));
  const nb::gil_scoped_release release;
  const auto run_image = [&](int64_t b, auto poll) {
    const CutImage<Real> image{
        unary.data() + b * height * width,
        right.data() + b * static_cast<int64_t>(right.shape(1) * right.shape(2)),
        down.data() + b * static_cast<int64_t>(down.shape(1) * down.shape(2)),
        height,
        width,
        periodic};
    reach_count(image, count.data()[b], mask.data() + b * height * width, poll);
  };
  for_each_item(static_cast<int64_t>(unary.shape(0)), threads, run_image, SignalCheck());
}

template <typename Real>
void keep_limit(Array<const Real, 3> unary, Array<const Real, 3> right, Array<const Real, 3> down,
                bool periodic, Array<const int64_t, 3> price, Array<const int64_t, 1> limit,
                Array<uint8_t, 3> mask, int threads) {
  const int64_t height = static_cast<int64_t>(unary.shape(1));
  const int64_t width = static_cast<int64_t>(unary.shape(2));
  const int64_t size = height * width;
  const nb::gil_scoped_release release;
  const auto run_image = [&](int64_t b, auto poll) {
    const CutImage<Real> image{
        unary.data() + b * size,
        right.data() + b * static_cast<int64_t>(right.shape(1) * right.shape(2)),
        down.data() + b * static_cast<int64_t>(down.shape(1) * down.shape(2)),
        height,
        width,
        periodic};
    keep_limit(image, price.data() + b * size, limit.data()[b], mask.data() + b * size, poll);
  };
  for_each_item(static_cast<int64_t>(unary.shape(0)), threads, run_image, SignalCheck());
}

template <typename Real>
void budget_path(Array<const Real, 3> unary, Array<const Real, 3> right, Array<const Real, 3> down,
                 bool periodic, Array<int32_t, 3> order, Array<int32_t, 3> block,
                 Array<double, 2> penalty, Array<int64_t, 2> drop, Array<int64_t, 1> masks,
                 Array<int64_t, 1> exponent, Array<double, 1> rounding, int threads) {
  const int64_t height = static_cast<int64_t>(unary.shape(1));
  const int64_t width = static_cast<int64_t>(unary.shape(2));
  const int64_t size = height * width;
  const nb::gil_scoped_release release;
  const auto run_image = [&](int64_t b, auto poll) {
    const CutImage<Real> image{
        unary.data() + b * size,
        right.data() + b * static_cast<int64_t>(right.shape(1) * right.shape(2)),
        down.data() + b * static_cast<int64_t>(down.shape(1) * down.shape(2)),
        height,
        width,
        periodic};
    PathOutput out{order.data() + b * size,
                   block.data() + b * size,
                   penalty.data() + b * size,
                   drop.data() + b * size,
                   0,
                   0,
                   0.0};
    budget_path_image(image, out, poll);
    masks.data()[b] = out.masks;
    exponent.data()[b] = out.exponent;
    rounding.data()[b] = out.rounding;
  };
  for_each_item(static_cast<int64_t>(unary.shape(0)), threads, run_image, SignalCheck());
}

// stats of an image: energy after insertion, energy, swaps, passes, 1 if it is a local optimum.
void long_range(Array<const double, 3> weight, Array<const int64_t, 1> count, int64_t power,
                int64_t most_passes, Array<uint8_t, 3> state, Array<double, 2> stats, int threads) {
  const int64_t height = static_cast<int64_t>(weight.shape(1));
  const int64_t width = static_cast<int64_t>(weight.shape(2));
  const nb::gil_scoped_release release;
  const DistanceTable table(height, width, power);
  const auto run_image = [&](int64_t b, auto poll) {
    const int64_t at = b * height * width;
    LongRange search(table, weight.data() + at, state.data() + at);
    search.insert(count.data()[b], poll);
    const double greedy = search.energy();
    const double done = search.improve(most_passes, poll) ? 1.0 : 0.0;
    const double values[5] = {greedy, search.energy(), static_cast<double>(search.swaps),
                              static_cast<double>(search.passes), done};
    std::copy(values, values + 5, stats.data() + 5 * b);
  };
  for_each_item(static_cast<int64_t>(weight.shape(0)), threads, run_image, SignalCheck());
}

// Without limits if `amount` is empty.
void strip_dual(Array<const double, 3> unary, Array<const double, 3> right,
                Array<const double, 3> down, bool periodic, Array<const int64_t, 3> cost,
                Array<const int64_t, 1> amount, bool at_most, int64_t bits, int64_t sweeps,
                Array<double, 1> bound, Array<double, 1> penalty, Array<uint8_t, 3> fewer,
                Array<uint8_t, 3> more, Array<double, 3> advantage, Array<int64_t, 1> done,
                int threads) {
  const int64_t height = static_cast<int64_t>(unary.shape(1));
  const int64_t width = static_cast<int64_t>(unary.shape(2));
  const bool limited = amount.shape(0) > 0;
  const nb::gil_scoped_release release;
  const auto run_image = [&](int64_t b, auto poll) {
    const int64_t at = b * height * width;
    const StripImage image{unary.data() + at,
                           right.data() + b * static_cast<int64_t>(right.shape(1) * right.shape(2)),
                           down.data() + b * static_cast<int64_t>(down.shape(1) * down.shape(2)),
                           height,
                           width,
                           periodic};
    StripOutput out{advantage.data() + at, fewer.data() + at, more.data() + at, 0.0, 0.0, 0};
    const StripLimit limit{cost.data() + at, limited ? amount.data()[b] : -1, at_most};
    strip_dual_image(image, limit, bits, sweeps, out, poll);
    bound.data()[b] = out.bound;
    penalty.data()[b] = out.penalty;
    done.data()[b] = out.sweeps;
  };
  for_each_item(static_cast<int64_t>(unary.shape(0)), threads, run_image, SignalCheck());
}

}  // namespace

void bind_solvers(nb::module_& m) {
  m.def("graph_cut", &graph_cut<float, int32_t>);
  m.def("graph_cut", &graph_cut<float, int64_t>);
  m.def("graph_cut", &graph_cut<double, int32_t>);
  m.def("graph_cut", &graph_cut<double, int64_t>);
  m.def("reach_count", &reach_count<float>);
  m.def("reach_count", &reach_count<double>);
  m.def("keep_limit", &keep_limit<float>);
  m.def("keep_limit", &keep_limit<double>);
  m.def("budget_path", &budget_path<float>);
  m.def("budget_path", &budget_path<double>);
  m.def("long_range", &long_range);
  m.def("strip_dual", &strip_dual);
}

}  // namespace mrfmask::bindings
