// The solvers on graphs, for Python. Edges come as (2, edges): all first nodes, then all second.
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "bindings.h"
#include "gauge.h"
#include "graph_model.h"
#include "min_marginals.h"
#include "qpbo.h"
#include "threads.h"

namespace mrfmask::bindings {

namespace {

// Flows of an earlier cut, in 32 or 64 bits.
using Flows = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// Solvers of one graph, as many as work at a time.
template <typename Solver>
class SolverPool {
 public:
  SolverPool(int64_t nodes, int64_t edges, const int64_t* first, const int64_t* second)
      : build_([=] { return std::make_unique<Solver>(nodes, edges, first, second); }) {}

  template <typename Use>
  void use(Use use) {
    std::unique_ptr<Solver> solver;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        solver = std::move(idle_.back());
        idle_.pop_back();
      }
    }
    if (!solver) solver = build_();
    use(*solver);
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(solver));
  }

 private:
  const std::function<std::unique_ptr<Solver>()> build_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Solver>> idle_;
};

template <typename Real>
class Models {
 public:
  Models(const Array<const Real, 2>& unary, const Array<const int64_t, 2>& edges,
         const Array<const Real, 2>& pairwise)
      : unary_(unary.data()),
        pairwise_(pairwise.data()),
        first_(edges.data()),
        batch_(static_cast<int64_t>(unary.shape(0))),
        nodes_(static_cast<int64_t>(unary.shape(1))),
        edges_(static_cast<int64_t>(edges.shape(1))) {}

  int64_t batch() const { return batch_; }
  int64_t nodes() const { return nodes_; }
  int64_t edges() const { return edges_; }
  const int64_t* first() const { return first_; }
  const int64_t* second() const { return first_ + edges_; }
  GraphModel<Real> operator[](int64_t b) const {
    return {unary_ + b * nodes_, pairwise_ + b * edges_, nodes_, edges_, first(), second()};
  }

 private:
  const Real* unary_;
  const Real* pairwise_;
  const int64_t* first_;
  int64_t batch_, nodes_, edges_;
};

template <typename Real, typename Capacity>
void cut_graph(Array<const Real, 2> unary, Array<const int64_t, 2> edges,
               Array<const Real, 2> pairwise, Flows start_flow, Array<const uint8_t, 2> start_mask,
               Array<const int64_t, 1> start_exponent, bool tie_max, Array<uint8_t, 2> mask,
               Array<int64_t, 1> exponent, Array<double, 1> bound, Array<double, 1> rounding,
               Array<Capacity, 2> flow, int threads) {
  const Models<Real> models(unary, edges, pairwise);
  const bool warm = start_exponent.shape(0) > 0;
  const bool wide = start_flow.dtype() == nb::dtype<int64_t>();
  const nb::gil_scoped_release release;
  SolverPool<GraphMaxFlow<Capacity>> solvers(models.nodes(), models.edges(), models.first(),
                                             models.second());
  const auto run_model = [&](int64_t b, auto poll) {
    GraphCutStart start{};
    if (warm) {
      start = {static_cast<const char*>(start_flow.data()) + b * models.edges() * (wide ? 8 : 4),
               wide, start_mask.data() + b * models.nodes(), start_exponent.data()[b]};
    }
    GraphCutOutput<Capacity> out{mask.data() + b * models.nodes(), flow.data() + b * models.edges(),
                                 0, 0.0, 0.0};
    solvers.use([&](GraphMaxFlow<Capacity>& solver) {
      graph_cut_model(models[b], solver, start, tie_max, out, poll);
    });
    exponent.data()[b] = out.exponent;
    bound.data()[b] = out.bound;
    rounding.data()[b] = out.rounding;
  };
  for_each_item(models.batch(), threads, run_model, SignalCheck());
}

template <typename Real>
void gauge(Array<const Real, 2> unary, Array<const int64_t, 2> edges, Array<const Real, 2> pairwise,
           Array<uint8_t, 2> turned, Array<uint8_t, 1> balanced, int threads) {
  const Models<Real> models(unary, edges, pairwise);
  const nb::gil_scoped_release release;
  const auto run_model = [&](int64_t b, auto) {
    balanced.data()[b] = find_gauge(models.nodes(), models.edges(), models.first(), models.second(),
                                    models[b].pairwise, turned.data() + b * models.nodes());
  };
  for_each_item(models.batch(), threads, run_model, SignalCheck());
}

template <typename Real>
void min_marginals(Array<const Real, 2> unary, Array<const int64_t, 2> edges,
                   Array<const Real, 2> pairwise, Array<const int64_t, 1> sites,
                   Array<uint8_t, 2> mask, Array<int64_t, 1> exponent, Array<double, 1> bound,
                   Array<double, 1> rounding, Array<int64_t, 2> flow, Array<double, 3> growth,
                   int threads) {
  const Models<Real> models(unary, edges, pairwise);
  const int64_t count = static_cast<int64_t>(sites.shape(0));
  const nb::gil_scoped_release release;
  SolverPool<SiteFlow<int64_t>> solvers(models.nodes(), models.edges(), models.first(),
                                        models.second());
  const auto run_model = [&](int64_t b, auto poll) {
    GraphCutOutput<int64_t> out{mask.data() + b * models.nodes(), flow.data() + b * models.edges(),
                                0, 0.0, 0.0};
    solvers.use([&](SiteFlow<int64_t>& solver) {
      min_marginals_model(models[b], solver, sites.data(), count, out,
                          growth.data() + 2 * b * count, poll);
    });
    exponent.data()[b] = out.exponent;
    bound.data()[b] = out.bound;
    rounding.data()[b] = out.rounding;
  };
  for_each_item(models.batch(), threads, run_model, SignalCheck());
}

// Edges come by pairs of nodes here: `pair_of` says to which pair of nodes an edge belongs.
template <typename Real, typename Capacity>
void qpbo(Array<const Real, 2> unary, Array<const Real, 2> pairwise,
          Array<const int64_t, 1> pair_of, Array<const int64_t, 1> first,
          Array<const int64_t, 1> second, Array<uint8_t, 2> on, Array<uint8_t, 2> off,
          Array<uint8_t, 2> strong, Array<uint8_t, 2> mask, Array<Capacity, 3> flow,
          Array<int64_t, 1> exponent, Array<double, 1> bound, Array<double, 1> rounding,
          int threads) {
  const int64_t nodes = static_cast<int64_t>(unary.shape(1));
  const int64_t edges = static_cast<int64_t>(pairwise.shape(1));
  const int64_t pairs = static_cast<int64_t>(first.shape(0));
  const nb::gil_scoped_release release;
  const PairRows rows(nodes, pairs, first.data(), second.data());
  const auto run_model = [&](int64_t b, auto poll) {
    const int64_t at = b * nodes;
    const PairedModel<Real> model{unary.data() + at,
                                  pairwise.data() + b * edges,
                                  pair_of.data(),
                                  first.data(),
                                  second.data(),
                                  nodes,
                                  edges,
                                  pairs};
    QpboOutput<Capacity> out{on.data() + at,
                             off.data() + at,
                             strong.data() + at,
                             mask.data() + at,
                             flow.data() + b * 2 * pairs,
                             0,
                             0.0,
                             0.0};
    qpbo_model(model, rows, out, poll);
    exponent.data()[b] = out.exponent;
    bound.data()[b] = out.bound;
    rounding.data()[b] = out.rounding;
  };
  for_each_item(static_cast<int64_t>(unary.shape(0)), threads, run_model, SignalCheck());
}

}  // namespace

void bind_graphs(nb::module_& m) {
  m.def("cut_graph", &cut_graph<float, int32_t>);
  m.def("cut_graph", &cut_graph<float, int64_t>);
  m.def("cut_graph", &cut_graph<double, int32_t>);
  m.def("cut_graph", &cut_graph<double, int64_t>);
  m.def("gauge", &gauge<float>);
  m.def("gauge", &gauge<double>);
  m.def("qpbo", &qpbo<float, int32_t>);
  m.def("qpbo", &qpbo<float, int64_t>);
  m.def("qpbo", &qpbo<double, int32_t>);
  m.def("qpbo", &qpbo<double, int64_t>);
  m.def("min_marginals", &min_marginals<float>);
  m.def("min_marginals", &min_marginals<double>);
}

}  // namespace mrfmask::bindings
