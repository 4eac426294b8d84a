// What several threads did to copies of the same records since they last agreed, put together and given to all.
#pragma once

#include "half.hpp"
#include "rules.hpp"

namespace crossfm::CROSSFM_ISA {

constexpr int64_t kMergeAhead = 8;  // records that are fetched before they are needed

// One record of MergeArgs: the one agreed on, and each thread's copy of it.
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

  // How many threads have moved their copy.
  int movers(int64_t size) const {
    int n = 0;
    for (int t = 0; t < threads_; ++t) n += std::memcmp(of(t), own, static_cast<std::size_t>(size) * sizeof(float)) != 0;
    return n;
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
      apart += vsqrt(now) - root;
    }
    const T together = vsqrt(before + gained) - root;
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

  // Fetch all of them: most were last written by another thread.
  [[gnu::always_inline]] void fetch(int64_t size) const {
    for (int64_t f = 0; f < size; f += 16) {
      __builtin_prefetch(own + f, 1);
      for (int t = 0; t < threads_; ++t) __builtin_prefetch(of(t) + f, 1);
    }
  }

  // The same for factors from number f on.
  template <class S>
  void move_factors(int64_t f, Vec8 share, Writer<Vec8, S>& write) const {
    const Vec8 before = load_weights<Vec8>(weights_of<S>(own) + f);
    Vec8 total{};
    for (int t = 0; t < threads_; ++t) total += load_weights<Vec8>(weights_of<S>(of(t)) + f) - before;
    write(weights_of<S>(own) + f, before + share * total);
  }

  void give(int64_t size) const {
    for (int t = 0; t < threads_; ++t) std::memcpy(of(t), own, static_cast<std::size_t>(size) * sizeof(float));
  }

  float* const own;

 private:
  float* const first_;
  const int64_t apart_;
  const int threads_;
};

// AdaGrad: accumulators add up, and weights go as `share` says. FTRL: z and n add up, and the weight follows from them.
// Elsewhere the copies that were moved are averaged; Adam's count adds up. With padding of 8, factors are whole vectors.
template <class R, class S>
void merge_records(const MergeArgs& a) {
  constexpr bool adagrad = __is_same(R, AdaGrad) || __is_same(R, AdaGradRow), ftrl = __is_same(R, Ftrl);
  const Hyper& h = a.hyper;
  const int64_t padded = a.padded, w = a.w_at;
  const int64_t states = padded * static_cast<int64_t>(sizeof(S)) / 4;  // where those of V begin
  for (int64_t i = a.begin; i < a.end; ++i) {
    if (i + kMergeAhead < a.end) Copies(a, i + kMergeAhead).fetch(a.stride);
    const Copies copies(a, i);
    float* const own = copies.own;
    Writer<Vec8, S> write(rounding_key(static_cast<uint32_t>(i), copies.of(0)[w]));
    if constexpr (adagrad) {
      const float rate = R::row_wise && padded ? copies.share<float>(w + 2) : 1.0f;
      for (int64_t f = 0; f < padded; f += 8) {
        if constexpr (R::row_wise) {
          copies.move_factors<S>(f, Vec8{} + rate, write);
        } else {
          copies.move_factors<S>(f, copies.share<Vec8>(states + f), write);
          copies.add_up<Vec8>(states + f);
        }
      }
      copies.move<float>(w, copies.share<float>(w + 1));
      copies.add_up<float>(w + 1);
      if (R::row_wise && padded) copies.add_up<float>(w + 2);
    } else if (ftrl && h.ftrl_decay == 1.0f) {
      for (int64_t f = 0; f < padded; f += 8) {
        copies.add_up<Vec8>(states + f);
        copies.add_up<Vec8>(states + padded + f);
        const Vec8 root = vsqrt(get<Vec8>(own + states + padded + f));
        write(weights_of<S>(own) + f, Ftrl::weight(get<Vec8>(own + states + f), root, h.l1_V, h.l2_V, h));
      }
      copies.add_up<float>(w + 1);
      copies.add_up<float>(w + 2);
      own[w] = Ftrl::weight(own[w + 1], vsqrt(own[w + 2]), h.l1_w, h.l2_w, h);
    } else {
      const int n = copies.movers(a.stride);
      if (n == 0) continue;
      const float share = 1.0f / static_cast<float>(n);
      for (int64_t f = 0; f < padded; f += 8) copies.move_factors<S>(f, Vec8{} + share, write);
      for (int64_t f = states; f < w; f += 8) copies.move<Vec8>(f, Vec8{} + share);
      for (int64_t f = w; f < w + 1 + R::states; ++f) copies.move<float>(f, share);
      if constexpr (R::counts) copies.add_up<float>(w + 1 + R::states);
    }
    copies.give(a.stride);
  }
}

}  // namespace crossfm::CROSSFM_ISA
