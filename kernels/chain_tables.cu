// Builds the tables of chain_tables.h: one thread a pixel's state of neighbours, 256 threads an
// octet of both column parities, each writing its own entry.
//
// Launch: 256 threads a block, octets * images blocks, no shared memory.
#include "chain_tables.h"

namespace mrfmask {
namespace device {

// log2_rates: images x total_sweeps, of which the first counts.
extern "C" __global__ void chain_tables_build(const float* unary, const float* right,
                                              const float* down, int32_t height, int32_t width,
                                              int32_t periodic, const float* log2_rates,
                                              int32_t total_sweeps, float* unaries, float* fields,
                                              uint16_t* bars) {
  const Batch batch{unary, right, down, height, width, periodic, 1};
  const int64_t octets = packed_octets(height, width);
  const int64_t image = blockIdx.x / octets, octet = blockIdx.x % octets;
  const uint32_t state = threadIdx.x & 15u;
  const int32_t site = static_cast<int32_t>(threadIdx.x >> 4 & 7u);
  const int32_t parity = static_cast<int32_t>(threadIdx.x >> 7);
  const Grid g = batch.image(image);
  const Window w = whole_image(g);
  const int32_t i = static_cast<int32_t>(octet), slot = i / w.blocks;
  const int32_t y = slot == 0 || slot > 2 * w.half ? -1 : row_of(w, i);
  const int32_t x = 16 * block_of(w, i) + 2 * site + parity;
  float own = 0.0f, field = 0.0f, odds = 0.0f;
  if (y >= 0 && y < height && x < width) {
    const float u = g.unary[static_cast<int64_t>(y) * width + x];
    own = is_clamp(u) ? 0.0f : flush(u);
    // The neighbours of a torus may be one and the same pixel, so they are told apart by the order
    // in which local_field asks.
    uint32_t asked = 0;
    const uint32_t absent = (x >= right_columns(g) ? 1u : 0u) | (x == 0 && !wraps_x(g) ? 2u : 0u) |
                            (y >= down_rows(g) ? 4u : 0u) | (y == 0 && !wraps_y(g) ? 8u : 0u);
    field = local_field(g, y, x, [state, absent, &asked](int64_t) {
      while (absent >> asked & 1u) ++asked;
      return state >> asked++ & 1u ? 1.0f : -1.0f;
    });
    odds = log2_odds(g, y, x, log2_rates[image * total_sweeps], field);
  }
  const HeatBath h = heat_bath(odds);
  uint32_t from = 0, to = 65535;
  while (from < to) {
    const uint32_t middle = (from + to) / 2;
    if (turns_on(h, middle << 16 | 0xffffu)) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  const int64_t entry = ((2 * image + parity) * octets + octet) * 8 + site;
  if (state == 0) unaries[entry] = own;
  fields[16 * entry + state] = field;
  bars[16 * entry + state] = static_cast<uint16_t>(from);
}

}  // namespace device
}  // namespace mrfmask
