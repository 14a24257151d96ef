// From potentials to the integers that a cut works on: one power-of-two scale a model, what
// rounding cost, and flows brought from one scale to another.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace mrfmask {

// Flows brought from one scale to another and within the capacities. Any such numbers are a flow to
// start from, since pixels may hold excess.
template <typename Capacity, typename Flow>
std::vector<Capacity> fit_flow(const Flow* flow, int64_t shift,
                               const std::vector<Capacity>& capacities) {
  std::vector<Capacity> fitted(capacities.size());
  // Nothing is left of a flow that is shifted further.
  const double scale = std::ldexp(1.0, static_cast<int>(std::clamp<int64_t>(shift, -70, 70)));
  for (size_t i = 0; i < fitted.size(); ++i) {
    const double scaled = static_cast<double>(flow[i]) * scale;
    const double most = static_cast<double>(capacities[i]);
    // Compared as double first: the conversion back must not overflow.
    const Capacity value = scaled >= most    ? capacities[i]
                           : scaled <= -most ? -capacities[i]
                                             : static_cast<Capacity>(scaled);
    // As a double `most` may be a little more than the capacity.
    fitted[i] = std::clamp<Capacity>(value, -capacities[i], capacities[i]);
  }
  return fitted;
}

// The sum of finite numbers in double; eight partial sums, so that no addition waits for another.
template <typename Real>
double sum_finite(const Real* values, int64_t count) {
  double lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int k = 0; k < 8; ++k) lanes[k] += std::isinf(values[i + k]) ? 0.0 : values[i + k];
  }
  double sum = 0.0;
  for (; i < count; ++i) sum += std::isinf(values[i]) ? 0.0 : values[i];
  for (const double lane : lanes) sum += lane;
  return sum;
}

// The largest k with value * 2^k below 2^bits, a millionth of it left for rounding.
inline int largest_exponent(double value, int bits) {
  int power = 0;
  const double fraction = std::frexp(value, &power);  // in [0.5, 1)
  return bits - power - (fraction > 1.0 - 1e-6 ? 1 : 0);
}

// value * 2^exponent to the nearest integer, ties to even, and what that cost.
template <typename Capacity>
class Rounder {
 public:
  // Twice: the cut form doubles unary and pairwise.
  explicit Rounder(int exponent) : scale_(std::ldexp(1.0, exponent + 1)) {}

  Capacity operator()(double value) {
    const double scaled = value * scale_;
    double integer;
    if (sizeof(Capacity) == 4) {
      // Adding 1.5 * 2^52 leaves no bits for a fraction; below 2^51 in magnitude.
      integer = (scaled + 0x1.8p52) - 0x1.8p52;
    } else {
      integer = std::nearbyint(scaled);
    }
    cost_ += std::abs(integer - scaled);
    underflow_ |= (scaled == 0.0) & (value != 0.0);
    return static_cast<Capacity>(integer);
  }

  // Zero only if nothing was rounded at all.
  double cost() const {
    return underflow_ ? cost_ + std::numeric_limits<double>::denorm_min() : cost_;
  }

 private:
  double scale_;
  double cost_ = 0.0;
  bool underflow_ = false;
};

// Scales are chosen from sums of potentials times 2^-kShrink: so far below the range of double no
// sum overflows, and what underflows is too small for any exponent allowed here.
constexpr int kShrink = 60;

// The largest exponent of a scale that keeps the strongest site (|unary| + 2 sum of its couplings)
// below 2^site_bits in the cut form, and the total (sum of |unary| and all couplings, each counted
// at both ends) below 2^62. Both arguments shrunk; 0 for zeros.
inline int exponent_for(double strongest, double total, int site_bits) {
  if (strongest == 0.0) return 0;
  // kShrink + 1: the cut form doubles everything. Up to 1000, powers of two and their products with
  // the values stay within double.
  const int by_site = largest_exponent(strongest, site_bits);
  const int by_total = largest_exponent(total, 62);
  return std::min(std::min(by_site, by_total) - kShrink - 1, 1000);
}

}  // namespace mrfmask
