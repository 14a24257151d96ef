// A power of the distance between two pixels, looked up.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace mrfmask {

// 1 / d^power for all offsets within an image, 0 at the pixel itself; the same bits everywhere, as
// only products, square roots and quotients are in it. Shared by the images of a batch.
class DistanceTable {
 public:
  // Columns of a tile; rows are padded to whole tiles, so that loops over them have fixed length.
  static constexpr int64_t kColumns = 32;

  DistanceTable(int64_t height, int64_t width, int64_t power)
      : height(height),
        width(width),
        stride((width + kColumns - 1) / kColumns * kColumns),
        row_(width - 1 + stride),
        values_(static_cast<size_t>(height * row_)) {
    for (int64_t dy = 0; dy < height; ++dy) {
      for (int64_t dx = 0; dx < stride; ++dx) {
        const double value = inverse_power(static_cast<double>(dy * dy + dx * dx), power);
        values_[static_cast<size_t>(dy * row_ + width - 1 + dx)] = value;
        if (dx < width) values_[static_cast<size_t>(dy * row_ + width - 1 - dx)] = value;
      }
    }
  }

  double at(int64_t dy, int64_t dx) const {
    return values_[static_cast<size_t>(std::abs(dy) * row_ + width - 1 + dx)];
  }
  // For pixels (y, x...) seen from (from_y, from_x).
  const double* line(int64_t y, int64_t x, int64_t from_y, int64_t from_x) const {
    return &values_[static_cast<size_t>(std::abs(y - from_y) * row_ + width - 1 + x - from_x)];
  }

  const int64_t height, width, stride;

 private:
  static double inverse_power(double squared, int64_t power) {
    if (squared == 0.0) return 0.0;
    double product = power % 2 ? std::sqrt(squared) : 1.0;
    for (int64_t i = 0; i < power / 2; ++i) product *= squared;
    return 1.0 / product;
  }

  int64_t row_;
  std::vector<double> values_;
};

}  // namespace mrfmask
