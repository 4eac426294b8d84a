// Threads that share one table, with private copies of the records that most rows want. Two threads that write one
// cache line in turns are slower than one thread; on skewed data they do so all the time. So each thread moves copies
// of its own of the frequent ids (and of the bias), and the copies are made one again, in rounds. Rare ids are shared, and
// threads race on them (Hogwild: Niu, Recht, Re, Wright, NeurIPS 2011).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels.hpp"

namespace crossfm {

constexpr int64_t kHotPlaces = 4096;  // private records a thread

// Rows that a thread visits until copies are reconciled: a sixteenth of what it has visited, within bounds. Weights
// move far in the first rows; apart for too long they would all make the same move, and together overshoot.
[[gnu::always_inline]] inline int64_t round_rows(int64_t visited, int n_threads) {
  const int64_t share = visited / n_threads / 16, most = 4096 / n_threads;
  return share < 8 || most < 8 ? 8 : share < most ? share : most;
}

class Hot {
 public:
  // `spare` has kHotPlaces records for each thread, and lies right behind the table's n_features records.
  Hot(const PassArgs& all, Rule rule, float* spare, int64_t n_features, int n_threads)
      : all_(all), rule_(rule), spare_(spare), n_features_(n_features), threads_(n_threads), key_(kHotPlaces, kNone) {
    choose();
    const int64_t stride = all.table.stride;
    base_.resize(claimed_.size() * static_cast<std::size_t>(stride));
    for (std::size_t n = 0; n < claimed_.size(); ++n) {
      const float* const record = all.table.data + key_[static_cast<std::size_t>(claimed_[n])] * stride;
      std::copy_n(record, stride, base(n));
      for (int thread = 0; thread < threads_; ++thread) std::copy_n(record, stride, copy_of(n, thread));
    }
    for (int n = 0; n < kBias; ++n) bias_base_[n] = all.bias[n];
    bias_.resize(static_cast<std::size_t>(threads_) * kBiasApart);
    for (int thread = 0; thread < threads_; ++thread) std::copy_n(all.bias, kBias, bias(thread));
  }

  float* bias(int thread) { return bias_.data() + thread * kBiasApart; }

  // Where a thread finds the record of a feature.
  [[gnu::always_inline]] uint32_t place(uint32_t id, int thread) const {
    const int64_t at = bucket(id);
    const auto copy = static_cast<uint32_t>(n_features_ + thread * kHotPlaces + at);
    return key_[static_cast<std::size_t>(at)] == id ? copy : id;
  }

  // Make a share of the copies one again; thread 0 does the bias.
  void reconcile(int thread) {
    const auto n = static_cast<int64_t>(claimed_.size());
    for (int64_t i = n * thread / threads_; i < n * (thread + 1) / threads_; ++i) {
      const auto at = static_cast<std::size_t>(i);
      merge(base(at), all_.table.stride, all_.table.padded, all_.table.w_at, all_.hyper.l1_V, all_.hyper.l2_V,
            [&](int t) { return copy_of(at, t); });
    }
    if (thread == 0) merge(bias_base_, kBias, 0, 0, 0.0f, 0.0f, [&](int t) { return bias(t); });
  }

  // Put the reconciled records back into the table, and leave the spare ones empty.
  void finish() {
    const int64_t stride = all_.table.stride;
    for (std::size_t n = 0; n < claimed_.size(); ++n)
      std::copy_n(base(n), stride, all_.table.data + key_[static_cast<std::size_t>(claimed_[n])] * stride);
    std::copy_n(bias_base_, kBias, all_.bias);
    std::fill_n(spare_, threads_ * kHotPlaces * stride, 0.0f);
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr int64_t kSample = 1 << 17;  // non-zeros looked at to find the frequent ids
  static constexpr int32_t kOften = 32;        // lead over others of its bucket that an id must have among them
  static constexpr int64_t kBias = 4, kBiasApart = 32;  // floats; biases lie on cache lines of their own

  [[gnu::always_inline]] static int64_t bucket(uint32_t id) { return (id * 0x9e3779b1u) >> 20; }
  static_assert(kHotPlaces == int64_t{1} << (32 - 20));

  float* base(std::size_t n) { return base_.data() + n * static_cast<std::size_t>(all_.table.stride); }
  float* copy_of(std::size_t n, int thread) {
    return spare_ + (thread * kHotPlaces + claimed_[n]) * all_.table.stride;
  }

  // The most frequent id of each bucket gets its place, found by majority vote (Boyer and Moore 1981).
  void choose() {
    std::vector<int32_t> votes(kHotPlaces, 0);
    int64_t seen = 0;
    for (int64_t i = all_.begin; i < all_.end && seen < kSample; ++i) {
      const int64_t row = all_.order[i];
      for (int64_t at = all_.rows.begin(row), end = all_.rows.end(row); at < end; ++at, ++seen) {
        const uint32_t id = all_.rows.indices[at];
        const auto place = static_cast<std::size_t>(bucket(id));
        if (votes[place] == 0) key_[place] = id;
        votes[place] += key_[place] == id ? 1 : -1;
      }
    }
    for (std::size_t place = 0; place < votes.size(); ++place) {
      if (votes[place] >= kOften) claimed_.push_back(static_cast<int64_t>(place));
      else key_[place] = kNone;
    }
  }

  // What the threads did to one record since they last agreed, put together, and given to all.
  // AdaGrad: accumulators add up, and the weight goes as far as steps under the sum would have taken it: for equal
  // gradients (sqrt(G + sum of all) - sqrt(G)) / (sum of (sqrt(G + own) - sqrt(G))) of the summed steps. FTRL: z and n add
  // up, and the weight follows from them. Elsewhere copies are averaged; Adam's count adds up.
  template <class Copy>
  void merge(float* own, int64_t size, int64_t padded, int64_t w_at, float l1_V, float l2_V, Copy copy) {
    const bool linear = padded == 0;
    const Hyper& h = all_.hyper;
    if (rule_ == Rule::adagrad) {
      for (int64_t f = 0; f < padded; ++f) own[f] += adagrad_move(own, f, f + padded, copy);
      own[w_at] += adagrad_move(own, w_at, w_at + 1, copy);
      for (int64_t f = padded; f < 2 * padded; ++f) add_up(own, f, copy);
      add_up(own, w_at + 1, copy);
    } else if (rule_ == Rule::adagrad_row) {
      for (int64_t f = 0; f < padded; ++f) own[f] += adagrad_move(own, f, w_at + 2, copy);
      own[w_at] += adagrad_move(own, w_at, w_at + 1, copy);
      add_up(own, w_at + 1, copy);
      if (!linear) add_up(own, w_at + 2, copy);
    } else if (rule_ == Rule::ftrl && h.ftrl_decay == 1.0f) {
      for (int64_t f = padded; f < 3 * padded; ++f) add_up(own, f, copy);
      add_up(own, w_at + 1, copy);
      add_up(own, w_at + 2, copy);
      for (int64_t f = 0; f < padded; ++f) own[f] = ftrl_weight(own[f + padded], own[f + 2 * padded], l1_V, l2_V);
      const bool is_bias = own == bias_base_;
      own[w_at] = ftrl_weight(own[w_at + 1], own[w_at + 2], is_bias ? 0.0f : h.l1_w, is_bias ? 0.0f : h.l2_w);
    } else {
      const float count = rule_ == Rule::adam ? own[w_at + 3] : 0.0f;
      float counted = count;
      for (int t = 0; t < threads_ && rule_ == Rule::adam; ++t) counted += copy(t)[w_at + 3] - count;
      for (int64_t f = 0; f < size; ++f) {
        float total = 0.0f;
        for (int t = 0; t < threads_; ++t) total += copy(t)[f];
        own[f] = total / static_cast<float>(threads_);
      }
      if (rule_ == Rule::adam) own[w_at + 3] = counted;
    }
    for (int t = 0; t < threads_; ++t) std::copy_n(own, size, copy(t));
  }

  template <class Copy>
  void add_up(float* own, int64_t f, Copy copy) const {
    const float before = own[f];
    for (int t = 0; t < threads_; ++t) own[f] += copy(t)[f] - before;
  }

  template <class Copy>
  float adagrad_move(const float* own, int64_t f, int64_t G, Copy copy) const {
    const float root = std::sqrt(own[G]);
    float move = 0.0f, gained = 0.0f, apart = 0.0f;
    for (int t = 0; t < threads_; ++t) {
      move += copy(t)[f] - own[f];
      gained += copy(t)[G] - own[G];
      apart += std::sqrt(copy(t)[G]) - root;
    }
    return apart > 0.0f ? move * (std::sqrt(own[G] + gained) - root) / apart : move;
  }

  float ftrl_weight(float z, float n, float l1, float l2) const {
    const float size = std::fabs(z);
    if (size <= l1) return 0.0f;
    return (z < 0.0f ? size - l1 : l1 - size) / ((all_.hyper.ftrl_beta + std::sqrt(n)) / all_.hyper.learning_rate + l2);
  }

  const PassArgs all_;
  const Rule rule_;
  float* const spare_;
  const int64_t n_features_;
  const int threads_;
  std::vector<uint32_t> key_;     // (kHotPlaces,) the id whose copies have this place
  std::vector<int64_t> claimed_;  // places in use
  std::vector<float> base_;       // records as last agreed on
  std::vector<float> bias_;
  float bias_base_[kBias];
};

// Rows of an order, copied a thousand at a time with their ids turned into places.
class PlacedRows {
 public:
  PlacedRows(const PassArgs& all, const Hot& hot, int thread)
      : all_(all), hot_(hot), thread_(thread), indptr_(kRows + 1), weight_(kRows), target_(kRows) {
    for (int64_t i = 0; i < kRows; ++i) order_.push_back(i);
  }

  // The rows order[begin, ...) as arguments of their own; moves `begin` on.
  PassArgs next(int64_t& begin, int64_t end) {
    const RowsView& rows = all_.rows;
    const int64_t n = std::min(end - begin, kRows);
    int64_t nnz = 0;
    for (int64_t i = begin; i < begin + n; ++i) nnz += rows.end(all_.order[i]) - rows.begin(all_.order[i]);
    make_room(nnz);
    int64_t to = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (begin + i + kAhead < end) fetch(all_.order[begin + i + kAhead]);
      const int64_t row = all_.order[begin + i], from = rows.begin(row), size = rows.end(row) - from;
      const auto at = static_cast<std::size_t>(i);
      for (int64_t j = 0; j < size; ++j) indices_.data()[to + j] = hot_.place(rows.indices[from + j], thread_);
      if (rows.values) std::copy_n(rows.values + from, size, values_.data() + to);
      to += size;
      indptr_[at + 1] = to;
      target_[at] = all_.target[row];
      if (all_.weight) weight_[at] = all_.weight[row];
    }
    begin += n;
    PassArgs part = all_;
    part.rows = {rows.indptr ? indptr_.data() : nullptr, indices_.data(), rows.values ? values_.data() : nullptr,
                 rows.width};
    part.order = order_.data();
    part.begin = 0;
    part.end = n;
    part.target = target_.data();
    part.weight = all_.weight ? weight_.data() : nullptr;
    return part;
  }

 private:
  static constexpr int64_t kRows = 1024, kAhead = 8;

  [[gnu::always_inline]] void fetch(int64_t row) const {
    __builtin_prefetch(all_.target + row);
    for (int64_t at = all_.rows.begin(row), end = all_.rows.end(row); at < end + 15; at += 16)
      __builtin_prefetch(all_.rows.indices + at);
  }

  const PassArgs& all_;
  const Hot& hot_;
  const int thread_;
  std::vector<int64_t> order_, indptr_;
  std::vector<uint32_t> indices_;
  std::vector<float> values_, weight_;
  std::vector<double> target_;

  void make_room(int64_t nnz) {
    const auto n = static_cast<std::size_t>(nnz);
    if (n <= indices_.size()) return;
    indices_.resize(n);
    if (all_.rows.values) values_.resize(n);
  }
};

}  // namespace crossfm
