// The quotient of mean_field_octets.h is the rounded one for what exp2_negative gives, whichever
// way the rough reciprocal errs by one unit in the last place.
//
// exp2_negative rounds its fraction to multiples of 2^-22, so in [1/2, 1] it gives one value for
// each of those, and the same times powers of two below; below 2^-25, 1 - e and 1 + e are 1. All
// values of the first octave are tried, and one in a prime number below.
#include "cuda_shim.h"

#define MRFMASK_ISA baseline
#include "../../kernels/mean_field_octets.h"

int main() {
  long tried = 0, failed = 0;
  for (int octave = 0; octave <= 25; ++octave) {
    const uint32_t step = octave == 0 ? 1 : 61;
    for (uint32_t k = 0; k < 1u << 22; k += step) {
      const float distance = static_cast<float>(octave) + static_cast<float>(k) * 0x1p-22f;
      const float e = mrfmask::baseline::exp2_negative(distance);
      const float numerator = 1.0f - e, denominator = 1.0f + e, exact = numerator / denominator;
      for (int ulps = -1; ulps <= 1; ++ulps) {
        shim::reciprocal_ulps = ulps;
        ++tried;
        failed += mrfmask::device::mean_quotient(numerator, denominator) != exact;
      }
    }
  }
  std::printf("%ld tried, %ld failed\n", tried, failed);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
