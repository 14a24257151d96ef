// Runs unmodified .cu files on a CPU: one fiber per CUDA thread, in a shuffled order.
//
// A fiber runs until it meets a barrier (__syncthreads, or a shuffle or vote of its warp) or ends;
// then the next one runs. The order is drawn anew for every round, so threads that no barrier holds
// back run far ahead of others or far behind: what a missing barrier may do on a card, but from a
// seed. Shared memory is filled with rubbish (NaN as floats) before every block, and under
// AddressSanitizer all of it beyond what the launch asked for is out of bounds.
//
// Errors end the program: a barrier that only some threads of a block reach, and a warp operation
// that only some lanes of a warp reach.
#pragma once

#ifndef __x86_64__
#include <ucontext.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define MRFMASK_CUDA_SHIM
#define __global__
#define __device__
#define __host__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

inline Dim3 threadIdx, blockIdx, blockDim, gridDim;

// The most a block may ask for on compute capability 9.0.
constexpr size_t kMaxSharedBytes = 232448;
uint4 shared_memory[kMaxSharedBytes / sizeof(uint4)];

namespace shim {

constexpr size_t kStackBytes = 128 * 1024;

enum class State { kReady, kAtBlockBarrier, kAtWarpBarrier, kDone };

// Where a fiber or the scheduler goes on. ucontext asks the kernel for its signal mask twice a
// switch, which takes most of the time, so the usual processor has its own few instructions.
#ifdef __x86_64__
struct Context {
  void* stack_pointer = nullptr;
};

extern "C" void mrfmask_shim_switch(void** save, void* load);
__asm__(
    ".text\n.globl mrfmask_shim_switch\n.type mrfmask_shim_switch, @function\n"
    "mrfmask_shim_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");

inline void switch_context(Context& from, Context& to) {
  mrfmask_shim_switch(&from.stack_pointer, to.stack_pointer);
}

inline void begin_context(Context& context, std::vector<char>& stack, void (*entry)()) {
  const uintptr_t top = reinterpret_cast<uintptr_t>(stack.data() + stack.size()) / 16 * 16;
  void** at = reinterpret_cast<void**>(top) - 8;  // six registers, the entry, no return address
  std::memset(at, 0, 8 * sizeof *at);
  at[6] = reinterpret_cast<void*>(entry);
  context.stack_pointer = at;
}
#else
using Context = ucontext_t;

inline void switch_context(Context& from, Context& to) { swapcontext(&from, &to); }

inline void begin_context(Context& context, std::vector<char>& stack, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack.data();
  context.uc_stack.ss_size = stack.size();
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}
#endif

struct Fiber {
  Context context;
  std::vector<char> stack;
  State state = State::kDone;
  uint64_t given = 0;  // what the lane hands to its warp
  void* fake_stack = nullptr;
};

struct Machine {
  std::vector<Fiber> fibers;  // of the largest block so far
  size_t threads = 0;         // of this block
  Context scheduler;
  void* scheduler_fake_stack = nullptr;
  const void* scheduler_stack = nullptr;
  size_t scheduler_stack_size = 0;
  size_t current = 0;
  std::function<void()> kernel;
  std::mt19937 order{1};
  long barriers = 0;
};

inline Machine machine;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "shim: %s (block %u, thread %u)\n", what, blockIdx.x, threadIdx.x);
  std::exit(3);
}

inline void leave_scheduler(Fiber& fiber) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&machine.scheduler_fake_stack, fiber.stack.data(),
                                 fiber.stack.size());
#endif
  switch_context(machine.scheduler, fiber.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(machine.scheduler_fake_stack, nullptr, nullptr);
#endif
}

inline void enter_fiber(void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, &machine.scheduler_stack,
                                  &machine.scheduler_stack_size);
#else
  static_cast<void>(fake_stack);
#endif
}

inline void wait_in(State state) {
  Fiber& fiber = machine.fibers[machine.current];
  fiber.state = state;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(state == State::kDone ? nullptr : &fiber.fake_stack,
                                 machine.scheduler_stack, machine.scheduler_stack_size);
#endif
  switch_context(fiber.context, machine.scheduler);
  enter_fiber(fiber.fake_stack);
}

inline void run_fiber() {
  enter_fiber(nullptr);
  machine.kernel();
  wait_in(State::kDone);
}

// Lets threads pass a barrier of `group` threads from `first` that all of them have reached.
inline bool release(size_t first, size_t group, State barrier) {
  size_t waiting = 0, done = 0;
  const size_t last = std::min(first + group, machine.threads);
  for (size_t i = first; i < last; ++i) {
    waiting += machine.fibers[i].state == barrier;
    done += machine.fibers[i].state == State::kDone;
  }
  if (waiting == 0 || waiting + done < last - first) return false;
  if (done > 0) fail("a barrier that some threads have left without");
  for (size_t i = first; i < last; ++i) machine.fibers[i].state = State::kReady;
  return true;
}

inline void run_block() {
  std::vector<size_t> order(machine.threads);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i : order) {
    Fiber& fiber = machine.fibers[i];
    fiber.state = State::kReady;
    begin_context(fiber.context, fiber.stack, run_fiber);
  }
  for (;;) {
    std::shuffle(order.begin(), order.end(), machine.order);
    for (size_t i : order) {
      if (machine.fibers[i].state != State::kReady) continue;
      machine.current = i;
      threadIdx.x = static_cast<unsigned>(i);
      leave_scheduler(machine.fibers[i]);
    }
    bool released = false;
    for (size_t first = 0; first < order.size(); first += 32) {
      released |= release(first, 32, State::kAtWarpBarrier);
    }
    if (release(0, order.size(), State::kAtBlockBarrier)) {
      released = true;
      ++machine.barriers;
    }
    if (released) continue;
    for (size_t i : order) {
      if (machine.fibers[i].state != State::kDone)
        fail("threads wait for each other at different barriers");
    }
    return;
  }
}

// kernel<<<grid, block, shared_bytes>>>, where `kernel` is a function that makes the call.
inline void launch(Dim3 grid, unsigned block, size_t shared_bytes, std::function<void()> kernel) {
  if (shared_bytes > kMaxSharedBytes || block == 0 || block > 1024 || block % 32 != 0) {
    fail("no such launch");
  }
  machine.kernel = std::move(kernel);
  if (machine.fibers.size() < block) {
    machine.fibers = std::vector<Fiber>(block);
    for (Fiber& fiber : machine.fibers) fiber.stack.resize(kStackBytes);
  }
  machine.threads = block;
  gridDim = grid;
  blockDim = Dim3{block, 1, 1};
  const unsigned blocks = grid.x * grid.y * grid.z;
  std::vector<unsigned> order(blocks);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), machine.order);
  for (unsigned b : order) {
    blockIdx = Dim3{b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    std::memset(shared_memory, 0xff, sizeof shared_memory);
#if defined(__SANITIZE_ADDRESS__)
    char* end = reinterpret_cast<char*>(shared_memory) + shared_bytes;
    ASAN_POISON_MEMORY_REGION(end, kMaxSharedBytes - shared_bytes);
#endif
    run_block();
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(shared_memory, kMaxSharedBytes);
#endif
  }
}

// Every lane gives a value and gets that of lane `source`.
template <typename T>
T exchange(T value, unsigned source) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "a register or two");
  Fiber& mine = machine.fibers[machine.current];
  mine.given = 0;
  std::memcpy(&mine.given, &value, sizeof value);
  wait_in(State::kAtWarpBarrier);
  const size_t first = machine.current / 32 * 32;
  const uint64_t taken = machine.fibers[first + source].given;
  wait_in(State::kAtWarpBarrier);  // nobody gives anew before all have taken
  T result;
  std::memcpy(&result, &taken, sizeof result);
  return result;
}

// Off by up to 2^-21 of the value, differently every time: harsher than any card.
inline float exp2_roughly(float x) {
  static std::mt19937 noise(7);
  const double error = (static_cast<double>(noise()) / 4294967296.0 * 2.0 - 1.0) * 0x1p-21;
  const float exact = static_cast<float>(std::exp2(static_cast<double>(x)) * (1.0 + error));
  return exact < 0x1p-126f ? 0.0f : exact;
}

// Off by one unit in the last place, up or down or not at all: by chance, or as a test chooses.
constexpr int kByChance = 2;
inline int reciprocal_ulps = kByChance;
inline float reciprocal_roughly(float x) {
  static std::mt19937 noise(8);
  const float exact = 1.0f / x;
  const int ulps =
      reciprocal_ulps == kByChance ? static_cast<int>(noise() % 3) - 1 : reciprocal_ulps;
  return ulps == 0 ? exact : std::nextafter(exact, ulps < 0 ? 0.0f : 2.0f);
}

}  // namespace shim

namespace shim {

// MRFMASK_WITHOUT_BARRIER=file.cu:line takes one barrier out of the kernels, to see what depends on
// it.
inline const char* left_out() {
  static const char* const name = std::getenv("MRFMASK_WITHOUT_BARRIER");
  return name;
}

inline void block_barrier(const char* file, int line) {
  if (left_out() != nullptr) {
    const char* slash = std::strrchr(file, '/');
    const std::string here = std::string(slash ? slash + 1 : file) + ":" + std::to_string(line);
    if (here == left_out()) return;
  }
  wait_in(State::kAtBlockBarrier);
}

}  // namespace shim

#define __syncthreads() shim::block_barrier(__FILE__, __LINE__)
inline void __syncwarp(unsigned = 0xffffffffu) { shim::exchange(0, 0); }

template <typename T>
T __shfl_xor_sync(unsigned, T value, int distance) {
  return shim::exchange(value, (threadIdx.x % 32u) ^ static_cast<unsigned>(distance));
}

template <typename T>
T __shfl_sync(unsigned, T value, int source, int width = 32) {
  const unsigned inside = static_cast<unsigned>(width) - 1u;
  return shim::exchange(value,
                        (threadIdx.x % 32u & ~inside) | (static_cast<unsigned>(source) & inside));
}

inline unsigned __ballot_sync(unsigned, int predicate) {
  shim::Machine& m = shim::machine;
  m.fibers[m.current].given = predicate != 0;
  shim::wait_in(shim::State::kAtWarpBarrier);
  unsigned votes = 0;
  for (size_t lane = 0; lane < 32; ++lane) {
    votes |= static_cast<unsigned>(m.fibers[m.current / 32 * 32 + lane].given) << lane;
  }
  shim::wait_in(shim::State::kAtWarpBarrier);
  return votes;
}

inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value = std::max(value, __shfl_xor_sync(mask, value, distance));
  }
  return value;
}

inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }

using std::max;
using std::min;

inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Byte i of the result is byte (selector >> 4 i) & 7 of the eight bytes of b:a.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    result |= static_cast<unsigned>(bytes >> (8 * (selector >> (4 * i) & 7u)) & 0xffu) << (8 * i);
  }
  return result;
}

inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  const uint64_t both = static_cast<uint64_t>(high) << 32 | low;
  return static_cast<unsigned>(both << (shift & 31u) >> 32);
}

inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}

inline unsigned atomicMax(unsigned* at, unsigned value) {
  const unsigned old = *at;
  *at = std::max(old, value);
  return old;
}

inline int atomicAdd(int* at, int value) {
  const int old = *at;
  *at += value;
  return old;
}
