// Threads that sleep while they wait; the caller's own thread does the first share.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
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

// All `parties` wait until the last one has come.
class Barrier {
 public:
  explicit Barrier(int parties) : parties_(parties) {}

  void wait() {
    std::unique_lock lock(mutex_);
    const int64_t round = round_;
    if (++waiting_ == parties_) {
      waiting_ = 0;
      ++round_;
      all_here_.notify_all();
    } else {
      all_here_.wait(lock, [&] { return round_ != round; });
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_here_;
  const int parties_;
  int waiting_ = 0;
  int64_t round_ = 0;
};

}  // namespace crossfm
