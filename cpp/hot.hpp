// Threads that share one table, with private copies of the records that most rows want. Two threads that write one
// cache line in turns are slower than one thread; on skewed data they do so all the time. So each thread moves copies
// of its own of the frequent ids (and of the bias), and the copies are made one again, in rounds. Rare ids are shared, and
// threads race on them (Hogwild: Niu, Recht, Re, Wright, NeurIPS 2011).
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels.hpp"
#include "threads.hpp"

namespace crossfm {

// Rows that a thread visits until copies are reconciled: a sixteenth of what it has visited, within bounds. Weights
// move far in the first rows; apart for too long they would all make the same move, and together overshoot.
[[gnu::always_inline]] inline int64_t round_rows(int64_t visited, int n_threads) {
  const int64_t share = visited / n_threads / 16, most = 32768 / n_threads / n_threads;
  return share < 8 || most < 8 ? 8 : share < most ? share : most;
}

// The ids that deserve copies: of each bucket the most frequent one of a sample.
class FrequentIds {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  // Found by majority vote (Boyer and Moore 1981).
  explicit FrequentIds(const PassArgs& all) : key(HotPlaces::count, kNone) {
    std::vector<int32_t> votes(key.size(), 0);
    int64_t seen = 0;
    for (int64_t i = all.begin; i < all.end && seen < kSample; ++i) {
      const Row row = row_of(all.rows, all.order[i]);
      for (int64_t at = 0; at < row.n; ++at, ++seen) {
        const uint32_t id = row.ids[at], place = HotPlaces::bucket(id);
        if (votes[place] == 0) key[place] = id;
        votes[place] += key[place] == id ? 1 : -1;
      }
    }
    for (std::size_t place = 0; place < votes.size(); ++place) {
      if (votes[place] >= kOften) claimed.push_back(static_cast<int64_t>(place));
      else key[place] = kNone;
    }
  }

  uint32_t id(std::size_t n) const { return key[static_cast<std::size_t>(claimed[n])]; }

  std::vector<uint32_t> key;     // (HotPlaces::count,) the id whose copies have this place
  std::vector<int64_t> claimed;  // places in use

 private:
  static constexpr int64_t kSample = 1 << 18;  // non-zeros looked at
  static constexpr int32_t kOften = 16;         // lead over others of its bucket that an id must have among them
};

// A share of n copies for one of the threads that merge them.
inline void take_share(MergeArgs& a, int64_t n, int thread) {
  a.begin = part_begin(n, thread, a.threads);
  a.end = part_begin(n, thread + 1, a.threads);
}

// The bias has copies too.
class BiasCopies {
 public:
  BiasCopies(float* bias, int n_threads) : bias_(bias), copies_(static_cast<std::size_t>(n_threads) * kApart) {
    std::copy_n(bias, kSize, base_);
    for (int thread = 0; thread < n_threads; ++thread) std::copy_n(bias, kSize, of(thread));
  }

  float* of(int thread) { return copies_.data() + thread * kApart; }

  // Make them one again; of `a` the rule, its numbers and the threads.
  void reconcile(MergeArgs a) {
    const int64_t only = 0;
    a.hyper.l1_w = a.hyper.l2_w = 0.0f;  // never penalised
    a.stride = kSize, a.factors = a.w_at = 0, a.half = false;
    a.base = base_, a.copies = copies_.data(), a.places = &only, a.apart = kApart;
    a.begin = 0, a.end = 1;
    isa().merge(a);
  }

  void finish() { std::copy_n(of(0), kSize, bias_); }

 private:
  static constexpr int64_t kSize = 4, kApart = 32;  // floats; they lie on cache lines of their own

  float* const bias_;
  float base_[kSize];
  std::vector<float> copies_;
};

// Of the second-order machine: a thread has its copies behind the table.
class Hot {
 public:
  // `spare` has HotPlaces::count records for each thread, and lies right behind the table's n_features records;
  // `longest` is the number of non-zeros of the longest row.
  Hot(const PassArgs& all, Rule rule, float* spare, int64_t n_features, int64_t longest, int n_threads)
      : all_(all),
        rule_(rule),
        spare_(spare),
        n_features_(n_features),
        longest_(longest),
        threads_(n_threads),
        ids_(all),
        bias_(all.bias, n_threads) {
    ring_.resize(static_cast<std::size_t>(threads_ * ring_size()));
    const int64_t stride = all.table.stride;
    base_.resize(ids_.claimed.size() * static_cast<std::size_t>(stride));
    for (std::size_t n = 0; n < ids_.claimed.size(); ++n) {
      std::copy_n(record(n), stride, base_.data() + n * static_cast<std::size_t>(stride));
      for (int thread = 0; thread < threads_; ++thread) std::copy_n(record(n), stride, copy_of(n, thread));
    }
  }

  // The arguments of one thread: its own copies of records, and of the bias.
  PassArgs args(int thread) {
    PassArgs mine = all_;
    mine.bias = bias_.of(thread);
    mine.hot = {ids_.key.data(), static_cast<uint32_t>(n_features_ + thread * HotPlaces::count),
                ring_.data() + thread * ring_size(), room()};
    return mine;
  }

  // Make a share of the copies one again; thread 0 does the bias.
  void reconcile(int thread) {
    const Table& t = all_.table;
    const int64_t states = t.half ? t.padded / 2 : t.padded;
    MergeArgs a{rule_,        all_.hyper, t.stride,            t.padded,                   t.w_at,   states, t.padded, t.half,
                base_.data(), spare_,     ids_.claimed.data(), HotPlaces::count * t.stride, threads_, 0,      0};
    take_share(a, static_cast<int64_t>(ids_.claimed.size()), thread);
    isa().merge(a);
    if (thread == 0) bias_.reconcile(a);
  }

  // Put the copies, which are all the same now, back into the table, and leave the spare records empty.
  void finish() {
    const int64_t stride = all_.table.stride;
    for (std::size_t n = 0; n < ids_.claimed.size(); ++n) std::copy_n(copy_of(n, 0), stride, record(n));
    bias_.finish();
    std::fill_n(spare_, threads_ * HotPlaces::count * stride, 0.0f);
  }

 private:
  float* record(std::size_t n) const { return all_.table.data + ids_.id(n) * all_.table.stride; }
  float* copy_of(std::size_t n, int thread) const {
    return spare_ + (thread * HotPlaces::count + ids_.claimed[n]) * all_.table.stride;
  }
  int64_t room() const { return longest_ + 16; }
  int64_t ring_size() const { return HotPlaces::slots * 2 * room(); }

  const PassArgs all_;
  const Rule rule_;
  float* const spare_;
  const int64_t n_features_, longest_;
  const int threads_;
  const FrequentIds ids_;
  BiasCopies bias_;
  std::vector<uint32_t> ring_;
  std::vector<float> base_;  // records as last agreed on
};

// Of the field-aware machine: records differ in length, so the copies of each kind lie together, and ids behind the
// features' own say where.
class FieldHot {
 public:
  // `spare` are HotPlaces::count entries right behind the n_features of `all.layout.where`, all kNoRecord.
  FieldHot(const FieldPassArgs& all, Rule rule, uint32_t* spare, int64_t n_features, int64_t n_kinds, int n_threads)
      : all_(all),
        rule_(rule),
        spare_(spare),
        n_features_(n_features),
        threads_(n_threads),
        ids_(all.pass),
        bias_(all.pass.bias, n_threads),
        kinds_(static_cast<std::size_t>(n_kinds)) {
    for (std::size_t n = 0; n < ids_.claimed.size(); ++n) {
      const uint32_t* where = all.layout.where + 2 * static_cast<int64_t>(ids_.id(n));
      if (where[0] == kNoRecord) continue;  // its place says so too
      std::vector<uint32_t>& numbers = kinds_[where[1]].numbers;
      uint32_t* const place = spare_ + 2 * ids_.claimed[n];
      place[0] = static_cast<uint32_t>(numbers.size()), place[1] = where[1] | kCopy;
      numbers.push_back(where[0]);
    }
    copies_of_.resize(static_cast<std::size_t>(n_kinds * threads_));
    for (int64_t k = 0; k < n_kinds; ++k) {
      Kind& kind = kinds_[static_cast<std::size_t>(k)];
      const int64_t length = all.layout.length[k], n = kind.size();
      kind.base.resize(static_cast<std::size_t>(n * length / kLine));
      kind.copies.resize(static_cast<std::size_t>(threads_ * n * length / kLine));
      kind.places.resize(static_cast<std::size_t>(n));
      std::iota(kind.places.begin(), kind.places.end(), 0);
      for (int thread = -1; thread < threads_; ++thread)
        for (int64_t i = 0; i < n; ++i)
          std::copy_n(record(k, i), length, (thread < 0 ? floats(kind.base) : copy_of(k, thread)) + i * length);
      for (int thread = 0; thread < threads_; ++thread)
        copies_of_[static_cast<std::size_t>(thread * n_kinds + k)] = copy_of(k, thread);
    }
  }

  FieldPassArgs args(int thread) {
    FieldPassArgs mine = all_;
    mine.pass.bias = bias_.of(thread);
    mine.pass.hot = {ids_.key.data(), static_cast<uint32_t>(n_features_), nullptr, 0};
    mine.layout.copies = copies_of_.data() + static_cast<std::size_t>(thread) * kinds_.size();
    return mine;
  }

  void reconcile(int thread) {
    const FieldLayout& l = all_.layout;
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      Kind& kind = kinds_[k];
      const int64_t length = l.length[k], factors = l.half ? 2 * l.head[k] : l.head[k];
      const FieldStates states = states_of(l.head[k], l.half);
      MergeArgs a{rule_,        all_.pass.hyper,    length,  factors, l.head[k], states.first, states.apart, l.half, floats(kind.base),
                  floats(kind.copies), kind.places.data(), kind.size() * length, threads_, 0, 0};
      take_share(a, kind.size(), thread);
      isa().merge(a);
    }
    if (thread == 0) bias_.reconcile({rule_, all_.pass.hyper, 0, 0, 0, 0, 0, false, nullptr, nullptr, nullptr, 0, threads_, 0, 0});
  }

  void finish() {
    for (int64_t k = 0; k < static_cast<int64_t>(kinds_.size()); ++k)
      for (int64_t i = 0; i < kinds_[static_cast<std::size_t>(k)].size(); ++i)
        std::copy_n(copy_of(k, 0) + i * all_.layout.length[k], all_.layout.length[k], record(k, i));
    bias_.finish();
    std::fill_n(spare_, 2 * HotPlaces::count, kNoRecord);
  }

 private:
  struct alignas(64) Line {
    float f[kLine];
  };
  struct Kind {
    std::vector<uint32_t> numbers;  // of the records that have copies
    std::vector<int64_t> places;    // 0, 1, ...
    std::vector<Line> base;         // (n, length) as last agreed on
    std::vector<Line> copies;       // (threads, n, length)
    int64_t size() const { return static_cast<int64_t>(numbers.size()); }
  };

  static float* floats(std::vector<Line>& lines) { return reinterpret_cast<float*>(lines.data()); }
  float* record(int64_t k, int64_t i) const {
    return all_.layout.block[k] + kinds_[static_cast<std::size_t>(k)].numbers[static_cast<std::size_t>(i)] * all_.layout.length[k];
  }
  float* copy_of(int64_t k, int thread) {
    Kind& kind = kinds_[static_cast<std::size_t>(k)];
    return floats(kind.copies) + thread * kind.size() * all_.layout.length[k];
  }

  const FieldPassArgs all_;
  const Rule rule_;
  uint32_t* const spare_;
  const int64_t n_features_;
  const int threads_;
  const FrequentIds ids_;
  BiasCopies bias_;
  std::vector<Kind> kinds_;
  std::vector<float*> copies_of_;  // (threads, n_kinds)
};

// Threads go through their parts of n rows in rounds that all end together; then copies are made one again. `visitor(part)`
// gives what visits rows [begin, end) of a part and returns their loss.
template <class Copies, class Visitor>
double visit_in_rounds(Copies& copies, int64_t n, int64_t visited, int n_threads, Visitor visitor) {
  Barrier barrier(n_threads);
  std::vector<double> totals(static_cast<std::size_t>(n_threads), 0.0);
  const int64_t most = (n + n_threads - 1) / n_threads;
  run_parts(n_threads, [&](int part) {
    auto visit = visitor(part);
    int64_t at = part_begin(n, part, n_threads);
    const int64_t end = part_begin(n, part + 1, n_threads);
    double mine = 0.0;
    for (int64_t done = 0; done < most;) {
      const int64_t round = round_rows(visited + done * n_threads, n_threads), stop = std::min(end, at + round);
      if (at < stop) mine += visit(at, stop);
      at = stop;
      done += round;
      barrier.wait();
      copies.reconcile(part);
      barrier.wait();
    }
    totals[static_cast<std::size_t>(part)] = mine;
  });
  copies.finish();
  return std::accumulate(totals.begin(), totals.end(), 0.0);
}

}  // namespace crossfm
