#include "loops.h"

namespace mrfmask {

namespace baseline {
extern const Loops loops;
}
#ifdef MRFMASK_X86
namespace avx2 {
extern const Loops loops;
}
namespace avx512 {
extern const Loops loops;
}
#endif

const Loops* find_loops(const char* name) {
  const Loops* best_first[3] = {nullptr, nullptr, &baseline::loops};
#ifdef MRFMASK_X86
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_avx512) best_first[0] = &avx512::loops;
  if (has_avx2) best_first[1] = &avx2::loops;
#endif
  for (const Loops* loops : best_first) {
    if (loops && (!name || strcmp(name, loops->name) == 0)) return loops;
  }
  return nullptr;
}

}  // namespace mrfmask
