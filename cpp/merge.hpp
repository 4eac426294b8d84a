// What several threads did to copies of the same records since they last agreed, put together and given to all.
#pragma once

#include "rules.hpp"

namespace crossfm::CROSSFM_ISA {

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

  // How many threads have moved their copy; a zero whose sign alone is another has not moved.
  int movers(int64_t size) const {
    int n = 0;
    for (int t = 0; t < threads_; ++t) {
      bool moved = false;
      for (int64_t f = 0; f < size; ++f) moved |= of(t)[f] != own[f];
      n += moved;
    }
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

  void give(int64_t size) const {
    for (int t = 0; t < threads_; ++t) std::memcpy(of(t), own, static_cast<std::size_t>(size) * sizeof(float));
  }

  float* const own;

 private:
  float* const first_;
  const int64_t apart_;
  const int threads_;
};

// AdaGrad: accumulators add up, and weights go as `share` says. FTRL: z and n add up. Elsewhere, and where FTRL's n fades,
// the copies that were moved are averaged; Adam's count adds up. FTRL's weights follow from z and n in any case: the next
// step starts from these. With padding of 8, factors are whole vectors.
template <class R>
void merge_records(const MergeArgs& a) {
  constexpr bool adagrad = __is_same(R, AdaGrad) || __is_same(R, AdaGradRow), ftrl = __is_same(R, Ftrl);
  const Hyper& h = a.hyper;
  const int64_t padded = a.padded, w = a.w_at;
  for (int64_t i = a.begin; i < a.end; ++i) {
    const Copies copies(a, i);
    float* const own = copies.own;
    if constexpr (adagrad) {
      const float rate = R::row_wise && padded ? copies.share<float>(w + 2) : 1.0f;
      for (int64_t f = 0; f < padded; f += 8) {
        if constexpr (R::row_wise) {
          copies.move<Vec8>(f, Vec8{} + rate);
        } else {
          copies.move<Vec8>(f, copies.share<Vec8>(f + padded));
          copies.add_up<Vec8>(f + padded);
        }
      }
      copies.move<float>(w, copies.share<float>(w + 1));
      copies.add_up<float>(w + 1);
      if (R::row_wise && padded) copies.add_up<float>(w + 2);
    } else if (ftrl && h.ftrl_decay == 1.0f) {
      for (int64_t f = 0; f < padded; f += 8) {
        copies.add_up<Vec8>(f + padded);
        copies.add_up<Vec8>(f + 2 * padded);
      }
      copies.add_up<float>(w + 1);
      copies.add_up<float>(w + 2);
    } else {
      const int n = copies.movers(a.stride);
      if (n == 0) continue;
      const float share = 1.0f / static_cast<float>(n);
      for (int64_t f = 0; f < w; f += 8) copies.move<Vec8>(f, Vec8{} + share);
      for (int64_t f = w; f < w + 1 + R::states; ++f) copies.move<float>(f, share);
      if constexpr (R::counts) copies.add_up<float>(w + 1 + R::states);
    }
    if constexpr (ftrl) {
      for (int64_t f = 0; f < padded; f += 8) {
        const Vec8 root = vsqrt(get<Vec8>(own + f + 2 * padded));
        put<Vec8>(own + f, Ftrl::weight(get<Vec8>(own + f + padded), root, h.l1_V, h.l2_V, h));
      }
      own[w] = Ftrl::weight(own[w + 1], vsqrt(own[w + 2]), h.l1_w, h.l2_w, h);
    }
    copies.give(a.stride);
  }
}

}  // namespace crossfm::CROSSFM_ISA
