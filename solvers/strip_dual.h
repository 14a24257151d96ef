// The bound of the strips and masks near it, with or without a count of pixels on.
//
// With a limit, the bound is that of the energy + penalty * (what the mask comes to - amount) at
// the penalty that makes it largest. As in exact search by cuts, every mask is a line over the
// penalties; the next penalty is where those of two masks cross, one that comes to at most the
// amount and one to at least it. A mask below that crossing takes the place of one of the two.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "strip_bound.h"
#include "strip_decoder.h"

namespace mrfmask {

// What pixels cost, at least 0, and what those on may come to; none if the amount is below 0.
struct StripLimit {
  const int64_t* cost;
  int64_t amount;
  bool at_most;  // less than the amount will do, too
};

struct StripOutput {
  double* advantage;  // see StripBound::finish
  uint8_t* fewer;     // without a limit the best mask; else one that comes to at most the amount
  uint8_t* more;      // the same mask; else one that comes to at least the amount
  double bound;       // of the energy, of masks in the limit if there is one
  double penalty;
  int64_t sweeps;
};

// A gap this small, relative to the sum of all potentials, is rounding.
constexpr double kStripRounding = 1e-13;
// Sweeps end that gain less than this share of the gap.
constexpr double kStripGain = 1e-3;
// Narrow strips close most gaps, in less time.
constexpr int64_t kStripFirstBits = 4;
// Wide strips whose tables would take more are left out.
constexpr int64_t kStripMostBytes = int64_t{1} << 31;

// Calls visit(i, j, coupling) for all couplings.
template <typename Visit>
void for_each_coupling(const StripImage& image, Visit visit) {
  const int64_t h = image.height, w = image.width;
  const int64_t columns = image.periodic && w > 1 ? w : w - 1;
  const int64_t rows = image.periodic && h > 1 ? h : h - 1;
  for (int64_t y = 0; y < h; ++y) {
    for (int64_t x = 0; x < w; ++x) {
      const int64_t i = y * w + x;
      if (x < columns) visit(i, y * w + (x + 1) % w, image.right[y * columns + x]);
      if (y < rows) visit(i, (y + 1) % h * w + x, image.down[i]);
    }
  }
}

inline double strip_energy(const StripImage& image, const uint8_t* mask) {
  double energy = 0.0;
  for (int64_t i = 0; i < image.height * image.width; ++i) {
    energy -= mask[i] ? image.unary[i] : -image.unary[i];
  }
  for_each_coupling(image, [&](int64_t i, int64_t j, double coupling) {
    energy -= mask[i] == mask[j] ? coupling : -coupling;
  });
  return energy;
}

// The sum of their sizes.
inline double strip_potentials(const StripImage& image) {
  double sum = 0.0;
  for (int64_t i = 0; i < image.height * image.width; ++i) sum += std::abs(image.unary[i]);
  for_each_coupling(image, [&](int64_t, int64_t, double coupling) { sum += std::abs(coupling); });
  return sum;
}

// A mask over the penalties.
struct StripLine {
  std::vector<uint8_t> mask;
  int64_t spent;
  double energy;
};

// Finds the bound of an image: first with narrow strips, then with wide ones if a gap is left.
class StripSearch {
 public:
  StripSearch(const StripImage& image, const StripLimit& limit);

  // With tables of at most 2^bits states. Writes the bound and what belongs to it if it is better
  // than the one before. Whether the gap is closed.
  template <typename Poll>
  bool run(int64_t bits, int64_t sweeps, StripOutput& out, Poll&& poll);
  // What does not depend on the bound.
  void finish(StripOutput& out) const;

 private:
  StripLine line(std::vector<uint8_t> mask) const;
  // At the penalty: the line's energy.
  double at_penalty(const StripLine& line) const {
    return limited_ ? line.energy + penalty_ * static_cast<double>(line.spent - limit_.amount)
                    : line.energy;
  }
  // Whether the two masks cross at another penalty; goes there.
  bool cross();

  const StripImage& image_;
  StripLimit limit_;
  int64_t all_ = 0;  // what all pixels cost
  bool limited_;
  double tolerance_, penalty_ = 0.0;
  StripLine fewer_, more_;
};

inline StripSearch::StripSearch(const StripImage& image, const StripLimit& limit)
    : image_(image), limit_(limit) {
  const size_t size = static_cast<size_t>(image.height * image.width);
  for (size_t i = 0; i < size; ++i) all_ += limit.cost[i];
  limited_ = limit.amount >= 0 && !(limit.at_most && limit.amount >= all_);
  tolerance_ = kStripRounding * strip_potentials(image);
  fewer_ = line(std::vector<uint8_t>(size, 0));
  more_ = line(std::vector<uint8_t>(size, 1));
  if (!limited_ || limit.amount == 0) more_ = fewer_;
  if (limited_ && limit.amount == all_) fewer_ = more_;
  cross();
}

inline StripLine StripSearch::line(std::vector<uint8_t> mask) const {
  int64_t spent = 0;
  for (size_t i = 0; i < mask.size(); ++i) spent += mask[i] ? limit_.cost[i] : 0;
  const double energy = strip_energy(image_, mask.data());
  return StripLine{std::move(mask), spent, energy};
}

inline bool StripSearch::cross() {
  if (more_.spent == fewer_.spent) return false;
  penalty_ = (fewer_.energy - more_.energy) / static_cast<double>(more_.spent - fewer_.spent);
  // Below 0 the bound would hold for masks of just the amount alone.
  if (limit_.at_most) penalty_ = std::max(penalty_, 0.0);
  return true;
}

template <typename Poll>
bool StripSearch::run(int64_t bits, int64_t sweeps, StripOutput& out, Poll&& poll) {
  constexpr double kLeast = -std::numeric_limits<double>::infinity();
  if (limited_ && (limit_.amount == 0 || limit_.amount == all_)) {  // There is one such mask only.
    // As many roundings as terms, at most.
    const double terms = 3.0 * static_cast<double>(image_.height * image_.width);
    out.bound = fewer_.energy - std::ldexp(terms, -52) * strip_potentials(image_);
    return true;
  }
  StripBound strips(image_, bits);
  double before = kLeast;
  bool closed = false;
  // What the charge adds to the energy beyond the unaries.
  const auto constant = [&] {
    const double from_half = 0.5 * static_cast<double>(all_) - static_cast<double>(limit_.amount);
    return limited_ ? penalty_ * from_half : 0.0;
  };
  for (int64_t done = 0; done < sweeps; ++done, ++out.sweeps) {
    poll();
    strips.charge(penalty_, limit_.cost);
    const double bound = strips.sweep() + constant();
    std::vector<uint8_t> mask(static_cast<size_t>(image_.height * image_.width));
    strips.decode(mask.data());
    StripLine found = line(std::move(mask));
    const double value = at_penalty(found);
    const double best = std::min(at_penalty(fewer_), at_penalty(more_));
    if (value < best - tolerance_) {
      if (!limited_ || found.spent <= limit_.amount) fewer_ = found;
      if (!limited_ || found.spent >= limit_.amount) more_ = std::move(found);
      if (cross()) {
        before = kLeast;
        continue;
      }
    }
    const double gap = std::min(value, best) - bound;
    closed = gap <= tolerance_;
    if (closed || bound - before < kStripGain * gap) break;
    before = bound;
  }
  strips.charge(penalty_, limit_.cost);
  std::vector<double> advantage(static_cast<size_t>(image_.height * image_.width));
  const double bound =
      strips.finish(advantage.data()) + constant() - std::ldexp(std::abs(constant()), -50);
  if (bound > out.bound) {
    out.bound = bound;
    out.penalty = penalty_;
    std::copy(advantage.begin(), advantage.end(), out.advantage);
  }
  return closed;
}

inline void StripSearch::finish(StripOutput& out) const {
  std::copy(fewer_.mask.begin(), fewer_.mask.end(), out.fewer);
  std::copy(more_.mask.begin(), more_.mask.end(), out.more);
}

template <typename Poll>
void strip_dual_image(const StripImage& image, const StripLimit& limit, int64_t bits,
                      int64_t sweeps, StripOutput& out, Poll&& poll) {
  StripSearch search(image, limit);
  out.bound = -std::numeric_limits<double>::infinity();
  out.penalty = 0.0;
  out.sweeps = 0;
  std::fill(out.advantage, out.advantage + image.height * image.width, 0.0);
  const bool closed = search.run(std::min(bits, kStripFirstBits), sweeps, out, poll);
  if (!closed && bits > kStripFirstBits && StripBound::bytes(image, bits) <= kStripMostBytes) {
    search.run(bits, sweeps, out, poll);
  }
  search.finish(out);
}

}  // namespace mrfmask
