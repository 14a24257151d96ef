// Work over the images of a batch on several threads. The threads live for one call only, so a
// process may fork at any other time (DataLoader workers do) and nothing is left behind.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace mrfmask {

// Thrown in the other threads once one of them failed.
struct Cancelled : std::exception {};

// Calls work(item, poll) for item = 0..items-1, each item on one thread, and rethrows the first
// exception. check() runs on the calling thread, from inside its work, whenever that polls: it may
// throw (Ctrl-C), which stops all threads at their next poll. Results cannot depend on `threads`.
template <typename Work, typename Check>
void for_each_item(int64_t items, int threads, Work work, Check check) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> cancelled{false};
  std::mutex mutex;
  std::exception_ptr first;
  int64_t running = 0;
  std::condition_variable finished;
  const auto fail = [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!first) first = std::current_exception();
    cancelled = true;
  };
  const auto run = [&](bool calling_thread) {
    const auto poll = [&, calling_thread] {
      if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
      if (calling_thread) check();
    };
    try {
      for (int64_t item = next++; item < items; item = next++) {
        poll();
        work(item, poll);
      }
    } catch (const Cancelled&) {
    } catch (...) {
      fail();
    }
  };
  std::vector<std::thread> pool;
  const int64_t wanted = threads < items ? threads : items;
  pool.reserve(static_cast<size_t>(wanted > 1 ? wanted - 1 : 0));
  const auto start_thread = [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    pool.emplace_back([&] {
      run(false);
      const std::lock_guard<std::mutex> inner(mutex);
      if (--running == 0) finished.notify_one();
    });
    ++running;
  };
  try {
    for (int64_t i = 1; i < wanted; ++i) start_thread();
  } catch (const std::system_error&) {
    // The system has no more threads to give; those that there are do all the work.
  }
  run(true);
  // Ctrl-C must stay alive while the others finish their last item.
  std::unique_lock<std::mutex> lock(mutex);
  while (!finished.wait_for(lock, std::chrono::milliseconds(50), [&] { return running == 0; })) {
    lock.unlock();
    try {
      check();
    } catch (...) {
      fail();
    }
    lock.lock();
  }
  lock.unlock();
  for (std::thread& thread : pool) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace mrfmask
