// A batch of images as the bindings hand it to the loops, and what runs need besides.
#pragma once

#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "bindings.h"
#include "loops.h"

namespace mrfmask::bindings {

// The loops that `find` has for an instruction set, "" for the best.
template <typename Table>
const Table& named(const std::string& isa, const Table* (*find)(const char*)) {
  const Table* loops = find(isa.empty() ? nullptr : isa.c_str());
  if (!loops) {
    const std::string text =
        "isa must name an instruction set of this machine; got " + isa + ". isas() lists them.";
    throw nb::value_error(text.c_str());
  }
  return *loops;
}

struct Batch {
  Array<const float, 3> unary, right, down;
  bool periodic;

  int64_t size() const { return static_cast<int64_t>(unary.shape(0)); }
  int64_t pixels() const { return static_cast<int64_t>(unary.shape(1) * unary.shape(2)); }
  Grid image(int64_t b) const {
    return Grid{unary.data() + b * pixels(),
                right.data() + b * static_cast<int64_t>(right.shape(1) * right.shape(2)),
                down.data() + b * static_cast<int64_t>(down.shape(1) * down.shape(2)),
                static_cast<int32_t>(unary.shape(1)),
                static_cast<int32_t>(unary.shape(2)),
                periodic};
  }
};

using Workspace = std::unique_ptr<void, decltype(&std::free)>;

inline Workspace make_workspace(int64_t bytes) {
  const size_t whole_lines = static_cast<size_t>(bytes + 63) / 64 * 64;
  Workspace memory(std::aligned_alloc(64, whole_lines), &std::free);
  if (!memory && whole_lines > 0) throw std::bad_alloc();
  return memory;
}

template <typename PollFunction>
Poll as_poll(PollFunction& poll) {
  return Poll{[](void* state) { (*static_cast<PollFunction*>(state))(); }, &poll};
}

// A private count for one group of chains, added to those of all groups of its image at its end.
class PairCounts {
 public:
  PairCounts(int64_t* total, int64_t size, std::mutex& mutex)
      : total_(total), mutex_(mutex), counts_(static_cast<size_t>(size)) {}
  int64_t* data() { return counts_.data(); }
  void add_to_total() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < counts_.size(); ++i) total_[i] += counts_[i];
  }

 private:
  int64_t* total_;
  std::mutex& mutex_;
  std::vector<int64_t> counts_;
};

}  // namespace mrfmask::bindings
