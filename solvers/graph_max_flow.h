// Maximum flow on any graph by shortest augmenting paths: to be replaced by a fast one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace mrfmask {

template <typename Capacity>
class GraphMaxFlow {
 public:
  GraphMaxFlow(int64_t nodes, int64_t edges, const int64_t* first, const int64_t* second)
      : nodes_(nodes), edges_(edges), first_(first), second_(second), rows_(nodes) {
    for (int64_t e = 0; e < edges; ++e) {
      rows_[first[e]].push_back(static_cast<int32_t>(e));
      rows_[second[e]].push_back(static_cast<int32_t>(e));
    }
  }

  template <typename Poll>
  int64_t solve(const Capacity* terminal, const Capacity* capacity, Poll&& poll,
                const void* = nullptr) {
    excess_.assign(terminal, terminal + nodes_);
    capacity_ = capacity;
    flow_.assign(edges_, 0);
    int64_t total = 0;
    for (;;) {
      poll();
      std::vector<int32_t> from(nodes_, -1), queue;
      for (int64_t v = 0; v < nodes_; ++v) {
        if (excess_[v] > 0) from[v] = -2, queue.push_back(static_cast<int32_t>(v));
      }
      int64_t end = -1;
      for (size_t k = 0; k < queue.size() && end < 0; ++k) {
        const int32_t v = queue[k];
        if (excess_[v] < 0) end = v;
        for (const int32_t e : rows_[v]) {
          const int32_t w = first_[e] == v ? second_[e] : first_[e];
          if (from[w] == -1 && left(e, v) > 0) from[w] = e, queue.push_back(w);
        }
      }
      if (end < 0) return total;
      Capacity amount = -excess_[end];
      int64_t v = end;
      for (; from[v] != -2;) {
        const int32_t e = from[v];
        const int32_t u = first_[e] == v ? second_[e] : first_[e];
        amount = std::min(amount, left(e, u));
        v = u;
      }
      amount = std::min(amount, excess_[v]);
      excess_[v] -= amount;
      excess_[end] += amount;
      total += amount;
      for (v = end; from[v] != -2;) {
        const int32_t e = from[v];
        const int32_t u = first_[e] == v ? second_[e] : first_[e];
        flow_[e] += first_[e] == u ? amount : -amount;
        v = u;
      }
    }
  }

  void source_side(bool, uint8_t* labels) {
    std::vector<int32_t> queue;
    std::fill(labels, labels + nodes_, 0);
    for (int64_t v = 0; v < nodes_; ++v) {
      if (excess_[v] > 0) labels[v] = 1, queue.push_back(static_cast<int32_t>(v));
    }
    for (size_t k = 0; k < queue.size(); ++k) {
      const int32_t v = queue[k];
      for (const int32_t e : rows_[v]) {
        const int32_t w = first_[e] == v ? second_[e] : first_[e];
        if (!labels[w] && left(e, v) > 0) labels[w] = 1, queue.push_back(w);
      }
    }
  }

  void edge_flows(Capacity* flow) const { std::copy(flow_.begin(), flow_.end(), flow); }

 private:
  Capacity left(int32_t e, int64_t v) const {
    return capacity_[e] - (first_[e] == v ? flow_[e] : -flow_[e]);
  }
  int64_t nodes_, edges_;
  const int64_t* first_;
  const int64_t* second_;
  const Capacity* capacity_ = nullptr;
  std::vector<std::vector<int32_t>> rows_;
  std::vector<Capacity> excess_, flow_;
};

}  // namespace mrfmask
