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
// The paper keeps sums for one factor at a time; here are those of all.
#pragma once

#include "gibbs.hpp"

namespace crossfm::CROSSFM_ISA {

template <class V>
void relation_gather(const RelationArgs& a) {
  constexpr int64_t L = lanes<V>;
  const int64_t k = a.padded;
  GibbsWork<V> work(k, a.scratch);
  const auto weight = [&](int64_t row) { return a.weight ? a.weight[row] : 1.0f; };
  for (int64_t b = a.begin; b < a.end; ++b) {
    const int64_t first = a.start[b], last = a.start[b + 1];
    float *m = a.mean_q + b * k, *S = a.spread + b * k * k;
    float N = 0.0f, e = 0.0f;
    for (int64_t f = 0; f < k; f += L) store(m + f, V{});
    for (int64_t from = first; from < last; from += kGibbsChunk) {  // sums of a chunk first, as in GibbsWork::add
      const int64_t to = last - from < kGibbsChunk ? last : from + kGibbsChunk;
      float chunk_N = 0.0f, chunk_e = 0.0f;
      for (int64_t f = 0; f < k; f += L) store(work.delta + f, V{});
      for (int64_t at = from; at < to; ++at) {
        const int64_t row = a.row[at];
        const float c = weight(row);
        chunk_N += c;
        chunk_e += c * a.e[row];
        for (int64_t f = 0; f < k; f += L)
          store(work.delta + f, load<V>(work.delta + f) + load<V>(a.q + row * k + f) * c);
      }
      N += chunk_N;
      e += chunk_e;
      for (int64_t f = 0; f < k; f += L) store(m + f, load<V>(m + f) + load<V>(work.delta + f));
    }
    const float part = N > 0.0f ? 1.0f / N : 0.0f;
    for (int64_t f = 0; f < k; f += L) store(m + f, load<V>(m + f) * part);
    a.root[b] = __builtin_sqrtf(N);
    a.mean_e[b] = e *= part;
    work.clear();
    for (int64_t from = first; from < last; from += kGibbsChunk) {
      const int64_t n = last - from < kGibbsChunk ? last - from : kGibbsChunk;
      for (int64_t r = 0; r < n; ++r) {
        const int64_t row = a.row[from + r];
        const float root = a.weight ? __builtin_sqrtf(a.weight[row]) : 1.0f;
        for (int64_t f = 0; f < k; f += L)
          store(work.H + r * k + f, (load<V>(a.q + row * k + f) - load<V>(m + f)) * root);
        work.X[r] = 0.0f;
        work.E[r] = (a.e[row] - e) * root;
      }
      work.add(n);
    }
    for (int64_t f = 0; f < k; ++f)
      for (int64_t col = 0; col < k; ++col) S[f * k + col] = work.A[f < col ? f * k + col : col * k + f];
    for (int64_t f = 0; f < k; f += L) store(a.tilt + b * k + f, load<V>(work.g + f));
  }
}

template <class V>
void relation_scatter(const RelationArgs& a) {
  constexpr int64_t L = lanes<V>;
  const int64_t k = a.padded;
  for (int64_t row = a.begin; row < a.end; ++row) {
    const int64_t b = a.of[row];
    float* q = a.q + row * k;
    V less{};
    for (int64_t f = 0; f < k; f += L) {
      const V before = load<V>(a.old_q + b * k + f), moved = load<V>(a.mean_q + b * k + f) - before, own = load<V>(q + f);
      less += moved * (own - before);
      store(q + f, own + moved);
    }
    a.e[row] += a.mean_e[b] - a.old_e[b] - sum(less);
  }
}

}  // namespace crossfm::CROSSFM_ISA
