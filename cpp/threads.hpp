// Threads that sleep while they wait; the caller's own thread does the first share.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace crossfm {

// f(part) for part in [0, parts), at the same time.
template <class F>
void run_parts(int parts, F f) {
  std::vector<std::thread> others;
  others.reserve(parts > 0 ? static_cast<std::size_t>(parts - 1) : 0);
  for (int part = 1; part < parts; ++part) others.emplace_back([&f, part] { f(part); });
  f(0);
  for (auto& thread : others) thread.join();
}

inline int64_t part_begin(int64_t n, int part, int parts) { return n * part / parts; }

// All `parties` wait until the last one has come. Those that wait look again and again for a while before they sleep: to wake
// a thread takes as long as thousands of rows.
class Barrier {
 public:
  explicit Barrier(int parties)
      : parties_(parties), looks_(static_cast<unsigned>(parties) <= std::thread::hardware_concurrency() ? kLooks : 0) {}

  void wait() {
    const uint32_t round = round_.load(std::memory_order_acquire);
    if (waiting_.fetch_add(1, std::memory_order_acq_rel) + 1 == parties_) {
      waiting_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      round_.notify_all();
      return;
    }
    for (int i = 0; i < looks_; ++i) {
      if (round_.load(std::memory_order_acquire) != round) return;
      pause();
    }
    round_.wait(round, std::memory_order_acquire);
  }

 private:
  static constexpr int kLooks = 1 << 13;  // about 100 microseconds

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  const int parties_, looks_;
  std::atomic<int> waiting_{0};
  std::atomic<uint32_t> round_{0};
};

}  // namespace crossfm
