// Relation blocks: rows of the data that share a row of a block (all ratings of a user) stand together as one row while
// the block's features move. S. Rendle, "Scaling Factorization Machines to Relational Data", VLDB 2013.
//
// A feature of the block has one value x in all rows r of block row b, and its derivative h_r = x (1, q_r - x v). With
// the mean m of their q, the mean error, and N the sum of their weights c, the sums that a move needs are those of one
// row of weight N with q = m and e = the mean error, and beside them
//
//   spread S = sum_r c_r (q_r - m)(q_r - m)',   x^2 S more in sum c h h',
//   tilt   t = sum_r c_r e_r (q_r - m),         x t more in sum c h e.
//
// When the feature moves by d, all q_r and m move by x d alike, so S stays and t loses S (x d). Afterwards each row takes
// over what its block row has gained: q_r gains u = m - m before, e_r what the mean gained and less <u, q_r - m before>.
// The paper moves one factor of all features at a time, with a look at all rows for each. Here are eight: S has k^2 numbers
// for each block row, so all factors at once would take more time and memory than the fewer looks save.
#pragma once

#include "gibbs.hpp"

namespace crossfm::CROSSFM_ISA {

template <class V>
struct Spread {
  static constexpr int64_t L = lanes<V>;
  const GibbsArgs& a;
  const int64_t k;

  explicit Spread(const GibbsArgs& a) : a(a), k(a.table.padded) {}

  void fetch(int64_t at) const {
    const int64_t row = a.row[at];
    for (int64_t f = 0; f < k * k; f += 16) __builtin_prefetch(a.spread + row * k * k + f);
    for (int64_t f = 0; f < k; f += 16) __builtin_prefetch(a.tilt + row * k + f, 1);
  }

  float value(int64_t at) const { return a.value ? a.value[at] : 1.0f; }

  void start(const float*, uint32_t) {}

  void add(GibbsWork<V>& work, int64_t from, int64_t n) {
    constexpr int R = L < 8 ? L : 8;
    const uint32_t* row = a.row + from;
    float x[kGibbsChunk];
    for (int64_t r = 0; r < n; ++r) x[r] = value(from + r);
    for (int64_t f = 0; f < k; f += R)
      for (int64_t col = f / L * L; col < k; col += L) {
        V sums[R] = {};
        for (int64_t r = 0; r < n; ++r) {
          const float* S = a.spread + (row[r] * k + f) * k + col;
          for (int i = 0; i < R; ++i) sums[i] += load<V>(S + i * k) * (x[r] * x[r]);
        }
        float* A = work.A + f * k + col;
        for (int i = 0; i < R; ++i) store(A + i * k, load<V>(A + i * k) + sums[i]);
      }
    for (int64_t col = 0; col < k; col += L) {
      V sums{};
      for (int64_t r = 0; r < n; ++r) sums += load<V>(a.tilt + row[r] * k + col) * x[r];
      store(work.g + col, load<V>(work.g + col) + sums);
    }
  }

  void settle(GibbsWork<V>&, const float*) {}

  void move(int64_t begin, int64_t end, const float* delta) {
    for (int64_t at = begin; at < end; ++at) {
      if (at + kGibbsAhead < end) fetch(at + kGibbsAhead);
      const int64_t row = a.row[at];
      for (int64_t col = 0; col < k; col += L) {
        V along[2] = {};
        for (int64_t f = 0; f < k; f += 2)
          for (int i = 0; i < 2; ++i) along[i] += load<V>(a.spread + (row * k + f + i) * k + col) * delta[f + i];
        float* tilt = a.tilt + row * k + col;
        store(tilt, load<V>(tilt) - (along[0] + along[1]) * value(at));
      }
    }
  }
};

// Sums are made around the first row's q, so that they lose no digits.
template <class V>
void relation_gather(const RelationArgs& a) {
  constexpr int64_t L = lanes<V>;
  const int64_t k = a.padded, limit = a.start[a.end];
  GibbsWork<V> work(k, a.scratch);
  for (int64_t b = a.begin; b < a.end; ++b) {
    const int64_t first = a.start[b], last = a.start[b + 1];
    float *m = a.mean_q + b * k, *S = a.spread + b * k * k;
    const float* around = a.q + (last > first ? a.row[first] : 0) * a.stride;
    work.clear();
    for (int64_t from = first; from < last; from += kGibbsChunk) {
      const int64_t n = last - from < kGibbsChunk ? last - from : kGibbsChunk;
      for (int64_t r = 0; r < n; ++r) {
        const int64_t row = a.row[from + r];
        if (from + r + kGibbsAhead < limit) {
          const int64_t later = a.row[from + r + kGibbsAhead];
          __builtin_prefetch(a.e + later);
          for (int64_t f = 0; f < k; f += 16) __builtin_prefetch(a.q + later * a.stride + f);
        }
        const float root = a.weight ? __builtin_sqrtf(a.weight[row]) : 1.0f;
        for (int64_t f = 0; f < k; f += L)
          store(work.H + r * k + f, (load<V>(a.q + row * a.stride + f) - load<V>(around + f)) * root);
        work.X[r] = root;
        work.E[r] = a.e[row] * root;
      }
      work.add(n);
    }
    const float N = work.xx, part = N > 0.0f ? 1.0f / N : 0.0f, e = work.xe * part;
    a.root[b] = __builtin_sqrtf(N);
    a.mean_e[b] = e;
    float* apart = work.delta;  // the mean from there
    for (int64_t f = 0; f < k; f += L) {
      const V sum = load<V>(work.c + f);
      store(apart + f, sum * part);
      store(m + f, load<V>(around + f) + sum * part);
      store(a.tilt + b * k + f, load<V>(work.g + f) - sum * e);
    }
    for (int64_t f = 0; f < k; ++f)
      for (int64_t col = f / L * L; col < k; col += L)
        store(work.A + f * k + col, load<V>(work.A + f * k + col) - load<V>(apart + col) * (apart[f] * N));
    for (int64_t f = 0; f < k; ++f)
      for (int64_t col = 0; col < k; ++col) S[f * k + col] = work.A[f < col ? f * k + col : col * k + f];
  }
}

template <class V>
void relation_scatter(const RelationArgs& a) {
  constexpr int64_t L = lanes<V>;
  const int64_t k = a.padded;
  const auto move = [&](int64_t row) {  // q of a row; returns by lanes what its score gains
    const int64_t b = a.of[row];
    float* q = a.q + row * a.stride;
    V gain{};
    for (int64_t f = 0; f < k; f += L) {
      const V before = load<V>(a.old_q + b * k + f), moved = load<V>(a.mean_q + b * k + f) - before, own = load<V>(q + f);
      gain += moved * (own - before);
      store(q + f, own + moved);
    }
    return gain;
  };
  const auto mean = [&](int64_t row) { return a.mean_e[a.of[row]] - a.old_e[a.of[row]]; };
  int64_t row = a.begin;
  for (; row + 4 <= a.end; row += 4) {
    V gain[4];
    for (int i = 0; i < 4; ++i) gain[i] = move(row + i);
    const Vec4 total = sums(gain);
    for (int i = 0; i < 4; ++i) a.e[row + i] += mean(row + i) - total[i];
  }
  for (; row < a.end; ++row) a.e[row] += mean(row) - sum(move(row));
}

}  // namespace crossfm::CROSSFM_ISA
