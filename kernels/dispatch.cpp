#include "diagonal_loops.h"
#include "loops.h"

namespace mrfmask {

namespace baseline {
extern const Loops loops;
extern const DiagonalLoops diagonal_loops;
}  // namespace baseline
#ifdef MRFMASK_X86
namespace avx2 {
extern const Loops loops;
extern const DiagonalLoops diagonal_loops;
}  // namespace avx2
namespace avx512 {
extern const Loops loops;
extern const DiagonalLoops diagonal_loops;
}  // namespace avx512
#endif

namespace {

// The first of a table's builds that this processor has, or the named one.
template <typename Table>
const Table* find(const char* name, const Table* const (&best_first)[3]) {
  bool has[3] = {false, false, true};
#ifdef MRFMASK_X86
  __builtin_cpu_init();
  has[1] = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  has[0] = has[1] && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  for (int i = 0; i < 3; ++i) {
    if (has[i] && (!name || strcmp(name, best_first[i]->name) == 0)) return best_first[i];
  }
  return nullptr;
}

}  // namespace

#ifdef MRFMASK_X86
#define MRFMASK_BUILDS(table) {&avx512::table, &avx2::table, &baseline::table}
#else
#define MRFMASK_BUILDS(table) {nullptr, nullptr, &baseline::table}
#endif

const Loops* find_loops(const char* name) { return find<Loops>(name, MRFMASK_BUILDS(loops)); }

const DiagonalLoops* find_diagonal_loops(const char* name) {
  return find<DiagonalLoops>(name, MRFMASK_BUILDS(diagonal_loops));
}

}  // namespace mrfmask
