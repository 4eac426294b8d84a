// What several threads did to copies of the same records since they last agreed, put together and given to all.
#pragma once

#include "half.hpp"
#include "rules.hpp"

namespace crossfm::CROSSFM_ISA {

constexpr int64_t kMergeAhead = 8;  // records that are fetched before they are needed

// One record of MergeArgs: the one agreed on, and each thread's copy of it. S holds a factor.
template <class S>
class Copies {
 public:
  Copies(const MergeArgs& a, int64_t i)
      : own(a.base + i * a.stride), first_(a.copies + a.places[i] * a.stride), apart_(a.apart), threads_(a.threads) {}

  float* of(int thread) const { return first_ + thread * apart_; }

  template <class T>
  void add_up(int64_t f) const {
    const T before = get<T>(own + f);
    T total = before;
    for (int t = 0; t < threads_; ++t) total += get<T>(of(t) + f) - before;
    put<T>(own + f, total);
  }

  // How many threads have moved their copy of n factors and of the floats [at, size); a zero whose sign alone is another has
  // not moved.
  int movers(int64_t n, int64_t at, int64_t size) const {
    int count = 0;
    for (int t = 0; t < threads_; ++t) {
      bool moved = false;
      for (int64_t f = 0; f < n; ++f) moved |= factor(of(t), f) != factor(own, f);
      for (int64_t f = at; f < size; ++f) moved |= of(t)[f] != own[f];
      count += moved;
    }
    return count;
  }

  // AdaGrad: how much of the summed steps the weight goes, under accumulators at G. For equal gradients it is as far
  // as steps under their sum would have taken it: (sqrt(G + sum of all) - sqrt(G)) / (sum of (sqrt(G + own) - sqrt(G))).
  template <class T>
  T share(int64_t G) const {
    const T before = get<T>(own + G), root = vsqrt(before);
    T gained{}, apart{};
    for (int t = 0; t < threads_; ++t) {
      const T now = get<T>(of(t) + G);
      gained += now - before;
      apart += (now - before) / (vsqrt(now) + root);  // the difference of the roots would lose what is small beside G
    }
    const T together = gained / (vsqrt(before + gained) + root);
    return apart > 0.0f ? together / apart : T{} + 1.0f;
  }

  // Go a share of what the threads went together; with 1 / movers that is to the mean of the copies that were moved.
  template <class T>
  void move(int64_t f, T share) const {
    const T before = get<T>(own + f);
    T total{};
    for (int t = 0; t < threads_; ++t) total += get<T>(of(t) + f) - before;
    put<T>(own + f, before + share * total);
  }

  // The same for factors from number f on.
  template <class V>
  void move_factors(int64_t f, V share, Writer<V, S>& write) const {
    const V before = load_weights<V>(weights_of<S>(own) + f);
    V total{};
    for (int t = 0; t < threads_; ++t) total += load_weights<V>(weights_of<S>(of(t)) + f) - before;
    write(weights_of<S>(own) + f, before + share * total);
  }

  // Fetch all of them: most were last written by another thread. Always inline: gcc drops calls that only fetch.
  [[gnu::always_inline]] void fetch(int64_t size) const {
    for (int64_t f = 0; f < size; f += kLine) {
      __builtin_prefetch(own + f, 1);
      for (int t = 0; t < threads_; ++t) __builtin_prefetch(of(t) + f, 1);
    }
  }

  void give(int64_t size) const {
    for (int t = 0; t < threads_; ++t) std::memcpy(of(t), own, static_cast<std::size_t>(size) * sizeof(float));
  }

  float* const own;

 private:
  static float factor(float* record, int64_t f) {
    if constexpr (sizeof(S) == sizeof(float)) return record[f];
    const uint32_t bits = static_cast<uint32_t>(weights_of<S>(record)[f]) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }

  float* const first_;
  const int64_t apart_;
  const int threads_;
};

// AdaGrad: accumulators add up, and weights go as `share` says. FTRL: z and n add up. Elsewhere, and where FTRL's n fades,
// the copies that were moved are averaged; Adam's count adds up. FTRL's weights follow from z and n in any case: the next
// step starts from these. Factors are whole vectors V.
template <class R, class V, class S>
void merge_records(const MergeArgs& a) {
  constexpr bool adagrad = __is_same(R, AdaGrad) || __is_same(R, AdaGradRow), ftrl = __is_same(R, Ftrl);
  constexpr int W = lanes<V>, states_of_V = R::row_wise ? 0 : R::states;
  const Hyper& h = a.hyper;
  const int64_t n = a.factors, w = a.w_at;
  for (int64_t i = a.begin; i < a.end; ++i) {
    if (i + kMergeAhead < a.end) Copies<S>(a, i + kMergeAhead).fetch(a.stride);
    const Copies<S> copies(a, i);
    float* const own = copies.own;
    Writer<V, S> write(rounding_key(i, copies.of(0)[w]));
    if constexpr (adagrad) {
      const float rate = R::row_wise && n ? copies.template share<float>(w + 2) : 1.0f;
      for (int64_t f = 0; f < n; f += W) {
        if constexpr (R::row_wise) {
          copies.move_factors(f, V{} + rate, write);
        } else {
          copies.move_factors(f, copies.template share<V>(a.states + f), write);
          copies.template add_up<V>(a.states + f);
        }
      }
      copies.template move<float>(w, copies.template share<float>(w + 1));
      copies.template add_up<float>(w + 1);
      if (R::row_wise && n) copies.template add_up<float>(w + 2);
    } else if (ftrl && h.ftrl_decay == 1.0f) {
      for (int64_t f = 0; f < n; f += W)
        for (int s = 0; s < states_of_V; ++s) copies.template add_up<V>(a.states + s * a.states_apart + f);
      copies.template add_up<float>(w + 1);
      copies.template add_up<float>(w + 2);
    } else {
      const int movers = copies.movers(n, n * static_cast<int64_t>(sizeof(S)) / 4, a.stride);
      if (movers == 0) continue;
      const float share = 1.0f / static_cast<float>(movers);
      for (int64_t f = 0; f < n; f += W) {
        copies.move_factors(f, V{} + share, write);
        for (int s = 0; s < states_of_V; ++s) copies.template move<V>(a.states + s * a.states_apart + f, V{} + share);
      }
      for (int64_t f = w; f < w + 1 + R::states; ++f) copies.template move<float>(f, share);
      if constexpr (R::counts) copies.template add_up<float>(w + 1 + R::states);
    }
    if constexpr (ftrl) {
      for (int64_t f = 0; f < n; f += W) {
        const V root = vsqrt(get<V>(own + a.states + a.states_apart + f));
        write(weights_of<S>(own) + f, Ftrl::weight(get<V>(own + a.states + f), root, h.l1_V, h.l2_V, h));
      }
      own[w] = Ftrl::weight(own[w + 1], vsqrt(own[w + 2]), h.l1_w, h.l2_w, h);
    }
    copies.give(a.stride);
  }
}

}  // namespace crossfm::CROSSFM_ISA
