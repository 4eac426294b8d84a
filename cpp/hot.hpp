// Threads that share one table, with private copies of the records that most rows want. Two threads that write one
// cache line in turns are slower than one thread; on skewed data they do so all the time. So each thread moves copies
// of its own of the frequent ids (and of the bias), and the copies are made one again, in rounds. Rare ids are shared, and
// threads race on them (Hogwild: Niu, Recht, Re, Wright, NeurIPS 2011).
#pragma once

#include <algorithm>
#include <vector>

#include "kernels.hpp"

namespace crossfm {

// Rows that a thread visits until copies are reconciled: a sixteenth of what it has visited, within bounds. Weights
// move far in the first rows; apart for too long they would all make the same move, and together overshoot.
[[gnu::always_inline]] inline int64_t round_rows(int64_t visited, int n_threads) {
  const int64_t share = visited / n_threads / 16, most = 32768 / n_threads / n_threads;
  return share < 8 || most < 8 ? 8 : share < most ? share : most;
}

class Hot {
 public:
  // `spare` has HotPlaces::count records for each thread, and lies right behind the table's n_features records. No row has
  // more than `longest` non-zeros.
  Hot(const PassArgs& all, Rule rule, float* spare, int64_t n_features, int64_t longest, int n_threads)
      : all_(all),
        rule_(rule),
        spare_(spare),
        n_features_(n_features),
        longest_(longest),
        threads_(n_threads),
        key_(kPlaces, kNone) {
    choose();
    ring_.resize(static_cast<std::size_t>(threads_ * ring_size()));
    const int64_t stride = all.table.stride;
    base_.resize(claimed_.size() * static_cast<std::size_t>(stride));
    for (std::size_t n = 0; n < claimed_.size(); ++n) {
      std::copy_n(record(n), stride, base_.data() + n * static_cast<std::size_t>(stride));
      for (int thread = 0; thread < threads_; ++thread) std::copy_n(record(n), stride, copy_of(n, thread));
    }
    std::copy_n(all.bias, kBias, bias_base_);
    bias_.resize(static_cast<std::size_t>(threads_) * kBiasApart);
    for (int thread = 0; thread < threads_; ++thread) std::copy_n(all.bias, kBias, bias(thread));
  }

  // The arguments of one thread: its own copies of records, and of the bias.
  PassArgs args(int thread) {
    PassArgs mine = all_;
    mine.bias = bias(thread);
    mine.hot = {key_.data(), static_cast<uint32_t>(n_features_ + thread * HotPlaces::count),
                ring_.data() + thread * ring_size(), room()};
    return mine;
  }

  // Make a share of the copies one again; thread 0 does the bias.
  void reconcile(int thread) {
    const auto n = static_cast<int64_t>(claimed_.size());
    const Table& t = all_.table;
    const int64_t states = t.half ? t.padded / 2 : t.padded;
    MergeArgs a{rule_,  all_.hyper,   t.stride, t.padded,         t.w_at, states, t.padded, t.half, base_.data(),
                spare_, claimed_.data(), HotPlaces::count * t.stride, threads_,
                n * thread / threads_, n * (thread + 1) / threads_};
    isa().merge(a);
    if (thread != 0) return;
    const int64_t only = 0;
    a.hyper.l1_w = a.hyper.l2_w = 0.0f;  // never penalised
    a.stride = kBias, a.factors = a.w_at = 0, a.half = false;
    a.base = bias_base_, a.copies = bias_.data(), a.places = &only, a.apart = kBiasApart;
    a.begin = 0, a.end = 1;
    isa().merge(a);
  }

  // Put the copies, which are all the same now, back into the table, and leave the spare records empty.
  void finish() {
    const int64_t stride = all_.table.stride;
    for (std::size_t n = 0; n < claimed_.size(); ++n) std::copy_n(copy_of(n, 0), stride, record(n));
    std::copy_n(bias(0), kBias, all_.bias);
    std::fill_n(spare_, threads_ * HotPlaces::count * stride, 0.0f);
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr std::size_t kPlaces = HotPlaces::count;
  static constexpr int64_t kSample = 1 << 18;  // non-zeros looked at to find the frequent ids
  static constexpr int32_t kOften = 16;         // lead over others of its bucket that an id must have among them
  static constexpr int64_t kBias = 4, kBiasApart = 32;  // floats; biases lie on cache lines of their own

  float* record(std::size_t n) const {
    return all_.table.data + key_[static_cast<std::size_t>(claimed_[n])] * all_.table.stride;
  }
  float* copy_of(std::size_t n, int thread) const {
    return spare_ + (thread * HotPlaces::count + claimed_[n]) * all_.table.stride;
  }
  float* bias(int thread) { return bias_.data() + thread * kBiasApart; }
  int64_t room() const { return longest_ + 16; }
  int64_t ring_size() const { return HotPlaces::slots * 2 * room(); }

  // The most frequent id of each bucket gets its place, found by majority vote (Boyer and Moore 1981).
  void choose() {
    std::vector<int32_t> votes(kPlaces, 0);
    int64_t seen = 0;
    for (int64_t i = all_.begin; i < all_.end && seen < kSample; ++i) {
      const int64_t row = all_.order[i];
      for (int64_t at = all_.rows.begin(row), end = all_.rows.end(row); at < end; ++at, ++seen) {
        const uint32_t id = all_.rows.indices[at], place = HotPlaces::bucket(id);
        if (votes[place] == 0) key_[place] = id;
        votes[place] += key_[place] == id ? 1 : -1;
      }
    }
    for (std::size_t place = 0; place < votes.size(); ++place) {
      if (votes[place] >= kOften) claimed_.push_back(static_cast<int64_t>(place));
      else key_[place] = kNone;
    }
  }

  const PassArgs all_;
  const Rule rule_;
  float* const spare_;
  const int64_t n_features_;
  const int64_t longest_;
  const int threads_;
  std::vector<uint32_t> key_;     // (HotPlaces::count,) the id whose copies have this place
  std::vector<int64_t> claimed_;  // places in use
  std::vector<uint32_t> ring_;
  std::vector<float> base_;  // records as last agreed on
  std::vector<float> bias_;
  float bias_base_[kBias];
};

}  // namespace crossfm
